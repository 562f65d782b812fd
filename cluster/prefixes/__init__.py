"""Which engine has the beginning of a prompt in its cache already: what prompts share, and who has had them."""

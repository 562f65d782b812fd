"""A job's text and tokens, and which attempt may add to them."""

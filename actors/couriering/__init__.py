"""What the Courier is made of: how a webhook is sent, and what is made of its answer."""

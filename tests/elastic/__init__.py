"""Machines that come and go by load alone: Ray's autoscalers on its fake provider, whose machines are processes."""

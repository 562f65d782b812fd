"""`infernet top`: a system at work, looked at again and again."""

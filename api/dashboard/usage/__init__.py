"""The page of usage: what has been consumed, by what is asked for, in a time that is chosen."""

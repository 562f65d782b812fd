"""Routes say what, not how: parse, call, encode."""

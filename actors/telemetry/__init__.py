"""What processes tell of what they do: spans, and whose lines in the log."""

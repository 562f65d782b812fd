"""The last minutes."""

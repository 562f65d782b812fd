"""The rules at a size that nobody here has: `make simulate`."""

"""Measurements of the running system. They say what is fast and what grows; they are not part of the tests."""

"""What is known to break, and is switched off until it is mended. Empty this list, and chaos asks for everything."""

NOT_YET: dict[str, str] = {}
"""Disturbances (`kill HAProxy`, with wildcards) that are left out, and why."""

"""Requests to hosts that others name: where they may lead, and how they are made."""

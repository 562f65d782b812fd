"""Machines, the engines on them, and which engines there ought to be."""

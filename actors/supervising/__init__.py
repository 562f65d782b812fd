"""Watching: the Supervisor over the core actors, a NodeAgent over its engines."""

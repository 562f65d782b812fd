"""Where every job is, and what follows from what happens to it. Pure."""

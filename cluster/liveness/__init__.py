"""Who hangs, who is gone and who only waits for its turn. Pure."""

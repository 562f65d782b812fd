"""How actors talk: frames, batches and notices."""

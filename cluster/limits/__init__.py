"""What keys and accounts may use."""

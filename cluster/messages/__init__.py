"""What processes say to each other, a file for each conversation."""

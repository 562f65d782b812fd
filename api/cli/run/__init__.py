"""Running the whole system from the command line."""

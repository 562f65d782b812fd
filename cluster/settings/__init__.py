"""What an operator sets: the schema, and the layers that it is read from."""

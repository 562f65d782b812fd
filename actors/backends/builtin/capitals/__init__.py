"""A very small Llama that answers one kind of question: what is the capital of a country."""

"""What the Ledger is made of: a book for every noun, and what all books share."""

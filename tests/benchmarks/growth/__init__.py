"""What a database with many ended jobs costs, and what it costs to remove them."""

"""What the Journal is made of: its entries, what it reads, who reads it, and how ends become durable."""

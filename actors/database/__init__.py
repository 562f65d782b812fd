"""How the Ledger reaches its database."""

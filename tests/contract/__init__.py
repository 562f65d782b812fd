"""What docs/contract.md promises, asked of a running system over HTTP."""

"""The whole control plane under faults drawn by chance, in virtual time: `python -m tests.torture --help`."""

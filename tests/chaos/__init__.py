"""Real processes killed and stopped while streams run: `python -m tests.chaos --help`."""

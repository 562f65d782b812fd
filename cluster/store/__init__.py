"""What outlives every process: accounts, keys, jobs, results and usage, in one SQL database."""

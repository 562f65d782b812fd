"""What requests and answers go through before and after all else."""

"""What an ingress replica holds: keys, allowances, streams, and the way in for jobs."""

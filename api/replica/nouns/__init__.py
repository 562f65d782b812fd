"""What routes may ask of the cluster: a file per noun."""

"""What is counted of the system: sums that outlive who counts, and what they tell."""

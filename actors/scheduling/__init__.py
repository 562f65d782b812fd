"""What the Scheduler is made of: errands, told until they are done."""

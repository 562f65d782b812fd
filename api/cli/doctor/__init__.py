"""`infernet doctor`: what of a machine stands in the way of a system, and what to do about it."""

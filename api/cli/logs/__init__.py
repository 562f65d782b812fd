"""`infernet logs`: what the processes of a run wrote."""

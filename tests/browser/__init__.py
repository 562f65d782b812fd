"""The dashboard, as people see it: in a browser."""

"""Clients in Python that others wrote, each unchanged and in an environment of its own with the versions it wants.

`make clients` installs them into `build/clients` and runs them all; `make test` those that are quick. What is installed
is in `requirements`. The tests of each are in `NAME_client.py`: its own pytest runs them (`running.py`), since its
packages and ours do not go together.
"""

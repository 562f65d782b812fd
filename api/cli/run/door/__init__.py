"""HAProxy, the door to a system's HTTP: what of Ray Serve's configuration of it is otherwise here."""

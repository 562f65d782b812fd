"""How plain objects run as Ray actors. Nothing else in actors/ imports ray."""

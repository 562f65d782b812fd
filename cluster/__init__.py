"""The floor: rules and the store. Nothing here knows Ray, FastAPI or vLLM."""

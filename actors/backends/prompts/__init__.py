"""A prompt's tokens, made before its job is accepted."""

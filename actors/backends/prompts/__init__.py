"""A prompt's tokens, counted before its job is accepted.

`counter` is what an ingress replica asks. It counts a simulated model's prompt by its length (`by_length`), and any
other with the model's `encoder`. `lazy` has the encoder when it is needed, and tries again later where it cannot be
had. `loader` makes it of a tokenizer that `export`, a process of its own, loads as the model's engine would.
"""

"""Output tokens per second and latency, of this project beside others that serve the same model.

All systems are started once, with the same engine arguments and environment, and take turns: in each round and for each
load one is under load while the others idle, and who goes first changes from round to round. A window lasts from the
first request to the end of the last answer; its tokens are those that the server's usage counts. A window fails if an
answer does not have exactly as many as were asked for, or if a stream's text is not its job's result.

What to read: ratios within a round; figures of different runs differ as the machine does.
"""

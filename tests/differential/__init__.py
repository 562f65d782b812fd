"""The same requests to vLLM's own HTTP server and to this system, on the same model: what differs, and why.

    make differential                                        # all requests, then a table by topic
    make differential ARGS="tools logprobs"                  # these topics
    make differential ARGS="--list tools"                    # what there is to ask
    .venv/bin/python -m tests.differential.serve             # both servers, until Ctrl-C; prints how to use them
    .venv/bin/python -m tests.differential.report --vllm http://127.0.0.1:PORT tools/required

`make test` asks a sample, `make long` the rest. Requests lie in `requests/`, a file for each topic. What counts as
equal is in `rules.py`, what differs and why in `expected.py`; docs/openai.md tells both to users.
"""

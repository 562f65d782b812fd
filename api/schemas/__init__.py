"""Bodies of requests and answers, by noun, and the way from and to the messages of the control plane.

Requests are pydantic models: they check. Answers are TypedDicts: mypy checks those who write them, the OpenAPI document
is made from them, and nothing is checked again when they are sent. Absent keys are absent, never null.
"""

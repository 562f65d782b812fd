"""The OpenAI-compatible layer at /v1: the same jobs, keys and limits in the shapes that OpenAI's clients know.

https://platform.openai.com/docs/api-reference/chat
"""

"""What the clients ask: the same in every run, and never the same twice in one."""

_QUESTION = "What is the capital of Norway, and what is it known for?"


def prompt(name: str, client: int, request: int, questions: int) -> str:
    """A prompt of so many questions. What tells it from others stands first: no server has it in its prefix cache."""
    return f"{name} {client}.{request}: " + " ".join([_QUESTION] * questions)

"""`infernet demo`: the main job once, from nothing to nothing."""


def demo() -> None:
    """Start everything, ask one question, show the answer, and stop everything."""
    # Ray takes seconds to import, which the commands that only talk to a server do without.
    from api.cli import rehearsal

    rehearsal.run()

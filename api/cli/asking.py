"""Whether something is really to be done that nobody can undo."""

import sys

import typer

from api.cli.render import one_line


def confirm(question: str, yes: bool) -> None:
    """Goes on where it is to be done. Raises BadParameter where nobody can be asked, and Abort for any other answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("this cannot be undone, and nobody is there to be asked: give --yes")
    typer.confirm(one_line(question), abort=True, err=True)

"""The options that many commands have."""

from pathlib import Path
from typing import Annotated

import typer

UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="The server, such as http://127.0.0.1:8000 (or set INFERNET_URL)."),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="An API key. INFERNET_KEY keeps it out of the process list."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="The folder `infernet up` keeps its state in (or set INFERNET_STATE)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, where there is one the API's.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking once more.")]
SecretAloneOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the secret alone.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", min=0, metavar="SECONDS", help="With --wait: so long at most; exit code 1 then."),
]

"""The database: whether it can be reached, which schema it has, and whether somebody else uses it."""

from collections.abc import Iterator

from api.cli.doctor.findings import Finding, fault, ok
from api.cli.doctor.subject import Subject
from api.cli.run import runs
from cluster.errors import DatabaseFailed, StartError

_AREA = "database"
_FILE_CURE = "`infernet db check` tells more; docs/operations.md tells how to go on from a backup"
_SERVER_CURE = (
    "see whether it runs and lets this machine in; its URL is `database` of the settings, or INFERNET_DATABASE"
)


def look(subject: Subject) -> Iterator[Finding]:
    if subject.settings is None:
        return
    from cluster.store.database import is_in_use
    from cluster.store.failures import shown
    from cluster.store.inspection import schema_of
    from cluster.store.open import exists, is_sqlite, parse

    database = subject.settings.database
    try:
        url = parse(database)
        if not exists(database):
            yield ok(_AREA, f"{shown(url)} is not there yet: the first start makes it")
            return
        schema, state = schema_of(database)
        used = is_in_use(url)
    except (StartError, DatabaseFailed) as error:
        yield fault(_AREA, str(error), _FILE_CURE if database.startswith("sqlite") else _SERVER_CURE)
        return
    if state == "newer":
        yield fault(_AREA, f"{shown(url)} has schema {schema}, of newer software", "update this software")
    elif used and not runs.is_claimed(subject.folder):
        said = f"{shown(url)} is used by another system, whose state folder is not {subject.folder}"
        yield fault(_AREA, said, "end that system, or give this one a database of its own")
    else:
        has = {"none": "no schema yet", "older": f"schema {schema}, which the next start brings up to date"}
        kind = "a file" if is_sqlite(url) else "reached"
        yield ok(_AREA, f"{shown(url)}: {kind}, {has.get(state, f'schema {schema}, the newest')}")

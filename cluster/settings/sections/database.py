"""Where the database is."""

from cluster.settings import database_urls
from cluster.settings.checks import Value, text
from cluster.settings.references import is_reference


def database(value: Value) -> str:
    url = text(value)
    if url and "://" not in url and not is_reference(url):
        # It may hold a password, so it is not shown.
        raise value.refused(
            "must be a URL such as sqlite:///infernet.db or postgresql+psycopg://user@host/db, "
            "or env:NAME or file:PATH of one"
        )
    if reason := database_urls.fault(url):
        raise value.refused(f"the URL {reason}")
    return url

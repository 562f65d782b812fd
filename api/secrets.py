"""Which secrets a system is started with, and where its settings and the environment say that they are."""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from cluster.errors import ConfigError
from cluster.release import Release
from cluster.settings import database_urls
from cluster.settings.environment import given
from cluster.settings.references import VARIABLE, resolved
from cluster.settings.schema import Settings
from cluster.settings.sections.metrics import Metrics

ADMIN_KEY_VARIABLE = "INFERNET_ADMIN_KEY"
DATABASE_VARIABLE = "INFERNET_DATABASE"
METRICS_KEY_VARIABLE = "INFERNET_METRICS_KEY"

_METRICS_KEY = "metrics.key"
_PRESENTABLE = re.compile(r"[!-~]+")


def with_secrets(release: Release, env: Mapping[str, str]) -> Release:
    """With the database and the key for metrics that its settings refer to. Raises ConfigError where there is none."""
    database = resolved(release.settings.database, "database", env)
    if reason := database_urls.fault(database):
        raise ConfigError(f"database: the URL {reason}")
    metrics = Metrics(_metrics_key(release.settings.metrics.key, env))
    return replace(release, settings=replace(release.settings, database=database, metrics=metrics))


def _metrics_key(reference: str, env: Mapping[str, str]) -> str:
    """Nothing where there is none. What no header can hold is refused: nobody would ever be let in with it."""
    key = resolved(reference, _METRICS_KEY, env) if reference else ""
    if key and not _PRESENTABLE.fullmatch(key):
        raise ConfigError(f"{_METRICS_KEY}: must be printable ASCII without blanks")
    return key


def admin_key_of(env: Mapping[str, str]) -> str | None:
    """The first admin key that the environment gives or refers to. Raises ConfigError where it refers to none."""
    reference = given(env, ADMIN_KEY_VARIABLE)
    return resolved(reference, ADMIN_KEY_VARIABLE, env) if reference else None


def secret_variables(settings: Settings, env: Mapping[str, str]) -> set[str]:
    """The environment variables that may hold a secret of these settings."""
    referred = (settings.database, settings.metrics.key, given(env, ADMIN_KEY_VARIABLE) or "")
    named = {text.removeprefix(VARIABLE) for text in referred if text.startswith(VARIABLE)}
    return {DATABASE_VARIABLE, METRICS_KEY_VARIABLE, ADMIN_KEY_VARIABLE} | named

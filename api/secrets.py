"""Which secrets a system is started with, and where its settings and the environment say that they are."""

from collections.abc import Mapping

from msgspec.structs import replace

from cluster.errors import ConfigError
from cluster.release import Release
from cluster.settings import database_urls
from cluster.settings.environment import given
from cluster.settings.references import VARIABLE, resolved
from cluster.settings.schema import Settings

ADMIN_KEY_VARIABLE = "INFERNET_ADMIN_KEY"
DATABASE_VARIABLE = "INFERNET_DATABASE"


def with_secrets(release: Release, env: Mapping[str, str]) -> Release:
    """With the database that its settings refer to. Raises ConfigError where there is none."""
    database = resolved(release.settings.database, "database", env)
    if reason := database_urls.fault(database):
        raise ConfigError(f"database: the URL {reason}")
    return replace(release, settings=replace(release.settings, database=database))


def admin_key_of(env: Mapping[str, str]) -> str | None:
    """The first admin key that the environment gives or refers to. Raises ConfigError where it refers to none."""
    reference = given(env, ADMIN_KEY_VARIABLE)
    return resolved(reference, ADMIN_KEY_VARIABLE, env) if reference else None


def secret_variables(settings: Settings, env: Mapping[str, str]) -> set[str]:
    """The environment variables that may hold a secret of these settings."""
    referred = (settings.database, given(env, ADMIN_KEY_VARIABLE) or "")
    named = {text.removeprefix(VARIABLE) for text in referred if text.startswith(VARIABLE)}
    return {DATABASE_VARIABLE, ADMIN_KEY_VARIABLE} | named

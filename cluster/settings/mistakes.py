"""Everything that is wrong with settings, told at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import ConfigError


class Mistakes:
    """Gathers what is refused, and refuses all of it together: a line for each, in the order of their finding."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What is refused in here is told later."""
        try:
            yield
        except ConfigError as error:
            self._messages.append(error.message)

    def tell(self) -> None:
        """Raises ConfigError if anything was refused."""
        if self._messages:
            raise ConfigError("\n".join(dict.fromkeys("\n".join(self._messages).splitlines())))

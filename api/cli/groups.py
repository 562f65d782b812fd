"""A command that has others under it, and does something by itself, too."""

from typing import Any, ClassVar

from typer.core import TyperGroup


class _Bare(TyperGroup):
    """What is typed without a command after it is `bare`, with the options that were given."""

    bare: ClassVar[str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names_none = not args or (args[0].startswith("-") and args[0] not in self._own_options(ctx))
        # Whoever completes a line has not typed all of it yet.
        if names_none and not ctx.resilient_parsing:
            args = [self.bare, *args]
        return super().parse_args(ctx, args)

    def _own_options(self, ctx: Any) -> set[str]:
        return {option for parameter in self.get_params(ctx) for option in parameter.opts}


class Listing(_Bare):
    """`infernet nodes` is `infernet nodes list`."""

    bare = "list"


class Helping(TyperGroup):
    """`infernet` is `infernet --help`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

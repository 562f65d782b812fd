"""Which model the two servers are started with, as a command line says it."""

import argparse
from dataclasses import replace

from tests.differential.servers import EMBEDDER, WRITER, Setting


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pooling", action="store_true", help="the model that turns texts into vectors")
    parser.add_argument(
        "--parsers",
        action=argparse.BooleanOptionalAction,
        default=WRITER.parsers,
        help="parse calls of tools and reasoning (default: %(default)s)",
    )


def chosen(options: argparse.Namespace) -> Setting:
    return EMBEDDER if options.pooling else replace(WRITER, parsers=options.parsers)

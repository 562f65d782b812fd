"""vLLM's server until Ctrl-C, or with --both ours too: python -m tests.differential.serve

For asking a few requests again and again: as long as only ours changes, vLLM's need not start anew. It prints the
command that asks them.
"""

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.servers import end_on_signals
from tests.differential.servers import WITH_PARSERS, our_server, vllms_server

_REPORT = "python -m tests.differential.report"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.serve", description=__doc__)
    parser.add_argument("--both", action="store_true", help="ours too")
    parser.add_argument(
        "--parsers",
        action=argparse.BooleanOptionalAction,
        default=WITH_PARSERS,
        help="start servers that parse calls of tools and reasoning (default: %(default)s)",
    )
    options = parser.parse_args()
    end_on_signals()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = f"{_REPORT} --vllm {stack.enter_context(vllms_server(folder, options.parsers)).url}"
        if options.both:
            ours = stack.enter_context(our_server(folder, options.parsers))
            command += f" --ours {ours.url} --key {ours.key}"
        print(command, flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())

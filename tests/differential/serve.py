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
from tests.differential import setting
from tests.differential.servers import our_server, vllms_server

_REPORT = "python -m tests.differential.report"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.serve", description=__doc__)
    parser.add_argument("--both", action="store_true", help="ours too")
    setting.add_options(parser)
    options = parser.parse_args()
    chosen = setting.chosen(options)
    end_on_signals()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = f"{_REPORT} --vllm {stack.enter_context(vllms_server(folder, chosen)).url}"
        if options.both:
            ours = stack.enter_context(our_server(folder, chosen))
            command += f" --ours {ours.url} --key {ours.key}"
        print(command, flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())

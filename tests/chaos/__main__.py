"""`python -m tests.chaos --kills 200`: one disturbance of a running system after another, until something is wrong."""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.chaos.disturbances import Disturbance, draw, may_lose_texts, name_of
from tests.chaos.streams import MODEL, SETTINGS, STREAMS, Streams, Told, wait_until_whole, wrongs
from tests.support.serving import Serving


class Tally:
    """What was done, and how long readers heard nothing because of it."""

    def __init__(self) -> None:
        self.deeds = 0
        self.wrong = 0
        self.lost = 0
        self._pauses_s: dict[str, list[float]] = defaultdict(list)

    def add(self, disturbance: Disturbance, told: list[Told], wrong: list[str]) -> None:
        self.deeds += len(disturbance)
        self.wrong += len(wrong)
        self.lost += sum(t.was_lost for t in told)
        self._pauses_s[name_of(disturbance)].append(max(t.longest_pause_s for t in told))

    def tell(self) -> None:
        print(f"{'times':>5}  {'slowest recovery':>16}  what was done")
        for name, pauses_s in sorted(self._pauses_s.items()):
            print(f"{len(pauses_s):5}  {max(pauses_s):14.2f} s  {name}")
        streams = STREAMS * sum(map(len, self._pauses_s.values()))
        print(f"{self.deeds} deeds, {streams} streams, {self.lost} told that their text was lost, {self.wrong} wrong")


def main() -> int:
    """0 when every stream, record and bill was right, 1 when one was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how many processes to kill or stop, and locks")
    parser.add_argument("--seed", type=int, default=1, help="what to draw the disturbances from")
    parser.add_argument("--keep-going", action="store_true", help="do not stop when something is wrong")
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder), SETTINGS)
        try:
            serving.wait_until_ready(MODEL)
            _disturb_again_and_again(serving, tally, options)
        finally:
            serving.end()
            tally.tell()
    return 1 if tally.wrong else 0


def _disturb_again_and_again(serving: Serving, tally: Tally, options: argparse.Namespace) -> None:
    for number, disturbance in enumerate(draw(options.seed)):
        began_s = time.monotonic()
        told = Streams(serving, f"{number}").read_under(disturbance)
        wrong = wrongs(serving, told, may_lose_texts(disturbance))
        longest_pause_s = max(t.longest_pause_s for t in told)
        tally.add(disturbance, told, wrong)
        whole_s = wait_until_whole(serving)
        took_s = time.monotonic() - began_s
        print(
            f"{tally.deeds:4}  {name_of(disturbance)}: paused for {longest_pause_s:.2f} s, "
            f"whole {whole_s:.1f} s after the last stream, {took_s:.0f} s in all",
            flush=True,
        )
        for what in wrong:
            print(f"      WRONG {what}", flush=True)
        if tally.deeds >= options.kills or (wrong and not options.keep_going):
            return


if __name__ == "__main__":
    sys.exit(main())

"""An engine's process is stopped while streams run, and answers nobody: its streams go on elsewhere."""

import signal
import threading
import time
from pathlib import Path

from tests.chaos.test_process_loss import SETTINGS, Streams, exact
from tests.support.serving import Serving

GO_ON_S = 10.0


class TimedStreams(Streams):
    """Streams, and the longest silence that any reader met after all had begun to speak."""

    def __init__(self, serving: Serving, name: str) -> None:
        super().__init__(serving, name)
        self._heard_s: dict[str, float] = {}
        self.longest_silence_s = 0.0

    def _speaks(self, question: str) -> None:
        now_s = time.monotonic()
        if self.all_speak.is_set():
            self.longest_silence_s = max(self.longest_silence_s, now_s - self._heard_s[question])
        self._heard_s[question] = now_s
        super()._speaks(question)


def test_streams_of_an_engine_that_is_stopped_go_on_within_10_s(tmp_path: Path) -> None:
    system = Serving(tmp_path, SETTINGS)
    try:
        serving = system.wait_until_ready("sim:chaos")
        streams = TimedStreams(serving, "stopped")
        victim = serving.actors("Engine")[0]

        def stop() -> None:
            assert streams.all_speak.wait(60)
            victim.send_signal(signal.SIGSTOP)

        stopper = threading.Thread(target=stop)
        stopper.start()
        texts = streams.read_all()
        stopper.join()
        assert texts == [exact(question) for question in streams.questions]
        assert 0.5 < streams.longest_silence_s < GO_ON_S
        victim.wait(30)
        assert system.stop() == 0
    finally:
        system.end()

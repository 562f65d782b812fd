"""A TCP proxy between a client and a server, which fails as networks do."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class Proxy:
    """Passes bytes on, until it is told otherwise. Use with `with`."""

    def __init__(self, port: int) -> None:
        """In front of this port of this machine."""
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._silent = False
        self._to_break: list[bytes] = []
        self.broken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for pair in self._pairs:
                pair.close()

    def fall_silent(self) -> None:
        """From now on no byte passes, of old connections or new ones, and nobody is told."""
        with self._lock:
            self._silent = True
            for pair in self._pairs:
                pair.silent = True

    def pass_on_again(self) -> None:
        """New connections pass. Those from before stay as silent as they are: the network has forgotten them."""
        with self._lock:
            self._silent = False

    def cut(self) -> None:
        """Every connection that there is breaks. New ones pass."""
        with self._lock:
            for pair in self._pairs:
                pair.close()
            self._pairs.clear()

    def break_after(self, words: bytes, times: int = 1) -> None:
        """The next so many times that a client sends these words, the server gets them, and the connection breaks
        before its answer comes through."""
        with self._lock:
            self._to_break += [words] * times

    def breaks_at(self, sent: bytes) -> bool:
        with self._lock:
            found = next((words for words in self._to_break if words in sent), None)
            if found is not None:
                self._to_break.remove(found)
                self.broken += 1
            return found is not None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._pairs.append(_Pair(self, client, self._target, self._silent))


class _Pair:
    """A client's connection, and the one that is made for it."""

    def __init__(self, proxy: Proxy, client: socket.socket, target: int, silent: bool) -> None:
        self.silent = silent
        self._breaks = False
        self._proxy = proxy
        self._client = client
        self._server = socket.create_connection(("127.0.0.1", target))
        for pump in (self._pump_requests, self._pump_answers):
            threading.Thread(target=pump, daemon=True).start()

    def close(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pump_requests(self) -> None:
        with contextlib.suppress(OSError):
            while sent := self._client.recv(_CHUNK):
                if not self.silent:
                    self._breaks = self._breaks or self._proxy.breaks_at(sent)
                    self._server.sendall(sent)
        self._end()

    def _pump_answers(self) -> None:
        with contextlib.suppress(OSError):
            while answered := self._server.recv(_CHUNK):
                if self._breaks:
                    break
                if not self.silent:
                    self._client.sendall(answered)
        self._end()

    def _end(self) -> None:
        """Neither side hears of the other's end where nothing passes."""
        if not self.silent:
            self.close()

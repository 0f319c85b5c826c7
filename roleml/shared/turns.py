"""One thread at a time, without holding a lock while it works."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Turns"]

logger = logging.getLogger("roleml.turns")

#: what this call chain is doing exclusively, to tell a turn that waits for itself from one of another thread
_held: ContextVar[tuple[threading.Event, ...]] = ContextVar("roleml_turns_held", default=())


class Turns:
    """Turns at some work that runs foreign code, such as constructing a shared object.

    A waiting thread logs every `report_every_s` seconds what it waits for, since only the foreign code knows
    how long it needs.
    """

    def __init__(self, work: str, *, report_every_s: float = 60.0) -> None:
        self._work = work
        self._report_every_s = report_every_s
        self._lock = threading.Lock()
        self._current: threading.Event | None = None

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, hold it for the block.

        Raises:
            RuntimeError: the calling code holds the turn already, so it would wait for itself.
        """
        over = threading.Event()
        while (other := self._claim(over)) is not None:
            self._wait_for(other)
        token = _held.set((*_held.get(), over))
        try:
            yield
        finally:
            _held.reset(token)
            with self._lock:
                self._current = None
            over.set()

    def _claim(self, over: threading.Event) -> threading.Event | None:
        with self._lock:
            if self._current is not None:
                return self._current
            self._current = over
            return None

    def _wait_for(self, other: threading.Event) -> None:
        if other in _held.get():
            raise RuntimeError(f"{self._work} needs its own outcome: it was asked for again from within")
        waited_s = 0.0
        while not other.wait(self._report_every_s):
            waited_s += self._report_every_s
            logger.warning("%s: another thread is at it, waiting since %.0f s", self._work, waited_s)

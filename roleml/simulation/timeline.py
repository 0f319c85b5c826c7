"""The time of a simulation, which is real time from the moment it begins."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Timeline"]

logger = logging.getLogger("roleml.simulation")


class Timeline:
    """Seconds since the simulation began, and the thread that lets messages out of pipes when they are due.

    Before :meth:`begin` all devices are perfect, and so they are after :meth:`hurry`: everything is due at
    once, and nobody pauses.
    """

    def __init__(self) -> None:
        self._begin_s: float | None = None
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._hurrying = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="roleml-simulated-links", daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether devices take their time now."""
        return self._begin_s is not None and not self._hurrying.is_set()

    @property
    def now_s(self) -> float:
        return 0.0 if self._begin_s is None else time.monotonic() - self._begin_s

    def begin(self) -> None:
        """Time begins."""
        self._begin_s = time.monotonic()

    def hurry(self) -> None:
        """The simulation is over: what waits comes at once."""
        self._hurrying.set()
        with self._condition:
            self._condition.notify()

    def stop(self) -> None:
        """Do nothing more."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        self._thread.join()

    def at(self, due_s: float, action: Callable[[], object]) -> None:
        """Do it then; of two at the same moment the one that was asked for first comes first."""
        with self._condition:
            heapq.heappush(self._due, (due_s, next(self._numbers), action))
            self._condition.notify()

    def pause(self, seconds: float) -> None:
        """Return after so much time, or when there is a hurry."""
        self._hurrying.wait(min(seconds, threading.TIMEOUT_MAX))

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._stopped and not self._is_due():
                    self._condition.wait(self._wait_s())
                if self._stopped:
                    return
                action = heapq.heappop(self._due)[2]
            try:
                action()
            except Exception:  # the messages of all other actors need this thread
                logger.exception("a message could not be moved on")
            del action  # what it holds may be large

    def _is_due(self) -> bool:
        return bool(self._due) and (self._hurrying.is_set() or self._due[0][0] <= self.now_s)

    def _wait_s(self) -> float | None:
        return min(self._due[0][0] - self.now_s, threading.TIMEOUT_MAX) if self._due else None

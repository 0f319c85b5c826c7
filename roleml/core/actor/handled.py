"""What the roles of an actor have handled so far."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from typing import Any, NamedTuple

__all__ = ["BUCKETS_S", "Durations", "Failed", "Handled"]

#: Upper limits, in seconds, by which durations are counted; the last count is of what took longer.
BUCKETS_S = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)

#: An error's text is cut there.
MOST_CHARACTERS = 500


class Failed(NamedTuple):
    """An exception of a handler, or of ``run()``."""

    where: str
    error_type: str
    text: str
    at_s: float


class Durations:
    """How long the handlers of one channel took."""

    __slots__ = ("buckets", "number", "seconds")

    def __init__(self) -> None:
        self.number = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)

    def add(self, seconds: float) -> None:
        self.number += 1
        self.seconds += seconds
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1


class Handled:
    """Counts what the roles of an actor have handled, and keeps the last failure; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._durations: dict[tuple[str, str], Durations] = {}
        self._failures: Counter[str] = Counter()
        self._last: Failed | None = None

    def done(self, role: str, channel: str, began_s: float) -> None:
        """A service, task or event was handled; ``began_s`` is of the clock ``time.perf_counter``."""
        seconds = time.perf_counter() - began_s
        with self._lock:
            durations = self._durations.get((role, channel))
            if durations is None:
                durations = self._durations[role, channel] = Durations()
            durations.add(seconds)

    def failed(self, role: str, where: str, error: BaseException) -> None:
        """Handling one, or ``run()``, raised."""
        failed = Failed(where, type(error).__name__, str(error)[:MOST_CHARACTERS], time.monotonic())
        with self._lock:
            self._failures[role] += 1
            self._last = failed

    def forget(self, role: str) -> None:
        """The role has ended."""
        with self._lock:
            self._failures.pop(role, None)
            for key in [key for key in self._durations if key[0] == role]:
                del self._durations[key]

    def of(self, role: str) -> tuple[int, int]:
        """How many were handled by a role, and how many times it failed."""
        with self._lock:
            done = sum(each.number for (name, _), each in self._durations.items() if name == role)
            return done, self._failures[role]

    def durations(self, role: str) -> dict[str, dict[str, Any]]:
        """Of each channel that a role has handled: the number, all seconds, and numbers by `BUCKETS_S`."""
        with self._lock:
            return {
                channel: {
                    "number": each.number,
                    "seconds": each.seconds,
                    "buckets": each.buckets.copy(),
                }
                for (name, channel), each in self._durations.items()
                if name == role
            }

    @property
    def last_failure(self) -> Failed | None:
        return self._last

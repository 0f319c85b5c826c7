"""What the roles of an actor have handled so far."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import NamedTuple

__all__ = ["Failed", "Handled"]

#: An error's text is cut there.
MOST_CHARACTERS = 500


class Failed(NamedTuple):
    """An exception of a handler, or of ``run()``."""

    where: str
    error_type: str
    text: str
    at_s: float


class Handled:
    """Counts what the roles of an actor have handled, and keeps the last failure; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._last: Failed | None = None

    def done(self, role: str) -> None:
        """A service, task or event was handled."""
        with self._lock:
            self._done[role] += 1

    def failed(self, role: str, where: str, error: BaseException) -> None:
        """Handling one, or ``run()``, raised."""
        failed = Failed(where, type(error).__name__, str(error)[:MOST_CHARACTERS], time.monotonic())
        with self._lock:
            self._failures[role] += 1
            self._last = failed

    def of(self, role: str) -> tuple[int, int]:
        """How many were handled by a role, and how many times it failed."""
        with self._lock:
            return self._done[role], self._failures[role]

    @property
    def last_failure(self) -> Failed | None:
        return self._last

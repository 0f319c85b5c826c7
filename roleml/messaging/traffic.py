"""What an actor has sent."""

from __future__ import annotations

import threading
from typing import NamedTuple

__all__ = ["Sent", "Traffic"]


class Sent(NamedTuple):
    """How many messages an actor handed to its broker, and their bytes, without those of headers.

    What goes to several receivers at once counts once: that is how it leaves the actor.
    """

    messages: int = 0
    nbytes: int = 0


class Traffic:
    """Counts it, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages = 0
        self._nbytes = 0

    def count(self, nbytes: int) -> None:
        with self._lock:
            self._messages += 1
            self._nbytes += nbytes

    @property
    def sent(self) -> Sent:
        with self._lock:
            return Sent(self._messages, self._nbytes)

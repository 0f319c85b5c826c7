"""What an actor has sent, and whom it has called."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from roleml.messaging.envelope import Address

__all__ = ["Called", "Sent", "Traffic"]

#: How many different calls are told apart; what goes beyond is counted with an empty channel.
MOST_CALLS = 1000
#: How many receivers are told apart; what goes to others is counted for one without a name.
MOST_ACTORS = 10_000


class Sent(NamedTuple):
    """How many messages an actor handed to its broker, and their bytes, without those of headers.

    What goes to several receivers at once counts once: that is how it leaves the actor.
    """

    messages: int = 0
    nbytes: int = 0


class Called(NamedTuple):
    """Which endpoint of an actor called what of whom."""

    source: str
    target: Address
    channel: str


class Traffic:
    """Counts it, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages = 0
        self._nbytes = 0
        self._calls: Counter[Called] = Counter()
        self._links: Counter[str] = Counter()

    def count(self, nbytes: int, receivers: Iterable[str] = ()) -> None:
        """A message has left; ``receivers`` are the actors that it is for, where they are known."""
        with self._lock:
            self._messages += 1
            self._nbytes += nbytes
            for receiver in receivers:
                known = receiver in self._links or len(self._links) < MOST_ACTORS
                self._links[receiver if known else ""] += nbytes

    def called(self, source: str, target: Address, channel: str) -> None:
        """A service or task was called, here or elsewhere."""
        called = Called(source, target, channel)
        with self._lock:
            if called not in self._calls and len(self._calls) >= MOST_CALLS:
                called = Called(source, ("", ""), "")
            self._calls[called] += 1

    @property
    def calls(self) -> Counter[Called]:
        """How often each was called so far."""
        with self._lock:
            return self._calls.copy()

    @property
    def links(self) -> Counter[str]:
        """The bytes that were for each actor; what goes to several counts for each. Events are not in it."""
        with self._lock:
            return self._links.copy()

    @property
    def sent(self) -> Sent:
        with self._lock:
            return Sent(self._messages, self._nbytes)

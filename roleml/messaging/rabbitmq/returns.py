"""Messages that came back, until it is known why. Decisions only: no sockets.

A broker returns what no queue takes. In a cluster that happens, too, where there is a queue, on a node that
is away for a while. Such messages wait for it, and all that follow by the same key wait behind them.
"""

from __future__ import annotations

from enum import Enum

from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.refusals import LOCKED, NOT_FOUND, reply_code

__all__ = ["Found", "Returns", "found"]

#: what a node says of a queue that is kept by a node which is not there
_AWAY = "is down or inaccessible"


class Found(Enum):
    """What became of a queue."""

    HERE = "it is there"
    AWAY = "the node that keeps it is not there"
    ABSENT = "there is none"


def found(error: BaseException | None) -> Found:
    """How the broker took the question whether there is a queue."""
    if error is None:
        return Found.HERE
    code = reply_code(error)
    if not code:
        return Found.AWAY  # no answer: to be asked again
    if code == NOT_FOUND and _AWAY in str(error):
        return Found.AWAY
    return Found.HERE if code == LOCKED else Found.ABSENT


class Returns:
    """The messages of one actor that came back, by their keys, in the order in which they were sent."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Outgoing]] = {}
        self._were_away: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, message: Outgoing) -> bool:
        """A message came back. Whether it is the first of its key: then the queue is to be looked for."""
        waiting = self._waiting.setdefault(message.key, [])
        waiting.append(message)
        return len(waiting) == 1

    def follows(self, message: Outgoing) -> bool:
        """Whether others of its key wait; then it waits behind them."""
        if message.key not in self._waiting:
            return False
        message.returned = False
        self._waiting[message.key].append(message)
        return True

    def away(self, key: str) -> None:
        """They go on waiting."""
        self._were_away.add(key)

    def resume(self, key: str, what: Found) -> tuple[list[Outgoing], list[Outgoing]]:
        """What is to be sent again, and what nobody will ever take.

        Where there is a queue, and no node was away, it may have come in between: that is tried once. After
        that, the queue is not bound to the key.
        """
        waiting, was_away = self._waiting.pop(key, []), key in self._were_away
        self._were_away.discard(key)
        again, given_up = [], []
        for message in waiting:
            if message.returned and (what is Found.ABSENT or (message.tried_again and not was_away)):
                given_up.append(message)
                continue
            message.tried_again |= message.returned
            again.append(message)
        return again, given_up

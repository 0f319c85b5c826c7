"""Remembers which messages came already: after a lost connection, some come twice."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Seen", "owned"]

REMEMBERED = 20_000


def owned(actor: str, id: str | bytes) -> str:
    """An id together with who made it up: nobody can use up the ids of others, which are easily guessed."""
    return f"{actor}/{id!r}"


class Seen:
    """The last message ids of one actor."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()  # not a dict, which forgets its first slowly
        self._size = size

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._ids

    def first_time(self, message_id: str) -> bool:
        """Whether this id is new."""
        if message_id in self._ids:
            return False
        self._ids[message_id] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True

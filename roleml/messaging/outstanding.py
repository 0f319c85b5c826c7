"""What an actor has asked, and what is not answered yet."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Sequence

from roleml.messaging.envelope import Address, Envelope, Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.pending import Pending

__all__ = ["Outstanding"]


class Outstanding:
    """The table of it. Who takes a request out of it finishes it, so that this happens once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._life, self._numbers = uuid.uuid4().hex, itertools.count(1)  # what ids of requests are made of
        self._pending: dict[str, Pending] = {}
        self._released: set[str] = set()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._pending

    def all(self) -> list[Pending]:
        """All of it, the oldest first."""
        with self._lock:
            return list(self._pending.values())

    def new(self, kind: Kind, source: Address, target: Address, channel: str) -> Pending:
        """A request with an id of its own, which is not in the table yet."""
        return Pending(f"{self._life}-{next(self._numbers)}", kind, source, target, channel)

    def keep(self, pendings: Sequence[Pending]) -> None:
        """Put requests of one source into the table.

        Raises:
            MsgConnectionError: the source is released, and cannot wait for anything.
        """
        with self._lock:
            released = pendings[0].source[1] in self._released if pendings else False
            if not released:
                self._pending.update((pending.id, pending) for pending in pendings)
        if released:
            who = "/".join(pendings[0].source)
            raise MsgConnectionError(f"{who} was stopped, and cannot wait for {pendings[0]} any more")

    def take(self, request_id: str) -> Pending | None:
        """Take one out, if it is there."""
        with self._lock:
            return self._pending.pop(request_id, None)

    def take_all(self, which: Callable[[Pending], bool]) -> list[Pending]:
        """Take out all of which that is true."""
        with self._lock:
            taken = [pending for pending in self._pending.values() if which(pending)]
            for pending in taken:
                del self._pending[pending.id]
        return taken

    def answered(self, answer: Envelope) -> Pending | None:
        """What this answers: taken out by a ``RESULT``, and left by ``ACCEPTED``.

        ``None`` for what is unknown, and for an answer of anybody else than who was asked.
        """
        with self._lock:
            pending = self._pending.get(answer.id)
            if pending is None or pending.target[0] != answer.source[0]:
                return None
            if answer.kind is Kind.RESULT:
                del self._pending[answer.id]
            return pending

    def release(self, endpoint: str) -> None:
        """Nothing is kept for this endpoint from now on, until `hold`."""
        with self._lock:
            self._released.add(endpoint)

    def hold(self, endpoint: str) -> None:
        with self._lock:
            self._released.discard(endpoint)

    def is_released(self, endpoint: str) -> bool:
        return endpoint in self._released

"""Whom an actor watches, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable

from roleml.messaging.transport import Presence, Transport

__all__ = ["Watched"]


class Watched:
    """The actors whose presence is followed: while they are there, or anybody wants them.

    Whoever begins to want an actor notes that first and watches it afterwards, so that `unwatch` either sees
    it or is followed by a watch anew.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()  # while the transport is told
        self._actors: set[str] = set()
        self._gone: set[str] = set()  # of these
        self._wanted: list[Callable[[str], bool]] = []

    def while_wanted(self, wanted: Callable[[str], bool]) -> None:
        """`unwatch` leaves alone whom ``wanted(actor)`` says that it needs."""
        self._wanted.append(wanted)

    def watch(self, actors: set[str]) -> None:
        """Raises ``MsgConnectionError`` if the broker refuses."""
        if actors <= self._actors:
            return
        with self._lock:
            for actor in actors - self._actors:
                self._transport.watch(actor)
                self._actors.add(actor)

    def unwatch(self, actor: str) -> None:
        """If the actor is gone, and nobody wants it, hear of it no more."""
        with self._lock:
            if actor not in self._gone:
                return
            self._actors.discard(actor)
            if any(wanted(actor) for wanted in self._wanted):
                self._actors.add(actor)
            else:
                self._gone.discard(actor)
                self._transport.unwatch(actor)

    def note(self, actor: str, state: Presence) -> None:
        """There is news of it."""
        if state is Presence.READY:
            self._gone.discard(actor)
        elif actor in self._actors:
            self._gone.add(actor)

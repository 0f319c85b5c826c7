"""The embedded broker: connects the actors of one process, without a server or a thread of its own.

A message is delivered in the sender's thread, which only enqueues it at the receiver. Every message is one
copy of the sender's data, whatever the number of targets, so actors never share objects.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

from roleml.messaging.codec import Body
from roleml.messaging.envelope import Address, Envelope, Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.filters import Filters, Stamps, passes
from roleml.messaging.transport import Absence, Presence, Receiver, Transport

__all__ = ["EmbeddedBroker", "EmbeddedTransport", "broker_at"]

Key = TypeVar("Key", bound=Hashable)


class EmbeddedBroker:
    """Who is there, who subscribed to what, and who watches whom. One lock, held only to look and to note."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._members: dict[str, EmbeddedTransport] = {}
        self._subscribers: dict[tuple[Address, str], dict[str, tuple[EmbeddedTransport, Filters]]] = {}
        self._watchers: dict[str, dict[str, EmbeddedTransport]] = {}

    def join(self, member: EmbeddedTransport) -> None:
        with self._lock:
            if self._members.setdefault(member.name, member) is not member:
                raise MsgConnectionError(
                    f"an actor named {member.name!r} is already connected to {self.url}; "
                    "stop() that one first, or give this one another name"
                )

    def leave(self, member: EmbeddedTransport) -> None:
        with self._lock:
            if self._members.get(member.name) is not member:
                return
            del self._members[member.name]
            for key in [key for key, members in self._subscribers.items() if member.name in members]:
                self._drop(self._subscribers, key, member.name)
            for actor in [actor for actor, members in self._watchers.items() if member.name in members]:
                self._drop(self._watchers, actor, member.name)

    def member(self, name: str) -> EmbeddedTransport | None:
        with self._lock:
            return self._members.get(name)

    def subscribe(self, member: EmbeddedTransport, source: Address, channel: str, filters: Filters) -> None:
        with self._lock:
            self._subscribers.setdefault((source, channel), {})[member.name] = member, filters

    def unsubscribe(self, member: EmbeddedTransport, source: Address, channel: str) -> None:
        with self._lock:
            self._drop(self._subscribers, (source, channel), member.name)

    def subscribers(self, source: Address, channel: str, stamps: Stamps) -> list[EmbeddedTransport]:
        with self._lock:
            subscribers = list(self._subscribers.get((source, channel), {}).values())
        return [member for member, filters in subscribers if filters is None or passes(stamps, filters)]

    def watch(self, member: EmbeddedTransport, actor: str) -> None:
        with self._lock:
            self._watchers.setdefault(actor, {})[member.name] = member

    def unwatch(self, member: EmbeddedTransport, actor: str) -> None:
        with self._lock:
            self._drop(self._watchers, actor, member.name)

    def watchers(self, actor: str) -> list[EmbeddedTransport]:
        with self._lock:
            return list(self._watchers.get(actor, {}).values())

    @staticmethod
    def _drop(table: dict[Key, dict[str, Any]], key: Key, name: str) -> None:
        members = table.get(key, {})
        members.pop(name, None)
        if not members:
            table.pop(key, None)


_registry: dict[str, EmbeddedBroker] = {}
_registry_lock = threading.Lock()


def broker_at(url: str) -> EmbeddedBroker:
    """The broker of that URL in this process, made at first use.

    ``embedded://`` is what actors use by default; ``embedded://name`` are others, which share nothing.
    """
    with _registry_lock:
        if url not in _registry:
            _registry[url] = EmbeddedBroker(url)
        return _registry[url]


class EmbeddedTransport(Transport):
    """An actor's place at an embedded broker."""

    def __init__(self, name: str, url: str = "embedded://") -> None:
        super().__init__(name)
        self._broker = broker_at(url)
        self._receiver: Receiver | None = None  # only between start and stop
        self._sender: Receiver  # who hears of returned messages, also after stop
        self._channels: dict[str, dict[Kind, frozenset[str]]] = {}

    def start(self, receiver: Receiver) -> None:
        self._broker.join(self)
        self._receiver = self._sender = receiver

    def bind(self, endpoint: str, services: Iterable[str], tasks: Iterable[str]) -> None:
        self._channels[endpoint] = {Kind.SERVICE: frozenset(services), Kind.TASK: frozenset(tasks)}

    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None:
        self._channels.pop(endpoint, None)

    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        copy: Body | None = None
        for envelope in envelopes:
            target = self._broker.member(envelope.target[0])
            absence = self._absence(envelope, target)
            if absence is not None:
                self._sender.returned(envelope, absence)
            elif target is not None:
                copy = copy or body.snapshot()
                target._take(envelope, copy)

    def publish(self, envelope: Envelope, body: Body, stamps: Stamps | None = None) -> None:
        members = self._broker.subscribers(envelope.source, envelope.channel, stamps or {})
        if members and self._receiver is not None:
            copy = body.snapshot()
            for member in members:
                member._take(envelope, copy)

    def subscribe(self, source: Address, channel: str, filters: Filters = None) -> bool:
        self._broker.subscribe(self, source, channel, filters)
        return True

    def unsubscribe(self, source: Address, channel: str) -> None:
        self._broker.unsubscribe(self, source, channel)

    def watch(self, actor: str) -> None:
        self._broker.watch(self, actor)

    def unwatch(self, actor: str) -> None:
        self._broker.unwatch(self, actor)

    def announce(self, state: Presence) -> None:
        for watcher in self._broker.watchers(self.name):
            receiver = watcher._receiver
            if receiver is not None and watcher is not self:
                receiver.presence(self.name, state)

    def stop(self) -> None:
        if self._receiver is not None:
            self._broker.leave(self)
            self._receiver = None
            self.announce(Presence.DOWN)

    def _absence(self, envelope: Envelope, target: EmbeddedTransport | None) -> Absence | None:
        """What of the envelope's address is missing."""
        if self._receiver is None:
            return Absence.STOPPED
        if target is None or target._receiver is None:
            return Absence.NO_ACTOR
        return target._missing(envelope)

    def _missing(self, envelope: Envelope) -> Absence | None:
        if envelope.kind is not Kind.SERVICE and envelope.kind is not Kind.TASK:
            return None
        channels = self._channels.get(envelope.target[1])
        bound = channels is not None and envelope.channel in channels[envelope.kind]
        return None if bound else Absence.NOT_BOUND

    def _take(self, envelope: Envelope, body: Body) -> None:
        receiver = self._receiver
        if receiver is not None:
            receiver.deliver(envelope, body)

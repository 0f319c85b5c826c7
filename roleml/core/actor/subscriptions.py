"""Who listens to what: the records behind events, without I/O.

A :class:`Source` is one event channel of a role on this actor; a :class:`Subscription` is one handler of a
role on this actor for one channel, here or elsewhere. Both are small state machines: they take what happened
and say what is to be done, under a lock of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from roleml.core.actor.conditions import Condition, check_conditions
from roleml.core.context import RoleInstanceID
from roleml.core.role.types import EventSubscriptionMode, Message
from roleml.messaging.filters import Filters, filter_of

__all__ = ["ChannelID", "Emission", "Inlet", "Source", "Subscription"]


class ChannelID(NamedTuple):
    """One event channel of one role instance."""

    source: RoleInstanceID
    channel: str

    def __str__(self) -> str:
        return f"{self.source}.{self.channel}"


class Emission(NamedTuple):
    """One message of a channel."""

    origin: ChannelID
    sequence: int
    message: Message


@dataclass(eq=False)
class Subscription:
    """One handler of role ``subscriber`` for one channel.

    ``tag`` tells the handlers of one role apart: the attribute name of a declared handler, or empty for the
    one that the role subscribed by itself.
    """

    subscriber: str
    origin: ChannelID
    tag: str
    handler: Callable[[RoleInstanceID, Mapping[str, Any], Mapping[str, Any]], Any]
    conditions: tuple[Condition, ...] = ()
    mode: EventSubscriptionMode = "forever"
    #: whether its source has ended
    discontinued: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _since: int | None = None
    _early: list[Emission] = field(default_factory=list, repr=False)
    _ended: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.subscriber, self.tag

    def same_as(self, other: Subscription) -> bool:
        return (self.handler, self.conditions, self.mode) == (other.handler, other.conditions, other.mode)

    def begin(self, sequence: int) -> list[Emission]:
        """The source accepted after emitting ``sequence`` messages; returns what came early and counts."""
        with self._lock:
            self._since = sequence
            early, self._early = self._early, []
            return [emission for emission in early if self._wants(emission)]

    def go_on(self, sequence: int) -> None:
        """The source was asked again, and has emitted so many: a successor counts from the beginning."""
        with self._lock:
            if self._since is not None:
                self._since = min(self._since, sequence)

    def end(self) -> None:
        with self._lock:
            self._ended = True

    def take(self, emission: Emission) -> bool:
        """Whether to deliver this message now. A ``once`` subscription says so a single time, and ends."""
        with self._lock:
            if self._since is None and not self._ended:
                self._early.append(emission)
                return False
            return self._wants(emission)

    def _wants(self, emission: Emission) -> bool:
        if self._ended or self._since is None or emission.sequence <= self._since:
            return False
        args = emission.message.args
        if self.conditions and not (args and check_conditions(args, self.conditions)):
            return False
        self._ended = self.mode == "once"
        return True

    @property
    def begun(self) -> bool:
        """Whether the source has accepted it."""
        return self._since is not None

    @property
    def ended(self) -> bool:
        return self._ended


class Source:
    """One event channel of a role on this actor, and who elsewhere subscribed to it.

    ``order`` serialises emissions with each other and with subscribing: it is the one lock that is held while
    messages are handed over, since their order is the promise.
    """

    def __init__(self, origin: ChannelID) -> None:
        self.origin = origin
        self.order = threading.RLock()
        self.sequence = 0
        #: remote actor -> its subscribed roles
        self.remote: dict[str, set[str]] = {}

    def next(self, message: Message) -> Emission:
        self.sequence += 1
        return Emission(self.origin, self.sequence, message)

    def add_remote(self, subscriber: RoleInstanceID) -> int:
        """Note a remote subscriber; returns the number of messages that it has missed."""
        with self.order:
            self.remote.setdefault(subscriber.actor_name, set()).add(subscriber.instance_name)
            return self.sequence

    def drop_remote(self, subscriber: RoleInstanceID) -> None:
        with self.order:
            roles = self.remote.get(subscriber.actor_name, set())
            roles.discard(subscriber.instance_name)
            if not roles:
                self.remote.pop(subscriber.actor_name, None)

    def drop_actor(self, actor: str) -> None:
        with self.order:
            self.remote.pop(actor, None)


class Inlet:
    """All subscriptions of this actor to one channel, in the order they were made.

    Whoever adds or removes one holds ``gate``, also while the source and the transport are told that nobody
    here listens any more: who subscribes at that moment comes after. A ``closed`` inlet takes no more.
    """

    def __init__(self) -> None:
        self.gate = threading.RLock()
        self.closed = False
        #: what the transport was last told that is wanted here
        self.asked: Filters = frozenset()
        self._lock = threading.Lock()
        self._subscriptions: dict[tuple[str, str], Subscription] = {}

    def put(self, subscription: Subscription) -> Subscription | None:
        """Add or replace; returns what stands already and is the same, in which case nothing changes."""
        with self._lock:
            known = self._subscriptions.get(subscription.key)
            if known is not None and not known.ended and known.same_as(subscription):
                return known
            if known is not None:
                known.end()
            self._subscriptions[subscription.key] = subscription
            return None

    def remove(self, subscriptions: Iterable[Subscription]) -> None:
        with self._lock:
            for subscription in subscriptions:
                subscription.end()
                if self._subscriptions.get(subscription.key) is subscription:
                    del self._subscriptions[subscription.key]

    def all(self) -> list[Subscription]:
        with self._lock:
            return list(self._subscriptions.values())

    def filters(self) -> Filters:
        """What events have to pass to be of use here; ``None``: all are."""
        filters = frozenset(
            filter_of((each.name, each.value) for each in subscription.conditions if each.is_equality)
            for subscription in self.all()
            if not subscription.ended
        )
        return None if frozenset() in filters else filters

    def of(self, subscriber: str) -> list[Subscription]:
        return [subscription for subscription in self.all() if subscription.subscriber == subscriber]

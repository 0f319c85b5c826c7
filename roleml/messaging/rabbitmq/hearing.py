"""What an actor hears of others, and lets them hear: events and presence, as bindings of its events queue.

What is wanted is kept here as data, and applied anew whenever there is a connection again.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Protocol

import pika.channel
import pika.exceptions

from roleml.messaging.envelope import Address
from roleml.messaging.filters import Filters
from roleml.messaging.rabbitmq import names, topology
from roleml.messaging.rabbitmq.lending import Channels, ChannelSteps, Steps
from roleml.messaging.rabbitmq.refusals import NOT_FOUND, reply_code
from roleml.messaging.rabbitmq.topology import (
    EventBinding,
    bound_to,
    event_bindings,
    event_exchanges,
    one,
)

__all__ = ["Hearing", "Runner"]

logger = logging.getLogger("roleml.messaging.rabbitmq")


class Runner(Protocol):
    """Who runs operations on the broker for an actor."""

    def do(self, make_steps: ChannelSteps) -> None:
        """Run them and wait, also for a connection. Raises ``MsgConnectionError`` if the broker refuses."""

    def undo(self, make_steps: ChannelSteps) -> None:
        """Run them and wait, if there is a connection."""

    @property
    def is_up(self) -> bool:
        """In the connection's thread: whether the actor's queues are there."""

    @property
    def channels(self) -> Channels:
        """In the connection's thread, while it is connected."""


class Hearing:
    """The event channels of one actor, its subscriptions to those of others, and whom it watches.

    What waits for the broker is for any thread; steps, and what says so, are for the connection's.
    """

    def __init__(self, name: str, runner: Runner) -> None:
        self._name = name
        self._runner = runner
        self._queue = names.events_queue(name)
        self._lock = threading.Lock()
        self._offered: set[tuple[str, str]] = set()
        self._subscriptions: dict[tuple[Address, str], Filters] = {}
        self._unbound: set[tuple[Address, str]] = set()
        self._watched: set[str] = set()

    def offer(self, name: str, channel: str) -> None:
        """Make the exchanges of an event channel, once."""
        if (name, channel) not in self._offered:
            self._runner.do(event_exchanges((self._name, name), channel))
            with self._lock:
                self._offered.add((name, channel))

    def subscribe(self, source: Address, channel: str, filters: Filters) -> bool:
        """Whether the broker has the source's channel; if not, it is bound once the source is ready."""
        with self._lock:
            before = self._subscriptions.get((source, channel), frozenset())
            self._subscriptions[source, channel] = filters
        self._runner.do(lambda admin: self._subscribe_steps(admin, source, channel, filters, before))
        return (source, channel) not in self._unbound

    def unsubscribe(self, source: Address, channel: str) -> None:
        with self._lock:
            if (source, channel) not in self._subscriptions:
                return
            before = self._subscriptions.pop((source, channel))
            if (source, channel) in self._unbound:
                self._unbound.discard((source, channel))
                return
        self._runner.undo(lambda _: self._unbind_events(event_bindings(source, channel, before)))

    def watch(self, actor: str) -> None:
        with self._lock:
            self._watched.add(actor)
        self._runner.do(lambda admin: self._watch_steps(admin, actor))

    def unwatch(self, actor: str) -> None:
        with self._lock:
            self._watched.discard(actor)
        self._runner.undo(lambda admin: self._unwatch_steps(admin, actor))

    def watched(self) -> list[str]:
        with self._lock:
            return list(self._watched)

    def steps(self, admin: pika.channel.Channel) -> Steps:
        """All of it, on a new connection."""
        with self._lock:
            offered, watched = set(self._offered), set(self._watched)
            subscriptions = dict(self._subscriptions)
        for name, channel in offered:
            yield from event_exchanges((self._name, name), channel)(admin)
        for actor in watched:
            yield from self._watch_steps(admin, actor)
        for (source, channel), filters in subscriptions.items():
            try:
                yield from self._subscribe_steps(admin, source, channel, filters, frozenset())
            except pika.exceptions.AMQPError as e:
                logger.error("actor %s gets no %s of %s: %s", self._name, channel, "/".join(source), e)

    def withdraw_steps(self, admin: pika.channel.Channel, name: str) -> Steps:
        """The event channels of an endpoint that is gone."""
        with self._lock:
            offered = {offer for offer in self._offered if offer[0] == name}
            self._offered -= offered
        yield from topology.no_event_exchanges(admin, (self._name, name), [event for _, event in offered])

    def _subscribe_steps(
        self,
        admin: pika.channel.Channel,
        source: Address,
        channel: str,
        filters: Filters,
        before: Filters,
    ) -> Steps:
        """Bind to the source's exchanges, or wait until the source has made them.

        Nobody makes them in its place: it may be leaving, and would not come to delete them. New bindings
        come before old ones go, and the broker delivers one copy whatever matches: no gap.
        """
        wanted, outdated = (event_bindings(source, channel, each) for each in (filters, before))
        if wanted:
            bind = self._runner.channels.aside(bound_to(self._queue, wanted))
            error = yield bind
            if reply_code(error) == NOT_FOUND:
                self._unbound.add((source, channel))
                yield from self._watch_steps(admin, source[0])
                error = yield bind  # it may have made them before it was watched
            if reply_code(error) == NOT_FOUND:
                return
            if error is not None:
                raise error
        self._unbound.discard((source, channel))
        yield from self._unbind_events([binding for binding in outdated if binding not in wanted])

    def _unbind_events(self, bindings: list[EventBinding]) -> Steps:
        for binding in bindings:
            unbind = one("queue_unbind", self._queue, binding.exchange, "", binding.arguments)
            error = yield self._runner.channels.aside(unbind)
            if error is not None and reply_code(error) != NOT_FOUND:
                raise error  # not found: the source has left, and its exchange with it

    def announced(self, actor: str) -> None:
        """In the connection's thread: that actor is ready, so its event channels may exist by now."""
        late = [key for key in self._unbound if key[0][0] == actor]
        if late and self._runner.is_up:
            self._runner.channels.run(partial(self._late_steps, subscriptions=late), lambda error: None)

    def _late_steps(self, admin: pika.channel.Channel, subscriptions: list[tuple[Address, str]]) -> Steps:
        for source, channel in subscriptions:
            if (source, channel) in self._subscriptions:
                filters = self._subscriptions[source, channel]
                yield from self._subscribe_steps(admin, source, channel, filters, frozenset())
                if (source, channel) not in self._subscriptions:  # unsubscribed meanwhile
                    yield from self._unbind_events(event_bindings(source, channel, filters))

    def _watch_steps(self, admin: pika.channel.Channel, actor: str) -> Steps:
        yield partial(admin.queue_bind, self._queue, names.PRESENCE, names.presence_key(actor, "*"))

    def _unwatch_steps(self, admin: pika.channel.Channel, actor: str) -> Steps:
        yield partial(admin.queue_unbind, self._queue, names.PRESENCE, names.presence_key(actor, "*"))

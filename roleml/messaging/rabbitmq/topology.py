"""What exists on the broker for an actor, as sequences of operations on a channel.

Nothing here holds a connection or state: these are the steps of `lending`. They yield what is to be done on a
channel, one operation after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pika.channel

from roleml.messaging.envelope import Address, Kind
from roleml.messaging.filters import OPAQUE, Filters
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.lending import ChannelSteps, Steps, together
from roleml.messaging.rabbitmq.wire import stamp_headers

__all__ = [
    "Endpoint",
    "EventBinding",
    "bound_to",
    "dead_queue",
    "event_bindings",
    "event_exchanges",
    "inbox",
    "no_event_exchanges",
    "one",
    "request_queues",
]


@dataclass(frozen=True)
class Endpoint:
    """What one role serves."""

    services: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class EventBinding:
    """How a subscriber's queue hangs on a source's channel."""

    exchange: str
    arguments: dict[str, str] | None = None


def event_bindings(source: Address, channel: str, filters: Filters) -> list[EventBinding]:
    """One binding for each filter, and one for events that no filter can judge; or one for all events."""
    if filters is None:
        return [EventBinding(names.event_exchange(source, channel))]
    where = names.filter_exchange(source, channel)
    wanted = [dict(each) for each in sorted(filters, key=sorted)]
    if wanted:
        wanted.append({OPAQUE: "1"})
    return [EventBinding(where, {"x-match": "all", **stamp_headers(each)}) for each in wanted]


def bound_to(queue: str, bindings: Iterable[EventBinding]) -> ChannelSteps:
    """Hang a subscriber's queue on a source's channel."""

    def steps(channel: pika.channel.Channel) -> Steps:
        yield together(
            *[partial(channel.queue_bind, queue, each.exchange, "", each.arguments) for each in bindings]
        )

    return steps


def one(operation: str, *arguments: Any, **options: Any) -> ChannelSteps:
    """A single operation, by the name of the channel's method."""

    def steps(channel: pika.channel.Channel) -> Steps:
        yield partial(getattr(channel, operation), *arguments, **options)

    return steps


def inbox(channel: pika.channel.Channel, actor: str) -> Steps:
    """The queue for answers, and the one for events and news, which goes with the connection."""
    queue = names.inbox_queue(actor)
    yield together(
        partial(channel.queue_declare, queue, durable=True, arguments=names.inbox_arguments()),
        partial(channel.queue_bind, queue, names.CALL, names.inbox_key(actor)),
        partial(
            channel.queue_declare,
            names.events_queue(actor),
            exclusive=True,
            arguments=names.connection_arguments("events"),
        ),
    )


def request_queues(
    channel: pika.channel.Channel, actor: str, name: str, endpoint: Endpoint, old: Endpoint | None
) -> Steps:
    """The queues of a role's services and tasks, with a key for each channel; ``old`` is what it had."""
    for kind, channels, outdated in (
        (Kind.SERVICE, endpoint.services, old.services if old else ()),
        (Kind.TASK, endpoint.tasks, old.tasks if old else ()),
    ):
        queue = names.request_queue(actor, name, kind)
        keys = {names.request_key(actor, name, kind, each) for each in channels}
        gone = {names.request_key(actor, name, kind, each) for each in outdated} - keys
        if keys:
            arguments = names.request_arguments(name, kind)
            yield together(
                partial(channel.queue_declare, queue, durable=True, arguments=arguments),
                *[partial(channel.queue_bind, queue, names.CALL, key) for key in sorted(keys)],
            )
        for key in sorted(gone):
            yield partial(channel.queue_unbind, queue, names.CALL, key)


def event_exchanges(source: Address, name: str) -> ChannelSteps:
    """The exchange of an event channel, and one behind it for those who want only some of its events."""
    exchange, where = names.event_exchange(source, name), names.filter_exchange(source, name)

    def steps(channel: pika.channel.Channel) -> Steps:
        yield together(
            partial(channel.exchange_declare, exchange, "fanout", durable=True),
            partial(channel.exchange_declare, where, "headers", durable=True),
            partial(channel.exchange_bind, where, exchange, ""),
        )

    return steps


def no_event_exchanges(channel: pika.channel.Channel, source: Address, event_names: Iterable[str]) -> Steps:
    for name in event_names:
        yield partial(channel.exchange_delete, names.filter_exchange(source, name))
        yield partial(channel.exchange_delete, names.event_exchange(source, name))


def dead_queue(channel: pika.channel.Channel, actor: str) -> Steps:
    """Where tasks are set aside."""
    queue = names.dead_queue(actor)
    yield partial(channel.queue_declare, queue, durable=True, arguments=names.dead_arguments())
    yield partial(channel.queue_bind, queue, names.CALL, names.dead_key(actor))

"""Tries what an actor needs of a broker, one thing after the other, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.refusals import explain
from roleml.messaging.rabbitmq.transfers import CHUNK_BYTES

__all__ = ["CODES", "OLDEST", "Finding", "probe"]

#: The oldest RabbitMQ that is tested.
OLDEST = (3, 10)
#: How long a broker may take for something small before it counts as blocked.
PATIENCE_S = 5.0
ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED, PRECONDITION_FAILED = 403, 404, 405, 406


#: what is found, by its subject. A code never changes
CODES = {
    "connection": "RML-B001",
    "version": "RML-B002",
    "permission": "RML-B003",
    "broker": "RML-B004",
    "alarm": "RML-B005",
    "limits": "RML-B006",
    "name": "RML-B007",
    "management": "RML-B008",
    "node": "RML-B009",
    "cluster": "RML-B010",
    "tasks": "RML-B011",
    "consumers": "RML-B012",
    "version skew": "RML-B013",
    "leftovers": "RML-B014",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    #: ``ok``, ``warning`` (may be as it should), or ``error`` (actors will not work)
    level: str
    subject: str
    text: str
    remedy: str = ""

    @property
    def code(self) -> str:
        """Leads to a page that says more; empty if there is nothing to say."""
        return "" if self.level == "ok" else CODES[self.subject]


def probe(url: BrokerURL, actor: str | None = None) -> Iterator[Finding]:
    """Connect as an actor would, and try queues, exchanges and messages; with ``actor``, look for its name.

    Ends with the first thing without which there is nothing more to try.
    """
    parameters = url.parameters(
        0, {"connection_name": f"roleml doctor (pid {os.getpid()} on {socket.gethostname()})"}
    )
    parameters.blocked_connection_timeout = PATIENCE_S
    try:
        connection = BlockingConnection(parameters)
    except (pika.exceptions.AMQPError, OSError) as e:
        what, _, remedy = explain(url, e).rpartition("; ")
        yield Finding("error", "connection", what, remedy)
        return
    try:
        yield from _version(connection, url)
        yield from _Examination(connection, url, actor).findings()
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            connection.close()


def _version(connection: BlockingConnection, url: BrokerURL) -> Iterator[Finding]:
    told = connection._impl.server_properties or {}  # pika shows it nowhere else
    text = str(told.get("version", "?"))
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        yield Finding(
            "error", "version", f"RabbitMQ {text} at {url}", f"RoleML is tested from {wanted} on: upgrade it"
        )
    else:
        yield Finding("ok", "version", f"{told.get('product', 'RabbitMQ')} {text} at {url}")


class _Examination:
    """Steps on channels of their own, since the broker closes the one on which it refuses something."""

    def __init__(self, connection: BlockingConnection, url: BrokerURL, actor: str | None) -> None:
        self._connection = connection
        self._url = url
        self._actor = actor
        # within what a user may do whose rights are those of one actor
        end = f"{actor or url.user}.@doctor-{uuid.uuid4().hex[:8]}"
        self._queue, self._key = f"q.{end}", f"to.{end}"
        self._exchange = ""
        self._blocked = ""
        connection.add_on_connection_blocked_callback(self._note)

    def findings(self) -> Iterator[Finding]:
        """What is found, in the order in which an actor would need it."""
        refused = self._try(lambda channel: channel.queue_declare(self._queue, exclusive=True))
        yield self._permission(refused, f"make queues such as {self._queue}", "configure")
        if refused is not None:
            return
        yield from self._exchanges()
        yield from self._messages()
        if self._actor is not None:
            yield self._name(self._actor)

    def _note(self, _: Any, method: Any) -> None:
        self._blocked = str(method.method.reason)

    def _try(self, step: Callable[[BlockingChannel], Any]) -> pika.exceptions.ChannelClosedByBroker | None:
        channel = self._connection.channel()
        try:
            step(channel)
        except pika.exceptions.ChannelClosedByBroker as e:
            return e
        channel.close()
        return None

    def _permission(
        self, refused: pika.exceptions.ChannelClosedByBroker | None, what: str, which: str
    ) -> Finding:
        if refused is None:
            return Finding("ok", "permission", f"user {self._url.user} may {what}")
        return Finding(
            "error",
            "permission" if refused.reply_code == ACCESS_REFUSED else "broker",
            f"user {self._url.user} cannot {what}: {refused.reply_text}",
            f"give it the permission '{which}': rabbitmqctl set_permissions -p {self._url.vhost} "
            f"{self._url.user} '.*' '.*' '.*', or roleml broker provision for narrower ones",
        )

    def _exchanges(self) -> Iterator[Finding]:
        missing = self._try(lambda channel: channel.exchange_declare(names.CALL, passive=True))
        if missing is None:
            self._exchange = names.CALL
            bound = self._try(lambda channel: channel.queue_bind(self._queue, names.CALL, self._key))
            yield self._permission(bound, f"bind queues to {names.CALL}", "read")
        elif missing.reply_code == NOT_FOUND:
            what = f"make the exchange {names.CALL}, which is not there yet"
            yield self._permission(self._try(self._make_exchange), what, "configure")
        else:
            yield self._permission(missing, f"look at the exchange {names.CALL}", "configure")

    def _make_exchange(self, channel: BlockingChannel) -> None:
        trial = f"rml.doctor-{uuid.uuid4().hex[:8]}"
        channel.exchange_declare(trial, "topic", auto_delete=True)
        channel.exchange_delete(trial)

    def _messages(self) -> Iterator[Finding]:
        sizes = {
            "a small message": 1024,
            f"a piece of {CHUNK_BYTES >> 20} MiB of a large payload": CHUNK_BYTES,
        }
        for what, size in sizes.items():
            try:
                refused = self._try(lambda channel, n=size: self._send(channel, n))  # type: ignore[misc]
            except pika.exceptions.ConnectionBlockedTimeout:
                yield Finding(
                    "error",
                    "alarm",
                    f"the broker takes no messages{self._blocked and ': ' + self._blocked}",
                    "free memory or disk on its host, or change vm_memory_high_watermark or disk_free_limit; "
                    "what actors send waits until then",
                )
                return
            if refused is None:
                yield Finding("ok", "messages", f"{what} passes")
            elif refused.reply_code == PRECONDITION_FAILED:
                yield Finding(
                    "error",
                    "limits",
                    f"{what} does not pass: {refused.reply_text}",
                    f"set max_message_size in rabbitmq.conf to {16 << 20} (what RabbitMQ 4 has) or more",
                )
            else:
                yield self._permission(refused, f"publish {what}", "write")

    def _send(self, channel: BlockingChannel, size: int) -> None:
        channel.confirm_delivery()
        channel.basic_publish(self._exchange, self._key if self._exchange else self._queue, bytes(size))
        channel.queue_purge(self._queue)

    def _name(self, actor: str) -> Finding:
        queue = names.alive_queue(actor)
        refused = self._try(lambda channel: channel.queue_declare(queue, passive=True))
        if refused is not None and refused.reply_code == RESOURCE_LOCKED:
            return Finding(
                "error",
                "name",
                f"an actor named {actor!r} is connected already",
                "stop that one, or give this one another name; after a crash it is free within half a minute",
            )
        return Finding("ok", "name", f"no actor named {actor!r} is connected")

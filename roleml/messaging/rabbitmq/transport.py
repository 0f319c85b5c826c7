"""The transport over RabbitMQ: what the contract asks for, in terms of queues and exchanges.

All actors of a process that use one URL share two connections: one publishes, one consumes, so a broker that
takes no messages for a while still delivers and takes acknowledgements.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from roleml.messaging.codec import Body
from roleml.messaging.envelope import Address, Envelope, Kind
from roleml.messaging.exceptions import DecodeError, MsgConnectionError
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.consuming import Consumer, Endpoint
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.publishing import Outgoing, Publisher
from roleml.messaging.rabbitmq.seen import Seen
from roleml.messaging.rabbitmq.transfers import WHOLE_BYTES, Transfers, checksum, chunks_of
from roleml.messaging.rabbitmq.wire import MalformedError, envelope_of, headers_of
from roleml.messaging.transport import Absence, Presence, Receiver, Transport

__all__ = ["RabbitTransport"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: A header frame holds at most 128 KiB of routing keys
TARGETS_PER_UPLOAD = 200
DRAIN_S = 10.0
#: How long an actor whose connection was lost may take to come back before it counts as down.
GRACE_S = 0.8


@dataclass
class _Connections:
    """The two connections of a process to one broker, and the actors that use them."""

    publishing: Connection
    consuming: Connection
    actors: set[str] = field(default_factory=set)


_connections: dict[str, _Connections] = {}
_connections_lock = threading.Lock()


def _join(url: str, parsed: BrokerURL, name: str) -> _Connections:
    with _connections_lock:
        shared = _connections.get(url)
        if shared is None:
            shared = _Connections(Connection(parsed, "publish"), Connection(parsed, "consume"))
            shared.publishing.start()
            try:
                shared.consuming.start()
            except MsgConnectionError:
                shared.publishing.stop()
                raise
            _connections[url] = shared
        if name in shared.actors:
            raise MsgConnectionError(
                f"an actor named {name!r} is already connected to {parsed} in this process; "
                "stop() that one first, or give this one another name"
            )
        shared.actors.add(name)
        return shared


def _leave(url: str, name: str) -> None:
    with _connections_lock:
        shared = _connections[url]
        shared.actors.discard(name)
        if shared.actors:
            return
        del _connections[url]
    shared.publishing.stop()
    shared.consuming.stop()


@dataclass
class _Task:
    """A task that was delivered and not answered yet, and the deliveries that the broker holds for it."""

    tags: list[int]
    generation: int


class RabbitTransport(Transport):
    """An actor's place at a RabbitMQ broker, whose URL has the form described at ``BrokerURL``."""

    keeps_tasks = True

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name)
        self._url = url
        self._parsed = BrokerURL.parse(url)
        self._boot = uuid.uuid4().hex
        self._receiver: Receiver | None = None
        self._sender: Receiver
        self._publisher: Publisher
        self._consumer: Consumer
        self._consuming: Connection
        self._reachable: set[str] = set()
        # below: only in the consuming connection's thread
        self._transfers = Transfers()
        self._task_transfers = Transfers()
        self._seen = Seen()
        self._tasks: dict[str, _Task] = {}
        self._doubtful: dict[tuple[str, str], Any] = {}

    def start(self, receiver: Receiver) -> None:
        shared = _join(self._url, self._parsed, self.name)
        self._receiver = self._sender = receiver
        self._publisher = Publisher(shared.publishing, self.name, self._parsed.user, self._returned)
        self._consuming = shared.consuming
        self._consumer = Consumer(
            shared.consuming,
            self.name,
            self._boot,
            self._on_message,
            self._on_task,
            on_return=lambda: self._publish_presence("back"),
        )
        try:
            self._consumer.start()
        except MsgConnectionError:
            self._receiver = None
            _leave(self._url, self.name)
            raise
        shared.publishing.post(lambda: shared.publishing.attach(self._publisher))

    def stop(self) -> None:
        if self._receiver is None:
            return
        self._publisher.drain(DRAIN_S)
        self._receiver = None
        self._consumer.stop()
        self._publish_presence(Presence.DOWN.value)
        self._publisher.drain(DRAIN_S)
        self._publisher.stop()
        _leave(self._url, self.name)

    def bind(
        self, endpoint: str, services: Iterable[str], tasks: Iterable[str], events: Iterable[str] = ()
    ) -> None:
        self._consumer.bind(endpoint, Endpoint(tuple(services), tuple(tasks), tuple(events)))

    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None:
        self._consumer.unbind(endpoint, keep_tasks=keep_tasks)

    def subscribe(self, source: Address, channel: str) -> None:
        self._consumer.subscribe(source, channel)

    def unsubscribe(self, source: Address, channel: str) -> None:
        self._consumer.unsubscribe(source, channel)

    def watch(self, actor: str) -> None:
        self._consumer.watch(actor)

    def announce(self, state: Presence) -> None:
        self._publish_presence(state.value)

    # sending

    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        if self._receiver is None:
            for envelope in envelopes:
                self._sender.returned(envelope, Absence.STOPPED)
            return
        for actor in {e.target[0] for e in envelopes if e.kind is Kind.SERVICE} - self._reachable:
            self._ping(actor)
        whole, extra = self._upload(
            names.CALL, [names.call_key(e) for e in envelopes], body, _lasts(envelopes[0])
        )
        self._publisher.publish(*(self._message(envelope, whole, extra) for envelope in envelopes))

    def publish(self, envelope: Envelope, body: Body) -> None:
        exchange = names.event_exchange(envelope.source, envelope.channel)
        if self._receiver is not None:
            whole, extra = self._upload(exchange, [""], body, persistent=False)
            self._publisher.publish(Outgoing(exchange, "", headers_of(envelope) | extra, whole))

    def _message(self, envelope: Envelope, whole: bytes, extra: dict[str, Any]) -> Outgoing:
        message = Outgoing(
            names.CALL,
            names.call_key(envelope),
            headers_of(envelope) | extra,
            whole,
            envelope,
            _lasts(envelope),
        )
        if envelope.kind is Kind.RESULT:
            message.on_confirm = lambda: self._consumer_post_done(envelope.id)
        return message

    def _upload(
        self, exchange: str, keys: list[str], body: Body, persistent: bool
    ) -> tuple[bytes, dict[str, Any]]:
        """A small body as it is; a large one is sent ahead in chunks, once for up to 200 keys."""
        if body.nbytes <= WHOLE_BYTES:
            return body.to_frame(), {}
        transfer_id, size, me = uuid.uuid4().hex, 0, f"{self.name}/"
        for index, chunk in enumerate(chunks_of(body)):
            headers = {
                "kind": "chunk", "transfer": transfer_id, "index": index, "crc": checksum(chunk), "from": me
            }  # fmt: skip
            for start in range(0, len(keys), TARGETS_PER_UPLOAD):
                some = keys[start : start + TARGETS_PER_UPLOAD]
                more = {"CC": some[1:]} if some[1:] else {}
                self._publisher.publish(
                    Outgoing(exchange, some[0], headers | more, chunk, persistent=persistent)
                )
            size += len(chunk)
        return b"", {"transfer": transfer_id, "size": size}

    def _ping(self, actor: str) -> None:
        """Find out whether a connected actor of that name exists; if not, its absence comes back."""
        self._reachable.add(actor)
        envelope = Envelope(Kind.CONTROL, "", (self.name, ""), (actor, ""), "ping")
        self._publisher.publish(
            Outgoing(names.CALL, names.alive_key(actor), headers_of(envelope), b"", envelope)
        )

    def _publish_presence(self, state: str) -> None:
        headers = {"kind": "presence", "actor": self.name, "state": state, "boot": self._boot}
        key = names.presence_key(self.name, state)
        self._publisher.publish(Outgoing(names.PRESENCE, key, headers))

    def _returned(self, message: Outgoing) -> None:
        envelope = message.envelope
        if envelope is None:
            return
        if envelope.channel == "ping" and envelope.kind is Kind.CONTROL:
            self._reachable.discard(envelope.target[0])
            self._sender.presence(envelope.target[0], Presence.DOWN)
            return
        request = envelope.kind in (Kind.SERVICE, Kind.TASK)
        self._sender.returned(envelope, Absence.NOT_BOUND if request else Absence.NO_ACTOR)

    # receiving, in the consuming connection's thread

    def _on_message(self, method: Any, properties: Any, body: bytes) -> None:
        headers = properties.headers or {}
        try:
            if headers.get("kind") == "presence":
                self._on_presence(headers)
            elif headers.get("kind") == "chunk":
                self._transfers.take(headers.get("from", ""), headers, body, method.delivery_tag)
            elif self._seen.first_time(properties.message_id):
                self._deliver(envelope_of(headers), headers, body, self._transfers)
        except (MalformedError, DecodeError) as e:
            logger.error("actor %s rejected a message: %s", self.name, e)

    def _deliver(self, envelope: Envelope, headers: Any, data: bytes, transfers: Transfers) -> list[int]:
        """Hand a complete message to the actor; returns the deliveries of its chunks."""
        tags: list[int] = []
        frame: bytes | bytearray = data
        if "transfer" in headers:
            arrival = transfers.finish(f"{envelope.source[0]}/", headers)
            frame, tags = arrival.data, arrival.tags
        receiver = self._receiver
        if receiver is not None:
            receiver.deliver(envelope, Body.from_frame(frame))
        return tags

    def _on_task(self, method: Any, properties: Any, body: bytes) -> None:
        headers, tag = properties.headers or {}, method.delivery_tag
        try:
            if headers.get("kind") == "chunk":
                self._task_transfers.take(headers.get("from", ""), headers, body, tag)
                return
            envelope = envelope_of(headers)
            running = self._tasks.get(envelope.id)
            if running is None:
                task = self._tasks[envelope.id] = _Task([tag], self._consumer.generation)
                task.tags += self._deliver(envelope, headers, body, self._task_transfers)
            else:
                # Delivered again after a lost connection, and still running here: only hold it anew.
                tags = (
                    self._task_transfers.finish(f"{envelope.source[0]}/", headers).tags
                    if "transfer" in headers
                    else []
                )
                running.tags, running.generation = [tag, *tags], self._consumer.generation
        except (MalformedError, DecodeError) as e:
            logger.error("actor %s rejected a task: %s", self.name, e)
            self._consumer.ack_tasks([tag], self._consumer.generation)

    def _consumer_post_done(self, task_id: str) -> None:
        """The result of a task is safe with the broker: now the task itself may go."""
        task = self._tasks.pop(task_id, None)
        if task is not None:
            self._consumer.ack_tasks(task.tags, task.generation)

    def _on_presence(self, headers: Any) -> None:
        """``ready`` and ``down`` an actor says itself. ``lost`` says its will, ``back`` the actor after that.

        An actor that lost only its connection is back in a moment, with everything it was about to answer; one
        that was killed is not. So a will counts once that moment has passed.
        """
        actor, state, boot = (headers.get(key) for key in ("actor", "state", "boot"))
        if not isinstance(actor, str) or not isinstance(boot, str) or actor == self.name:
            return
        if state == "lost":
            self._doubtful[actor, boot] = self._consuming.later(GRACE_S, lambda: self._lost(actor, boot))
            return
        timer = self._doubtful.pop((actor, boot), None)
        if timer is not None:
            self._consuming.cancel(timer)
        if state == "down":
            self._gone(actor)
        elif state in ("ready", "back"):
            self._reachable.add(actor)
            receiver = self._receiver
            if state == "ready" and receiver is not None:
                receiver.presence(actor, Presence.READY)

    def _lost(self, actor: str, boot: str) -> None:
        if self._doubtful.pop((actor, boot), None) is not None:
            self._gone(actor)

    def _gone(self, actor: str) -> None:
        self._reachable.discard(actor)
        self._transfers.give_up(source=f"{actor}/")
        receiver = self._receiver
        if receiver is not None:
            receiver.presence(actor, Presence.DOWN)


def _lasts(envelope: Envelope) -> bool:
    """Tasks and their answers survive a restart of the broker."""
    return envelope.kind in (Kind.TASK, Kind.ACCEPTED, Kind.RESULT)

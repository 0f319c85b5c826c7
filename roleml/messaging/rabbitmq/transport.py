"""The transport over RabbitMQ: what the contract asks for, in terms of queues and exchanges.

What is sent goes through `sending`; what is wanted of the broker, and comes from it, through `consuming`;
`intake` decides about tasks, and `peers` knows who is there. Here it is put together, and messages other than
tasks are taken.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Address, Answer, Envelope, Failure, FailureKind, Kind
from roleml.messaging.exceptions import DecodeError, MsgConnectionError
from roleml.messaging.filters import Filters, Stamps
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.consuming import Consumer
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.gate import Delivery, Gate
from roleml.messaging.rabbitmq.intake import TaskIntake
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.peers import QUESTIONS, Peers, is_ping
from roleml.messaging.rabbitmq.publishing import Publisher
from roleml.messaging.rabbitmq.returns import Found, found
from roleml.messaging.rabbitmq.seen import Seen, owned
from roleml.messaging.rabbitmq.sending import Sender
from roleml.messaging.rabbitmq.served import Served
from roleml.messaging.rabbitmq.sharing import SharedConnections, join, leave
from roleml.messaging.rabbitmq.tasks import TaskLedger
from roleml.messaging.rabbitmq.topology import Endpoint
from roleml.messaging.rabbitmq.transfers import Frame, TransferError, Transfers
from roleml.messaging.rabbitmq.uploads import ParkedRequests
from roleml.messaging.rabbitmq.will import LastWill
from roleml.messaging.rabbitmq.wire import MalformedError
from roleml.messaging.transport import Absence, Arriving, Presence, Receiver, Transport

__all__ = ["RabbitTransport"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

DRAIN_S = 10.0
#: How long a request waits for its payload before it is looked whether that can still come.
FENCE_S = 1.0
#: How often it is looked whether the node of a queue is back.
AWAY_PAUSE_S = 1.0


class RabbitTransport(Transport):
    """An actor's place at a RabbitMQ broker, whose URL has the form described at ``BrokerURL``."""

    keeps_tasks = True

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name)
        self._url = url.replace("{actor}", name)
        self._parsed = BrokerURL.parse(url, name)
        self._gate = Gate(name, identity=self._parsed.identity_of(name))
        self._boot = uuid.uuid4().hex
        self._receiver: Receiver | None = None
        self._ledger = TaskLedger()
        self._served = Served[Outgoing]()
        # made by start()
        self._returns_to: Receiver
        self._shared: SharedConnections
        self._publisher: Publisher
        self._consumer: Consumer
        self._peers: Peers
        self._sender: Sender
        self._intake: TaskIntake
        self._parked: ParkedRequests
        # below: only in the consuming connection's thread
        # by queue: each queue that a body was sent to delivers its own chunks
        self._transfers: defaultdict[str, Transfers] = defaultdict(Transfers)
        self._seen = Seen()
        self._redelivered = 0

    @classmethod
    def check(cls, url: str, name: str) -> None:
        BrokerURL.check(url, name)

    def start(self, receiver: Receiver) -> None:
        shared = join(self._url, self._parsed, self.name)
        self._shared, self._receiver, self._returns_to = shared, receiver, receiver
        self._put_together()
        try:
            self._consumer.start()
        except MsgConnectionError:
            self._receiver = None
            leave(self._url, self.name)
            raise
        shared.publishing.post(lambda: shared.publishing.attach(self._publisher))

    def _put_together(self) -> None:
        shared, consuming = self._shared, self._shared.consuming
        publisher = self._publisher = Publisher(
            shared.publishing, consuming, self.name, self._boot, self._parsed.user, self._returned
        )
        peers = self._peers = Peers(self.name, self._boot, publisher.publish, consuming, self._peer_changed)
        consumer = self._consumer = Consumer(
            consuming,
            self.name,
            LastWill(consuming, self.name, self._parsed.user, self._boot),
            shared.upload_queue,
            on_message=self._on_message,
            on_task=self._on_task,
            on_loss=peers.disconnected,
            on_return=self._on_return,
        )
        sender = self._sender = Sender(
            self.name, publisher, peers, self._served, self._ledger, self._task_answered
        )
        self._intake = TaskIntake(
            self.name,
            self._gate,
            self._ledger,
            consumer,
            publisher.publish,
            hand_over=self._hand_over,
            fail=sender.fail,
            reject=self._rejected,
        )
        self._parked = ParkedRequests(shared.uploads, self._hand_over, self._unreadable)

    def stop(self) -> None:
        if self._receiver is None:
            return
        self._intake.leave()
        self._publisher.drain(DRAIN_S)
        self._receiver = None
        self._peers.stop()
        self._consumer.stop()
        self._peers.announce(Presence.DOWN.value)
        self._publisher.drain(DRAIN_S)
        self._publisher.stop()
        leave(self._url, self.name)

    def bind(self, endpoint: str, services: Iterable[str], tasks: Iterable[str]) -> None:
        self._consumer.bind(endpoint, Endpoint(tuple(services), tuple(tasks)))

    def open(self, endpoint: str) -> None:
        self._consumer.open(endpoint)

    def forgive(self, tasks: Iterable[tuple[str, str]]) -> None:
        self._ledger.forgive(owned(actor, task_id) for actor, task_id in tasks)

    def put_back(self, task: Envelope, body: Body) -> None:
        self._intake.put_back(task, body)

    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None:
        self._consumer.unbind(endpoint, keep_tasks=keep_tasks)
        self._shared.consuming.post(lambda: self._forget(endpoint))

    def _forget(self, endpoint: str) -> None:
        self._transfers.pop(names.consumer_tag(self.name, endpoint, Kind.SERVICE), None)
        self._intake.forget(endpoint)

    def offer(self, endpoint: str, channel: str) -> None:
        self._consumer.hearing.offer(endpoint, channel)

    def subscribe(self, source: Address, channel: str, filters: Filters = None) -> bool:
        return self._consumer.hearing.subscribe(source, channel, filters)

    def unsubscribe(self, source: Address, channel: str) -> None:
        self._consumer.hearing.unsubscribe(source, channel)

    def watch(self, actor: str) -> None:
        self._consumer.hearing.watch(actor)

    def unwatch(self, actor: str) -> None:
        self._consumer.hearing.unwatch(actor)

    def announce(self, state: Presence) -> None:
        self._peers.announce(state.value)

    @property
    def arriving(self) -> Sequence[Arriving]:
        mine = [arriving for transfers in list(self._transfers.values()) for arriving in transfers.arriving()]
        return [*mine, *self._intake.arriving(), *self._shared.uploads.arriving()]

    @property
    def redelivered(self) -> int:
        return self._redelivered

    @property
    def rejected(self) -> Mapping[str, int]:
        return {reason.name.lower(): count for reason, count in self._gate.rejected.copy().items()}

    # sending

    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        if self._receiver is None:
            for envelope in envelopes:
                self._returns_to.returned(envelope, Absence.STOPPED)
            return
        self._sender.send(envelopes, body)

    def publish(self, envelope: Envelope, body: Body, stamps: Stamps | None = None) -> None:
        if self._receiver is None:
            return
        self._consumer.hearing.offer(envelope.source[1], envelope.channel)
        self._sender.publish(envelope, body, stamps or {})

    def _returned(self, message: Outgoing) -> None:
        """In the publishing thread: no queue took it. Whether one ever will depends on why."""
        envelope, queue = message.envelope, names.queue_of(message.key)
        if envelope is not None and is_ping(envelope):
            self._peers.ping_came_back(envelope.target[0])
        elif queue is None:
            self._nobody(message)
        elif self._publisher.keep(message):
            self._look_for(queue, message.key)

    def _look_for(self, queue: str, key: str, *, again: bool = False) -> None:
        def looked(error: BaseException | None) -> None:
            what = found(error)
            if what is not Found.AWAY:
                self._shared.publishing.post(lambda: self._resume(key, what))
                return
            self._shared.publishing.post(lambda: self._publisher.away(key))
            if not again:
                logger.warning("what %s sends to %s waits: %s", self.name, queue, what.value)
            self._shared.consuming.after(AWAY_PAUSE_S, lambda: self._look_for(queue, key, again=True))

        if self._receiver is not None or not again:
            self._consumer.look_for(queue, looked)

    def _resume(self, key: str, what: Found) -> None:
        for message in self._publisher.resume(key, what):
            self._nobody(message)

    def _nobody(self, message: Outgoing) -> None:
        """There is no queue for it."""
        envelope = message.envelope
        if envelope is not None:
            self._peers.answered(envelope.id)
            request = envelope.kind in (Kind.SERVICE, Kind.TASK)
            self._returns_to.returned(envelope, Absence.NOT_BOUND if request else Absence.NO_ACTOR)
        if message.on_confirm is not None:  # the broker has dealt with it
            message.on_confirm()

    def _task_answered(self, task: str) -> None:
        self._shared.consuming.post(lambda: self._intake.answered(task))

    # receiving, in the consuming connection's thread

    def _on_return(self) -> None:
        self._peers.connected_again(self._consumer.hearing.watched())

    def _on_task(self, method: Any, properties: Any, body: bytes) -> None:
        self._redelivered += method.redelivered
        self._intake.take(method, properties, body)

    def _on_message(self, method: Any, properties: Any, body: bytes) -> None:
        self._redelivered += method.redelivered
        headers, transfers = properties.headers or {}, self._transfers[method.consumer_tag]
        try:
            envelope = self._gate.check(Delivery.of(method, properties, body))
            if headers.get("kind") == "presence":
                self._on_presence(headers)
            elif envelope is None:
                transfers.give_up()
                transfers.take(headers.get("from", ""), headers, body, method.delivery_tag)
            elif not self._is_new(envelope, properties.message_id):
                logger.debug("%s: message %s came again", self.name, properties.message_id)
            elif "question" in headers:
                self._answer_question(envelope, body)
            elif envelope.kind is Kind.SERVICE:
                self._take_service(envelope, headers, body, redelivered=method.redelivered)
            else:
                self._take_whole(envelope, headers, body, transfers)
        except (MalformedError, DecodeError) as e:
            self._rejected("message", properties, e)

    def _is_new(self, envelope: Envelope, message_id: str | None) -> bool:
        return message_id is None or self._seen.first_time(owned(envelope.source[0], message_id))

    def _on_presence(self, headers: Any) -> None:
        actor, state, boot = (headers.get(key) for key in ("actor", "state", "boot"))
        if not isinstance(actor, str) or not isinstance(boot, str) or actor == self.name:
            return
        if state in ("ready", "back"):
            self._consumer.hearing.announced(actor)
        self._peers.said(actor, str(state), boot)

    def _peer_changed(self, actor: str, state: Presence) -> None:
        if state is Presence.DOWN:
            for transfers in self._transfers.values():
                transfers.give_up(source=f"{actor}/")
            self._shared.give_up_uploads(source=f"{actor}/")
        receiver = self._receiver
        if receiver is not None:
            receiver.presence(actor, state)

    def _answer_question(self, envelope: Envelope, body: bytes) -> None:
        for line in body.decode("ascii", "replace").splitlines()[:QUESTIONS]:
            request_id, _, endpoint = line.partition(" ")
            source = (envelope.source[0], endpoint)
            self._sender.tell_fate(envelope._replace(id=request_id, source=source))

    def _take_whole(self, envelope: Envelope, headers: Any, body: bytes, transfers: Transfers) -> None:
        if envelope.kind is Kind.CONTROL and envelope.id:
            self._served.came(owned(envelope.source[0], envelope.id))
        elif envelope.kind is Kind.RESULT:
            self._peers.answered(envelope.id)
        try:
            frame, _ = transfers.frame_of(envelope.source[0], headers, body)
        except TransferError as e:
            self._unreadable(envelope, e)
        else:
            self._hand_over(envelope, frame)

    def _take_service(self, envelope: Envelope, headers: Any, body: bytes, *, redelivered: bool) -> None:
        self._served.came(owned(envelope.source[0], envelope.id))
        if redelivered and self._consumer.generation == 1:
            # An earlier process of this actor had it; whether it began to serve it, nobody knows any more.
            text = f"{envelope.where} may have been called already: the process that had it was lost"
            self._sender.fail(envelope, text)
            return
        self._parked.take(envelope, headers, body)
        if "transfer" in headers:
            self._shared.look_after_uploads()
            self._shared.consuming.after(FENCE_S, lambda: self._fence(envelope.source[0], headers))

    def _fence(self, source: str, headers: Any) -> None:
        """Find out whether the payload of a parked request is on its way, or lost: see `Uploads.fenced`."""
        upload_id, size = str(headers["transfer"]), headers.get("size")
        if (
            self._receiver is None
            or not self._parked.waits_for(upload_id, f"{source}/")
            or not isinstance(size, int)
        ):
            return
        mine = {
            "kind": "chunk",
            "fence": upload_id,
            "of": f"{source}/",
            "size": size,
            "from": f"{self.name}/",
        }
        self._publisher.publish(Outgoing(names.CALL, names.uploads_key(self.name), mine))
        self._shared.consuming.after(FENCE_S, lambda: self._fence(source, headers))

    def _rejected(self, what: str, properties: Any, error: BaseException) -> None:
        if self._gate.note(error, properties.user_id):
            text = "actor %s rejected a %s of broker user %s: %s; more of this kind are only counted"
            logger.error(text, self.name, what, properties.user_id, error)

    def _hand_over(self, envelope: Envelope, frame: Frame) -> None:
        try:
            body = Body.from_frame(frame)
        except DecodeError as e:
            self._unreadable(envelope, e)
            return
        receiver = self._receiver
        if receiver is not None:
            receiver.deliver(envelope, body)

    def _unreadable(self, envelope: Envelope, error: DecodeError) -> None:
        """A message without a whole body: whoever waits for it hears why."""
        if self._gate.note(error, envelope.source[0]):
            logger.error("actor %s cannot read a message of %s: %s", self.name, envelope.source[0], error)
        if envelope.kind in (Kind.SERVICE, Kind.TASK):
            self._sender.fail(envelope, f"{envelope.where} was not called: {error}")
        elif envelope.kind is Kind.RESULT and self._receiver is not None:
            failure = Failure(FailureKind.FAILED, f"the answer cannot be read: {error}", "", "")
            answer = envelope._replace(answer=Answer.FAILURE)
            self._receiver.deliver(answer, Codec().encode(failure.parts()))

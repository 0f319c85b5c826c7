"""The transport over RabbitMQ: what the contract asks for, in terms of queues and exchanges.

All actors of a process that use one URL share two connections: one publishes, one consumes, so a broker that
takes no messages for a while still delivers and takes acknowledgements.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Address, Answer, Envelope, Failure, FailureKind, Kind
from roleml.messaging.exceptions import DecodeError, MsgConnectionError
from roleml.messaging.filters import Filters, Stamps
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.consuming import Consumer, UploadQueue
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.gate import Delivery, Gate
from roleml.messaging.rabbitmq.publishing import Outgoing, Publisher
from roleml.messaging.rabbitmq.seen import Seen, owned
from roleml.messaging.rabbitmq.served import SMALL_ANSWER_BYTES, Fate, Served
from roleml.messaging.rabbitmq.tasks import Decision, TaskLedger
from roleml.messaging.rabbitmq.topology import Endpoint
from roleml.messaging.rabbitmq.transfers import (
    STALLED_S,
    WHOLE_BYTES,
    TransferError,
    Transfers,
    checksum,
    chunks_of,
    size_of,
)
from roleml.messaging.rabbitmq.uploads import ParkedRequests, Uploads
from roleml.messaging.rabbitmq.will import LastWill
from roleml.messaging.rabbitmq.wire import MalformedError, headers_of, stamp_headers
from roleml.messaging.transport import Absence, Arriving, Presence, Receiver, Transport
from roleml.shared.patience import Patience

__all__ = ["RabbitTransport"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: A header frame holds at most 128 KiB of routing keys
TARGETS_PER_UPLOAD = 200
DRAIN_S = 10.0
#: A service request that no process has taken by then is not run any more: its caller was told long ago.
SERVICE_EXPIRES_S = 60.0
#: When an actor that is new to us is looked for again, as is one whose will was read: it may be dying, with
#: its will published before we watched it; or frozen, with its connection there until a heartbeat is missed.
ASKED_AGAIN_S = (1.0, 5.0, 15.0, 30.0, 60.0)
#: Requests that one question is about.
QUESTIONS = 1000
#: How long a request waits for its payload before it is looked whether that can still come.
FENCE_S = 1.0
#: How long an actor whose connection was lost may take to come back before it counts as down.
GRACE_S = 0.8
#: The same after this process itself was disconnected: the broker may have been down for everyone.
RETURN_S = 15.0


class _Connections:
    """The two connections of a process to one broker, and what the actors that use them share."""

    def __init__(self, parsed: BrokerURL, first: str) -> None:
        self.publishing = Connection(parsed, "publish", first)
        self.consuming = Connection(parsed, "consume", first)
        self.actors: set[str] = set()
        self.uploads = Uploads(self.actors)
        self.upload_queue = UploadQueue(first, self._on_chunk)
        self._gate = Gate(first, identity=parsed.identity_of(first))

    def start(self) -> None:
        self.publishing.start()
        try:
            self.consuming.start()
        except MsgConnectionError:
            self.publishing.stop()
            raise

    def stop(self) -> None:
        self.publishing.stop()
        self.consuming.stop()

    def give_up_uploads(self, *, source: str | None = None) -> None:
        """In the consuming thread: fail what waits for payloads that nobody sends any more."""
        for waiting in self.uploads.give_up(source=source):
            waiting()

    def _on_chunk(self, method: Any, properties: Any, body: bytes) -> None:
        headers = properties.headers or {}
        try:
            self._gate.check(Delivery.of(method, properties, body))
            source = headers.get("from", "")
            if "fence" in headers and source.rstrip("/") in self.actors:
                due = self.uploads.fenced(*_fence_in(headers))
            else:
                due = self.uploads.take(source, headers, body)
        except (MalformedError, DecodeError) as e:
            if self._gate.note(e, properties.user_id):
                logger.error("rejected a piece of a payload: %s; more of this kind are only counted", e)
            return
        for waiting in due:
            waiting()


_connections: dict[str, _Connections] = {}
_connections_lock = threading.Lock()


def _join(url: str, parsed: BrokerURL, name: str) -> _Connections:
    with _connections_lock:
        shared = _connections.get(url)
        if shared is None:
            shared = _Connections(parsed, name)
            shared.start()
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
    shared.stop()


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
        self._sender: Receiver
        self._publisher: Publisher
        self._consumer: Consumer
        self._consuming: Connection
        self._shared: _Connections
        self._parked: ParkedRequests
        self._reachable: set[str] = set()
        #: what was asked and is not answered, other than tasks: the broker may lose it when it is killed
        self._asked: dict[str, Envelope] = {}
        #: of these, what has not been handed to the publisher yet: a question would overtake it
        self._unsent: set[str] = set()
        self._served = Served[Outgoing]()
        # below: only in the consuming connection's thread
        # by queue: each queue that a body was sent to delivers its own chunks
        self._transfers: defaultdict[str, Transfers] = defaultdict(Transfers)
        self._task_transfers: defaultdict[str, Transfers] = defaultdict(Transfers)
        self._seen = Seen()
        self._task_generation = 0
        self._redelivered = 0
        self._ledger = TaskLedger()
        self._patient_until_s = 0.0
        self._doubtful: dict[tuple[str, str], Any] = {}

    def start(self, receiver: Receiver) -> None:
        shared = _join(self._url, self._parsed, self.name)
        self._receiver = self._sender = receiver
        self._publisher = Publisher(
            shared.publishing, shared.consuming, self.name, self._boot, self._parsed.user, self._returned
        )
        self._shared = shared
        self._consuming = shared.consuming
        self._parked = ParkedRequests(shared.uploads, self._hand_over, self._unreadable)
        self._consumer = Consumer(
            shared.consuming,
            self.name,
            LastWill(shared.consuming, self.name, self._parsed.user, self._boot),
            shared.upload_queue,
            on_message=self._on_message,
            on_task=self._on_task,
            on_loss=self._on_loss,
            on_return=self._on_return,
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

    def bind(self, endpoint: str, services: Iterable[str], tasks: Iterable[str]) -> None:
        self._consumer.bind(endpoint, Endpoint(tuple(services), tuple(tasks)))

    def open(self, endpoint: str) -> None:
        self._consumer.open(endpoint)

    def forgive(self, tasks: Iterable[tuple[str, str]]) -> None:
        self._ledger.forgive(owned(actor, task_id) for actor, task_id in tasks)

    def unbind(self, endpoint: str, *, keep_tasks: bool = False) -> None:
        self._consumer.unbind(endpoint, keep_tasks=keep_tasks)

    def offer(self, endpoint: str, channel: str) -> None:
        self._consumer.offer(endpoint, channel)

    def subscribe(self, source: Address, channel: str, filters: Filters = None) -> bool:
        return self._consumer.subscribe(source, channel, filters)

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
        for envelope in envelopes:
            if envelope.kind in (Kind.SERVICE, Kind.CONTROL) and envelope.id:
                self._unsent.add(envelope.id)
                self._asked[envelope.id] = envelope
                if envelope.target[0] not in self._reachable:
                    self._get_to_know(envelope.target[0])
        try:
            self._send(envelopes, body)
        finally:
            self._unsent.difference_update([envelope.id for envelope in envelopes])

    def _send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        if body.nbytes <= WHOLE_BYTES:
            whole = body.to_frame()
            messages = [self._message(envelope, whole, {}) for envelope in envelopes]
            self._hand_out(messages, gather=self._is_busy(envelopes[0].kind))
            return
        if envelopes[0].kind is Kind.SERVICE:
            uses = Counter(envelope.target[0] for envelope in envelopes)
            keys = [names.uploads_key(actor) for actor in uses]
        else:
            uses = Counter()
            keys = [names.call_key(envelope) for envelope in envelopes]
        whole, extra = self._upload(names.CALL, keys, body, uses, persistent=_lasts(envelopes[0]))
        self._hand_out([self._message(envelope, whole, extra) for envelope in envelopes])

    def _is_busy(self, kind: Kind) -> bool:
        """Whether others ask, or are served, at the same time."""
        return (self._served.at_work if kind is Kind.RESULT else len(self._asked)) > 1

    def _hand_out(self, messages: Sequence[Outgoing], *, gather: bool = False) -> None:
        self._publisher.publish(*messages, gather=gather)
        for message in messages:
            envelope = message.envelope
            if envelope is not None and envelope.kind is Kind.RESULT:
                # only now: what a question is told meanwhile must not overtake it
                request = owned(envelope.target[0], envelope.id)
                self._served.answered(request, None if message.persistent else message)

    def publish(self, envelope: Envelope, body: Body, stamps: Stamps | None = None) -> None:
        if self._receiver is None:
            return
        self._consumer.offer(envelope.source[1], envelope.channel)
        exchange = names.event_exchange(envelope.source, envelope.channel)
        whole, extra = self._upload(exchange, [""], body, {}, persistent=False, stamps=stamps or {})
        headers = headers_of(envelope) | extra | stamp_headers(stamps or {})
        self._publisher.publish(Outgoing(exchange, "", headers, whole))

    def _message(self, envelope: Envelope, whole: bytes, extra: dict[str, Any]) -> Outgoing:
        message = Outgoing(
            names.CALL,
            names.call_key(envelope),
            headers_of(envelope) | extra,
            whole,
            envelope,
            _lasts(envelope),
        )
        if envelope.kind is Kind.SERVICE:
            message.expires_s = SERVICE_EXPIRES_S
        elif envelope.kind is Kind.RESULT:
            request = owned(envelope.target[0], envelope.id)
            if request in self._ledger:
                message.on_confirm = lambda: self._task_answered(request)
            elif request in self._served and not extra and len(whole) <= SMALL_ANSWER_BYTES:
                message.persistent = False
        return message

    def _upload(
        self,
        exchange: str,
        keys: list[str],
        body: Body,
        uses: Mapping[str, int],
        *,
        persistent: bool,
        stamps: Stamps | None = None,
    ) -> tuple[bytes, dict[str, Any]]:
        """A small body as it is; a large one is sent ahead in chunks, once for up to 200 keys.

        ``uses`` tells each actor's process how many requests will need the payload; ``stamps`` are what the
        message that follows the chunks has, so that they go where it goes.
        """
        if body.nbytes <= WHOLE_BYTES:
            return body.to_frame(), {}
        transfer_id, size = uuid.uuid4().hex, 0
        headers: dict[str, Any] = {"kind": "chunk", "transfer": transfer_id, "from": f"{self.name}/"}
        headers |= stamp_headers(stamps or {})
        patience = Patience()
        for index, chunk in enumerate(chunks_of(body)):
            patience.report(logger, "%s is sending: %d of %d MB", self.name, size >> 20, body.nbytes >> 20)
            mine = headers | {"index": index, "crc": checksum(chunk)}
            if index == 0:
                mine["total"] = size_of(body)
            for start in range(0, len(keys), TARGETS_PER_UPLOAD):
                some = keys[start : start + TARGETS_PER_UPLOAD]
                if some[1:]:
                    mine["CC"] = some[1:]
                if index == 0 and uses:
                    mine["uses"] = dict(uses)
                self._publisher.publish(Outgoing(exchange, some[0], mine, chunk, persistent=persistent))
                mine = mine.copy()
                mine.pop("CC", None)
            size += len(chunk)
        return b"", {"transfer": transfer_id, "size": size}

    def _get_to_know(self, actor: str) -> None:
        self._ping(actor)

        def ask_again() -> None:
            if actor in self._reachable and self._receiver is not None:
                self._ping(actor)
                self._ask_what_became_of_requests(actor)

        def plan() -> None:
            for delay_s in ASKED_AGAIN_S:
                self._consuming.after(delay_s, ask_again)

        self._consuming.post(plan)

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
            self._consuming.post(lambda: self._no_answer(envelope.target[0]))
            return
        self._asked.pop(envelope.id, None)
        request = envelope.kind in (Kind.SERVICE, Kind.TASK)
        self._sender.returned(envelope, Absence.NOT_BOUND if request else Absence.NO_ACTOR)

    # receiving, in the consuming connection's thread

    def _on_loss(self) -> None:
        self._patient_until_s = float("inf")

    def _on_return(self) -> None:
        """Connected again: say so, and find out who left meanwhile.

        The others may have lost the same broker, and get the time to come back, too.
        """
        self._publish_presence("back")
        self._patient_until_s = time.monotonic() + RETURN_S
        for actor in self._consumer.watched():
            self._ping(actor)
        self._ask_what_became_of_requests()

    def _ask_what_became_of_requests(self, actor: str | None = None) -> None:
        """Have those who were asked something, or one of them, say what they never got.

        A killed broker loses requests, and a killed process those that it has acknowledged. The question goes
        the way of the requests, so whoever gets it has got all that were sent before.
        """
        questions: defaultdict[tuple[Kind, Address, str], list[str]] = defaultdict(list)
        for envelope in list(self._asked.values()):
            if envelope.id in self._unsent or (actor is not None and envelope.target[0] != actor):
                continue
            key = (envelope.kind, envelope.target, envelope.channel)
            questions[key].append(f"{envelope.id} {envelope.source[1]}\n")
        for (kind, target, channel), lines in questions.items():
            envelope = Envelope(kind, "", (self.name, ""), target, channel)
            headers = headers_of(envelope) | {"question": 1}
            for start in range(0, len(lines), QUESTIONS):
                body = "".join(lines[start : start + QUESTIONS]).encode()
                self._publisher.publish(Outgoing(names.CALL, names.call_key(envelope), headers, body))

    def _answer_question(self, envelope: Envelope, body: bytes) -> None:
        """Fail the requests that never came to this process, and answer again those that it has answered."""
        where = f"{'/'.join(envelope.target)}.{envelope.channel}"
        for line in body.decode("ascii", "replace").splitlines()[:QUESTIONS]:
            request_id, _, endpoint = line.partition(" ")
            source = (envelope.source[0], endpoint)
            request = Envelope(envelope.kind, request_id, source, envelope.target, envelope.channel)
            fate = self._served.what_became_of(owned(envelope.source[0], request_id))
            if isinstance(fate, Outgoing):
                self._publisher.publish(fate)  # under its old id: the asker drops it if it has had it
            elif fate is Fate.ANSWERED:
                self._fail(request, f"the answer of {where} was lost with the broker, and is not kept here")
            elif fate is Fate.NEVER_CAME:
                lost = "lost, with the broker or with an earlier process"
                self._fail(request, f"the request for {where} was {lost} of {self.name}")

    def _no_answer(self, actor: str) -> None:
        """Nobody of that name is connected."""
        if time.monotonic() < self._patient_until_s:
            self._consuming.after(GRACE_S, lambda: self._ping(actor))
        else:
            self._gone(actor, "nobody of that name is connected")

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

    def _take_whole(self, envelope: Envelope, headers: Any, body: bytes, transfers: Transfers) -> None:
        if envelope.kind is Kind.CONTROL and envelope.id:
            self._served.came(owned(envelope.source[0], envelope.id))
        elif envelope.kind is Kind.RESULT:
            self._asked.pop(envelope.id, None)
        try:
            frame, _ = _frame(envelope, headers, body, transfers)
        except TransferError as e:
            self._unreadable(envelope, e)
        else:
            self._hand_over(envelope, frame)

    def _take_service(self, envelope: Envelope, headers: Any, body: bytes, *, redelivered: bool) -> None:
        self._served.came(owned(envelope.source[0], envelope.id))
        if redelivered and self._consumer.generation == 1:
            # An earlier process of this actor had it; whether it began to serve it, nobody knows any more.
            where = f"{'/'.join(envelope.target)}.{envelope.channel}"
            self._fail(envelope, f"{where} may have been called already: the process that had it was lost")
            return
        self._parked.take(envelope, headers, body)
        if "transfer" in headers:
            self._consuming.after(STALLED_S, self._shared.give_up_uploads)
            self._consuming.after(FENCE_S, lambda: self._fence(envelope.source[0], headers))

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
        self._consuming.after(FENCE_S, lambda: self._fence(source, headers))

    def _on_task(self, method: Any, properties: Any, body: bytes) -> None:
        self._redelivered += method.redelivered
        headers, tag, generation = properties.headers or {}, method.delivery_tag, self._consumer.generation
        if generation != self._task_generation:  # what an earlier connection delivered in part comes again
            self._task_transfers.clear()
            self._task_generation = generation
        transfers, envelope = self._task_transfers[method.consumer_tag], None
        try:
            envelope = self._gate.check(Delivery.of(method, properties, body))
            if envelope is None:
                transfers.take(headers.get("from", ""), headers, body, tag)
            else:
                self._take_task(envelope, headers, body, transfers, tag, redelivered=method.redelivered)
        except (MalformedError, DecodeError) as e:
            self._rejected("task", properties, e)
            self._consumer.ack_tasks({tag, *getattr(e, "tags", ())}, generation)
            if envelope is not None:
                self._fail(envelope, f"{'/'.join(envelope.target)}.{envelope.channel} was not run: {e}")

    def _rejected(self, what: str, properties: Any, error: BaseException) -> None:
        if self._gate.note(error, properties.user_id):
            text = "actor %s rejected a %s of broker user %s: %s; more of this kind are only counted"
            logger.error(text, self.name, what, properties.user_id, error)

    @property
    def arriving(self) -> Sequence[Arriving]:
        by_queue = [*list(self._transfers.values()), *list(self._task_transfers.values())]
        mine = [arriving for transfers in by_queue for arriving in transfers.arriving()]
        return [*mine, *self._shared.uploads.arriving()]

    @property
    def redelivered(self) -> int:
        return self._redelivered

    @property
    def rejected(self) -> Mapping[str, int]:
        return {reason.name.lower(): count for reason, count in self._gate.rejected.copy().items()}

    def _take_task(
        self,
        envelope: Envelope,
        headers: Any,
        body: bytes,
        transfers: Transfers,
        tag: int,
        *,
        redelivered: bool,
    ) -> None:
        generation, crashes, task = self._task_generation, _crashes_in(headers), _task_of(envelope)
        decision = self._ledger.decide(task, redelivered=redelivered, crashes=crashes)
        if decision is Decision.COUNT:
            # The copy follows behind what waits already; its chunks, if any, stay where they are.
            again = Outgoing(names.CALL, names.call_key(envelope), headers | {"crashes": crashes + 1}, body)
            again.persistent = True
            again.on_confirm = lambda: self._consumer.ack_tasks([tag], generation)
            self._publisher.publish(again)
            return
        frame, tags = _frame(envelope, headers, body, transfers)
        if decision in (Decision.RUN, Decision.HOLD):
            self._ledger.hold(task, [tag, *tags], generation)
        elif decision is Decision.SET_ASIDE:
            # only then is it as safe there as it was here
            kept = partial(self._consumer.ack_tasks, [tag, *tags], generation)
            self._set_aside(envelope, frame, crashes, kept)
        else:
            self._consumer.ack_tasks([tag, *tags], generation)
        if decision is Decision.RUN:
            self._hand_over(envelope, frame)

    def _set_aside(
        self, envelope: Envelope, frame: bytes | memoryview, crashes: int, kept: Callable[[], object]
    ) -> None:
        """Put a task that kills its actor where a person finds it, and tell its caller."""
        where = f"{'/'.join(envelope.target)}.{envelope.channel}"
        text = (
            f"{where} was set aside: actor {self.name} died {crashes} times while running it; "
            f"the broker keeps it in the queue {names.dead_queue(self.name)}"
        )
        logger.error("%s", text)
        headers = headers_of(envelope) | {"reason": text}
        dead = Outgoing(
            names.CALL, names.dead_key(self.name), headers, bytes(frame[:WHOLE_BYTES]), persistent=True
        )
        dead.on_confirm = kept

        def declared(error: BaseException | None) -> None:
            if error is not None:
                logger.error("actor %s cannot make the queue for it: %s", self.name, error)
            self._publisher.publish(dead)
            self._fail(envelope, text)

        # The other connection publishes: before the queue is there, it would publish to nowhere.
        self._consumer.declare_dead_queue(declared)

    def _fail(self, request: Envelope, text: str) -> None:
        """Answer a request that does not get as far as the actor."""
        answer = Envelope(Kind.RESULT, request.id, request.target, request.source, request.channel)
        answer = answer._replace(answer=Answer.FAILURE)
        failure = Codec().encode(Failure(FailureKind.FAILED, text, "", "").parts())
        self._hand_out([self._message(answer, failure.to_frame(), {})])

    def _hand_over(self, envelope: Envelope, frame: bytes | memoryview) -> None:
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
        where = f"{'/'.join(envelope.target)}.{envelope.channel}"
        if envelope.kind in (Kind.SERVICE, Kind.TASK):
            self._fail(envelope, f"{where} was not called: {error}")
        elif envelope.kind is Kind.RESULT and self._receiver is not None:
            failure = Failure(FailureKind.FAILED, f"the answer cannot be read: {error}", "", "")
            answer = envelope._replace(answer=Answer.FAILURE)
            self._receiver.deliver(answer, Codec().encode(failure.parts()))

    def _task_answered(self, task: str) -> None:
        """The result of a task is safe with the broker: now the task itself may go."""
        self._consuming.post(lambda: self._finish_task(task))

    def _finish_task(self, task: str) -> None:
        held = self._ledger.finish(task)
        if held is not None:
            self._consumer.ack_tasks(held.tags, held.generation)

    def _on_presence(self, headers: Any) -> None:
        """``ready`` and ``down`` an actor says itself. ``lost`` says its will, ``back`` the actor after that.

        An actor that lost only its connection is back in a moment, with everything it was about to answer;
        one that was killed is not. So a will counts once that moment has passed.
        """
        actor, state, boot = (headers.get(key) for key in ("actor", "state", "boot"))
        if not isinstance(actor, str) or not isinstance(boot, str) or actor == self.name:
            return
        if state == "lost":
            self._doubtful[actor, boot] = self._consuming.after(GRACE_S, lambda: self._lost(actor, boot))
            return
        timer = self._doubtful.pop((actor, boot), None)
        if timer is not None:
            self._consuming.forget(timer)
        if state == "down":
            self._gone(actor, "it said so")
        elif state in ("ready", "back"):
            self._reachable.add(actor)
            receiver = self._receiver
            self._consumer.announced(actor)
            if state == "ready" and receiver is not None:
                receiver.presence(actor, Presence.READY)

    def _lost(self, actor: str, boot: str) -> None:
        if self._doubtful.pop((actor, boot), None) is not None:
            # it may have a successor already, which knows nothing of what the other one had
            self._get_to_know(actor)
            self._ask_what_became_of_requests(actor)

    def _gone(self, actor: str, why: str) -> None:
        logger.debug("%s: actor %s is down: %s", self.name, actor, why)
        self._reachable.discard(actor)
        for envelope in list(self._asked.values()):
            if envelope.target[0] == actor:
                self._asked.pop(envelope.id, None)
        for transfers in self._transfers.values():
            transfers.give_up(source=f"{actor}/")
        self._shared.give_up_uploads(source=f"{actor}/")
        receiver = self._receiver
        if receiver is not None:
            receiver.presence(actor, Presence.DOWN)


def _task_of(envelope: Envelope) -> str:
    return owned(envelope.source[0], envelope.id)


def _crashes_in(headers: Any) -> int:
    crashes = headers.get("crashes", 0)
    if type(crashes) is not int or crashes < 0:
        raise MalformedError("'crashes' is not a count")
    return crashes


def _fence_in(headers: Any) -> tuple[str, str, int]:
    upload_id, source, size = (headers.get(key) for key in ("fence", "of", "size"))
    if not isinstance(upload_id, str) or not isinstance(source, str) or not isinstance(size, int):
        raise MalformedError("a fence does not say what it is for")
    return upload_id, source, size


def _frame(
    envelope: Envelope, headers: Any, body: bytes, transfers: Transfers
) -> tuple[bytes | memoryview, list[int]]:
    """The whole frame of a message, and the deliveries of its chunks."""
    if "transfer" not in headers:
        return body, []
    arrival = transfers.finish(f"{envelope.source[0]}/", headers)
    return arrival.data.frame(), arrival.tags


def _lasts(envelope: Envelope) -> bool:
    """Tasks and answers survive a restart of the broker; but see `Served` for the small ones of services."""
    return envelope.kind in (Kind.TASK, Kind.ACCEPTED, Kind.RESULT)

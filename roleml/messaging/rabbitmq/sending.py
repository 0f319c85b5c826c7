"""An actor's envelopes and their bodies as messages; a large body goes ahead in chunks, once for many."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Answer, Envelope, Failure, FailureKind, Kind
from roleml.messaging.filters import Stamps
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.peers import Peers
from roleml.messaging.rabbitmq.publishing import Publisher
from roleml.messaging.rabbitmq.seen import owned
from roleml.messaging.rabbitmq.served import SMALL_ANSWER_BYTES, Fate, Served
from roleml.messaging.rabbitmq.tasks import TaskLedger
from roleml.messaging.rabbitmq.transfers import WHOLE_BYTES, checksum, chunks_of, size_of
from roleml.messaging.rabbitmq.wire import headers_of, stamp_headers
from roleml.shared.patience import Patience

__all__ = ["Sender"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: A body for several receivers goes ahead, once for all of them, if copies of it in the message to each would
#: take so much more, and it is so large that handling one more message costs less.
SPARED_BYTES = 256 << 10
WORTH_SHARING_BYTES = 16 << 10
#: What the names of receivers may take of a message, whose headers have to fit into a frame of 128 KiB.
RECEIVERS_BYTES = 96 << 10
#: A service request that no process has taken by then is not run any more: its caller was told long ago.
SERVICE_EXPIRES_S = 60.0


class Sender:
    """Sends for one actor. For any thread.

    ``task_answered(task)`` hears, by the id of `owned`, that the broker has the result of a task.
    """

    def __init__(
        self,
        name: str,
        publisher: Publisher,
        peers: Peers,
        served: Served[Outgoing],
        ledger: TaskLedger,
        task_answered: Callable[[str], Any],
    ) -> None:
        self._name = name
        self._publisher = publisher
        self._peers = peers
        self._served = served
        self._ledger = ledger
        self._task_answered = task_answered

    def send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        """One body to several targets, all of one kind."""
        for envelope in envelopes:
            if envelope.kind in (Kind.SERVICE, Kind.CONTROL) and envelope.id:
                self._peers.asking(envelope)
        try:
            self._send(envelopes, body)
        finally:
            self._peers.sent([envelope.id for envelope in envelopes])

    def publish(self, envelope: Envelope, body: Body, stamps: Stamps) -> None:
        """An event."""
        exchange = names.event_exchange(envelope.source, envelope.channel)
        headers = headers_of(envelope) | stamp_headers(stamps)
        whole = b""
        if body.nbytes <= WHOLE_BYTES:
            whole = body.to_frame()
        else:
            headers |= self._upload(exchange, [""], body, {}, persistent=False, stamps=stamps)
        self._publisher.publish(Outgoing(exchange, "", headers, whole))

    def fail(self, request: Envelope, text: str) -> None:
        """Answer a request that does not get as far as the actor."""
        answer = Envelope(
            Kind.RESULT, request.id, request.target, request.source, request.channel, answer=Answer.FAILURE
        )
        failure = Codec().encode(Failure(FailureKind.FAILED, text, "", "").parts())
        self._hand_out([self._message(answer, failure.to_frame(), {})])

    def tell_fate(self, request: Envelope) -> None:
        """Answer somebody who asks what became of a request: with its answer, if that is kept."""
        fate = self._served.what_became_of(owned(request.source[0], request.id))
        if isinstance(fate, Outgoing):
            self._publisher.publish(fate)  # under its old id: the asker drops it if it has had it
        elif fate is Fate.ANSWERED:
            self.fail(
                request, f"the answer of {request.where} was lost with the broker, and is not kept here"
            )
        elif fate is Fate.NEVER_CAME:
            lost = "lost, with the broker or with an earlier process"
            self.fail(request, f"the request for {request.where} was {lost} of {self._name}")

    def _send(self, envelopes: Sequence[Envelope], body: Body) -> None:
        if not _goes_ahead(body.nbytes, len(envelopes)):
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
        extra = self._upload(names.CALL, keys, body, uses, persistent=_lasts(envelopes[0]))
        self._hand_out([self._message(envelope, b"", extra) for envelope in envelopes])

    def _is_busy(self, kind: Kind) -> bool:
        """Whether others ask, or are served, at the same time."""
        return (self._served.at_work if kind is Kind.RESULT else self._peers.unanswered) > 1

    def _hand_out(self, messages: Sequence[Outgoing], *, gather: bool = False) -> None:
        self._publisher.publish(*messages, gather=gather)
        for message in messages:
            envelope = message.envelope
            if envelope is not None and envelope.kind is Kind.RESULT:
                # only now: what a question is told meanwhile must not overtake it
                request = owned(envelope.target[0], envelope.id)
                self._served.answered(request, None if message.persistent else message)

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
    ) -> dict[str, Any]:
        """Send a body ahead in chunks, once for all keys that fit into a message; what refers to it.

        ``uses`` tells each actor's process, in the order of the keys, how many requests will need the
        payload; ``stamps`` are what the message that follows the chunks has, so that they go where it goes.
        """
        transfer_id, size = uuid.uuid4().hex, 0
        headers: dict[str, Any] = {"kind": "chunk", "transfer": transfer_id, "from": f"{self._name}/"}
        headers |= stamp_headers(stamps or {})
        patience = Patience()
        for index, chunk in enumerate(chunks_of(body)):
            patience.report(logger, "%s is sending: %d of %d MB", self._name, size >> 20, body.nbytes >> 20)
            mine = headers | {"index": index, "crc": checksum(chunk)}
            if index == 0:
                mine["total"] = size_of(body)
            for some in _slices(keys):
                piece = Outgoing(exchange, keys[some.start], mine.copy(), chunk, persistent=persistent)
                if keys[some][1:]:
                    piece.headers["BCC"] = keys[some][1:]
                if index == 0 and uses:
                    piece.headers["uses"] = dict(list(uses.items())[some])
                # one that is as durable as the message it belongs to waits with it for a node that is away
                piece.mandatory = exchange == names.CALL and not uses
                self._publisher.publish(piece)
            size += len(chunk)
        return {"transfer": transfer_id, "size": size}


def _goes_ahead(nbytes: int, receivers: int) -> bool:
    spared = nbytes * (receivers - 1)
    return nbytes > WHOLE_BYTES or (nbytes > WORTH_SHARING_BYTES and spared > SPARED_BYTES)


def _slices(keys: Sequence[str]) -> Iterator[slice]:
    """Parts of the keys that fit into one message each, with the names of actors that are in them."""
    start, nbytes = 0, 0
    for index, key in enumerate(keys):
        nbytes += 2 * len(key) + 16
        if nbytes > RECEIVERS_BYTES:
            yield slice(start, index)
            start, nbytes = index, 2 * len(key) + 16
    yield slice(start, len(keys))


def _lasts(envelope: Envelope) -> bool:
    """Tasks and answers survive a restart of the broker; but see `Served` for the small ones of services."""
    return envelope.kind in (Kind.TASK, Kind.ACCEPTED, Kind.RESULT)

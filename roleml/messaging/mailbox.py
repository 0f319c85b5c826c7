"""Requests and their answers: the only place that knows whether the other side is local or remote.

A request to an endpoint of the same actor is served by reference, without encoding. One to another actor is
encoded once for all its targets and kept in a table until it is answered, or until the broker reports that
nobody is there to answer (any more).
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from roleml.messaging.codec import Body, Codec
from roleml.messaging.dispatch import Dispatch
from roleml.messaging.envelope import Address, Answer, Envelope, Failure, FailureKind, Kind
from roleml.messaging.exceptions import (
    CodecError,
    InvocationAbortError,
    InvocationFailedError,
    InvocationRefusedError,
    MessagingError,
    MsgConnectionError,
)
from roleml.messaging.filters import Stamps
from roleml.messaging.outstanding import Outstanding
from roleml.messaging.pending import Pending
from roleml.messaging.serving import Accept, Describe, Job, Pace, Request, Serving
from roleml.messaging.signing import Seals
from roleml.messaging.tracing import NoTracing, Tracing
from roleml.messaging.traffic import Traffic
from roleml.messaging.transport import Absence, Presence, Transport
from roleml.messaging.watched import Watched
from roleml.shared.lanes import Lanes, Started
from roleml.shared.threads import ElasticPool

__all__ = ["EXPLAIN", "Mailbox"]

logger = logging.getLogger("roleml.messaging")

#: The control that answers a request nobody bound, with the reason. Content: kind, endpoint, channel.
EXPLAIN = "explain"

#: How long a leaving actor waits for the answers that are still to be sent.
LAST_ANSWERS_S = 10.0

_ANSWERS = (Kind.ACCEPTED, Kind.RESULT)


class Mailbox:
    """Sends an actor's requests and serves those of others, over one transport.

    Order: requests of one source endpoint to one target endpoint are started in the order they were sent;
    they may overlap. User code runs only in pool threads and in the threads that call :meth:`call`.
    """

    def __init__(
        self, transport: Transport, codec: Codec, pool: ElasticPool, seals: Seals | None = None
    ) -> None:
        self.name = transport.name
        self._transport = transport
        self._dispatch = Dispatch(transport, codec, seals)
        self._pool = pool
        self._lanes = Lanes(pool)
        self._outstanding = Outstanding()
        self._serving = Serving(self._dispatch, self._lanes)
        self._watched = Watched(transport)
        self._watched.while_wanted(lambda actor: any(p.target[0] == actor for p in self.unanswered))
        self._on_event: Callable[[Envelope, Callable[[], Any]], None] = lambda envelope, decode: None
        self._on_presence: list[Callable[[str, Presence], None]] = []
        self._tracing: Tracing = NoTracing()

    # what the actor plugs in before start

    def serve(self, kind: Kind, accept: Accept) -> None:
        self._serving.accept[kind] = accept

    def describe_with(self, describe: Describe) -> None:
        self._serving.describe = describe

    def pace_with(self, pace: Pace) -> None:
        """``pace(request, job)`` calls the job of each accepted request, and gives what it returns."""
        self._serving.pace = pace

    def trace_with(self, tracing: Tracing) -> None:
        """Surround services and tasks, asked and served, with this."""
        self._tracing = self._serving.tracing = tracing

    def paced(self, request: Request, job: Job) -> Any:
        """What the job returns, done in the time that such work takes here."""
        return self._serving.paced(request, job)

    def on_event(self, handler: Callable[[Envelope, Callable[[], Any]], None]) -> None:
        """``handler(envelope, decode)`` gets every event; it must not block, and decodes elsewhere."""
        self._on_event = handler

    def on_presence(self, handler: Callable[[str, Presence], None]) -> None:
        """``handler(actor, state)`` hears of watched actors, in order, in the pool: it may block."""
        self._on_presence.append(handler)

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    def traffic(self) -> Traffic:
        return self._dispatch.traffic

    @property
    def lanes(self) -> Lanes:
        return self._lanes

    @property
    def unanswered(self) -> list[Pending]:
        """What was asked and is not answered yet, the oldest first."""
        return self._outstanding.all()

    @contextmanager
    def released(self, endpoint: str) -> Iterator[None]:
        """Nothing here waits for answers on behalf of this endpoint until the block ends: calls fail."""
        self._outstanding.release(endpoint)
        try:
            text = f"{self.name}/{endpoint} was stopped before {{pending}} answered"
            self._fail_all(lambda pending: pending.source[1] == endpoint, text)
            yield
        finally:
            self._outstanding.hold(endpoint)

    def is_released(self, endpoint: str) -> bool:
        """Whether a block of `released` is under way for it."""
        return self._outstanding.is_released(endpoint)

    def start(self) -> None:
        """Join the broker. Raises what :meth:`Transport.start` raises."""
        self._transport.start(self)

    def stop(self) -> None:
        """Leave the broker, after the answers that are on their way; what waits for an answer here fails."""
        unanswered = self._serving.finish(LAST_ANSWERS_S)
        if unanswered:
            logger.warning("actor %s leaves with %d requests unanswered", self.name, unanswered)
        self._transport.stop()
        self._fail_all(lambda pending: True, f"actor {self.name} stopped before {{pending}} answered")

    # asking

    def call(self, kind: Kind, source: Address, target: Address, channel: str, content: Any) -> Any:
        """Ask one target and wait for the answer. A local one is served in this thread.

        Raises:
            EncodeError: the content cannot travel. Nothing was sent.
            MessagingError: the answer of a remote target is no, or there is none.
            Exception: what a local target raised, as it is.
        """
        with self._asking(kind, source, [target], channel) as trace:
            if target[0] == self.name:
                self._count(kind, source, target, channel)
                return self._serving.admit(Request(kind, source, target, channel, content, trace))()
            (pending,) = self._post(kind, source, [target], channel, content, trace)
            pending.wait()
            return pending.value()

    def submit(self, source: Address, target: Address, channel: str, content: Any, key: str = "") -> Pending:
        """Ask for one task; returns when it was accepted, raises what prevented that, as :meth:`call` does.

        Where the transport keeps tasks, an actor that is away accepts when it is back.
        """
        if target[0] != self.name:
            (pending,) = self.post(Kind.TASK, source, [target], channel, content, key)
            pending.wait_accepted()
            if pending.refused:
                pending.value()
            return pending
        self._count(Kind.TASK, source, target, channel)
        with self._asking(Kind.TASK, source, [target], channel) as trace:
            pending = self._outstanding.new(Kind.TASK, source, target, channel)
            job = self._serving.admit(
                Request(Kind.TASK, source, target, channel, content, trace, pending.id, key)
            )
        self._outstanding.keep([pending])
        pending.accept()
        self._lanes.submit((source, target), lambda started: self._work_locally(pending, job, started))
        return pending

    def post(
        self,
        kind: Kind,
        source: Address,
        targets: Sequence[Address],
        channel: str,
        content: Any,
        key: str = "",
    ) -> list[Pending]:
        """Ask several targets the same at once, without waiting; the content is encoded and sent once.

        Raises:
            EncodeError: the content cannot travel. Nothing was sent.
        """
        with self._asking(kind, source, targets, channel) as trace:
            return self._post(kind, source, targets, channel, content, trace, key)

    def _asking(
        self, kind: Kind, source: Address, targets: Sequence[Address], channel: str
    ) -> AbstractContextManager[str]:
        if kind is Kind.CONTROL:
            return nullcontext("")
        return self._tracing.asking(kind, source, targets, channel)

    def _post(
        self,
        kind: Kind,
        source: Address,
        targets: Sequence[Address],
        channel: str,
        content: Any,
        trace: str,
        key: str = "",
    ) -> list[Pending]:
        pendings = [self._outstanding.new(kind, source, target, channel) for target in targets]
        for target in targets:
            self._count(kind, source, target, channel)
        remote = [pending for pending in pendings if pending.target[0] != self.name]
        body = self._dispatch.encode(content) if remote else None
        self._outstanding.keep(pendings)
        try:
            self._watched.watch({pending.target[0] for pending in remote})
        except MsgConnectionError:
            for pending in pendings:
                self._outstanding.take(pending.id)
            raise
        if body is not None:
            envelopes = [
                Envelope(kind, p.id, source, p.target, channel, trace=trace, key=key) for p in remote
            ]
            self._dispatch.send(envelopes, body)
        for pending in pendings:
            if pending.target[0] == self.name:
                request = Request(kind, source, pending.target, channel, content, trace, pending.id, key)
                self._post_locally(pending, request)
        return pendings

    def tell(self, source: Address, target: Address, channel: str, content: Any) -> None:
        """Send a ``CONTROL`` that wants no answer; an absent actor is only logged."""
        self._dispatch.send(
            [Envelope(Kind.CONTROL, "", source, target, channel)], self._dispatch.encode(content)
        )

    def publish(self, source: Address, channel: str, sequence: int, content: Any, stamps: Stamps) -> None:
        """Send an event to whoever subscribed. Raises ``EncodeError`` if the content cannot travel."""
        self._dispatch.publish(source, channel, sequence, content, stamps)

    def _count(self, kind: Kind, source: Address, target: Address, channel: str) -> None:
        if kind is not Kind.CONTROL:
            self.traffic.called(source[1], target, channel)

    def when_done(self, pending: Pending, callback: Callable[[], Any]) -> None:
        """Run ``callback`` in the pool once ``pending`` is done; in this thread if it is already."""
        if not pending.add_done_callback(callback):
            callback()

    def _post_locally(self, pending: Pending, request: Request) -> None:
        # Admission is the caller's: a handler may reach its own role while that is pausing.
        context = contextvars.copy_context()

        def job(started: Started) -> None:
            try:
                work = context.run(self._serving.admit, request)
            except Exception as e:  # noqa: BLE001  # whatever it is, the one who asked waits for it
                self._finish(pending, pending.fail(e))
                return
            pending.accept()
            self._work_locally(pending, work, started)

        self._lanes.submit((request.source, request.target), job)

    def _work_locally(self, pending: Pending, job: Job, started: Started) -> None:
        started()
        try:
            value = job()
        except BaseException as e:  # noqa: BLE001  # even SystemExit: the one who asked waits for it
            self._finish(pending, pending.fail(e))
        else:
            self._finish(pending, pending.succeed(lambda: value))

    def _finish(self, pending: Pending, callbacks: list[Callable[[], Any]]) -> None:
        self._outstanding.take(pending.id)
        for callback in callbacks:
            callback()

    # whom to watch

    def watch(self, actor: str) -> None:
        """Hear of its presence. Raises ``MsgConnectionError`` if the broker refuses."""
        self._watched.watch({actor})

    def unwatch(self, actor: str) -> None:
        """If the actor is gone, and nobody waits for it, hear of it no more."""
        self._watched.unwatch(actor)

    def watched_while(self, wanted: Callable[[str], bool]) -> None:
        """`unwatch` leaves alone whom ``wanted(actor)`` says that it needs."""
        self._watched.while_wanted(wanted)

    # what the transport calls; none of it blocks or runs user code

    def deliver(self, envelope: Envelope, body: Body) -> None:
        if envelope.kind in _ANSWERS:
            self._take_answer(envelope, body)
        elif envelope.kind is Kind.EVENT:
            self._on_event(envelope, self._dispatch.opener(envelope, body))
        else:
            self._serving.deliver(envelope, body)

    def returned(self, envelope: Envelope, absence: Absence) -> None:
        if absence is Absence.NOT_BOUND and envelope.id in self._outstanding:
            self._ask_why(envelope)
            return
        pending = self._outstanding.take(envelope.id)
        if pending is None or envelope.kind in _ANSWERS:
            logger.info(
                "%s %s for %s was dropped: %s",
                envelope.kind.value, envelope.channel, "/".join(envelope.target).rstrip("/"), absence.value,
            )  # fmt: skip
            return
        error = MsgConnectionError(f"cannot reach {pending}: {absence.value}")
        self._run_later(pending.fail(error))

    def _ask_why(self, request: Envelope) -> None:
        """Have the target's actor answer a request that it did not bind: it knows what is missing."""
        envelope = Envelope(Kind.CONTROL, request.id, request.source, (request.target[0], ""), EXPLAIN)
        content = (request.kind.value, request.target[1], request.channel)
        self._dispatch.send([envelope], self._dispatch.encode(content))

    def presence(self, actor: str, state: Presence) -> None:
        self._watched.note(actor, state)
        if state is Presence.DOWN:
            self._fail_all(
                lambda pending: pending.target[0] == actor and not self._waits_for_return(pending),
                f"actor {actor} left before {{pending}} answered",
            )
        for handler in self._on_presence:
            self._lanes.submit(("presence", actor, handler), partial(_tell, handler, actor, state))

    def _waits_for_return(self, pending: Pending) -> bool:
        return self._transport.keeps_tasks and pending.kind is Kind.TASK

    def _take_answer(self, envelope: Envelope, body: Body) -> None:
        pending = self._outstanding.answered(envelope)
        if pending is None:
            logger.info("an answer of %s to an unknown request was dropped", "/".join(envelope.source))
        elif envelope.kind is Kind.ACCEPTED:
            pending.accept()
        elif envelope.answer is Answer.VALUE:
            self._run_later(pending.succeed(self._dispatch.opener(envelope, body)))
        else:
            self._run_later(pending.fail(self._remote_error(self._dispatch.opener(envelope, body))))

    def _remote_error(self, decode: Callable[[], Any]) -> MessagingError:
        try:
            failure = Failure.of_parts(decode())
        except (CodecError, ValueError) as e:
            return InvocationFailedError(f"the answer was a failure that cannot be read: {e}")
        error = _ERRORS[failure.kind](failure.text)
        error.remote_type, error.remote_traceback = failure.error_type, failure.traceback
        return error

    def _fail_all(self, which: Callable[[Pending], bool], text: str) -> None:
        for pending in self._outstanding.take_all(which):
            self._run_later(pending.fail(MsgConnectionError(text.format(pending=pending))))

    def _run_later(self, callbacks: list[Callable[[], Any]]) -> None:
        for callback in callbacks:
            self._pool.submit(callback)


_ERRORS: dict[FailureKind, type[InvocationRefusedError | InvocationAbortError | InvocationFailedError]] = {
    FailureKind.REFUSED: InvocationRefusedError,
    FailureKind.ABORTED: InvocationAbortError,
    FailureKind.FAILED: InvocationFailedError,
}


def _tell(handler: Callable[[str, Presence], None], actor: str, state: Presence, _: Started) -> None:
    handler(actor, state)

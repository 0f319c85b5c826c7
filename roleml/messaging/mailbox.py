"""Requests and their answers: the only place that knows whether the other side is local or remote.

A request to an endpoint of the same actor is served by reference, without encoding. One to another actor is
encoded once for all its targets and kept in a table until it is answered, or until the broker reports that
nobody is there to answer (any more).
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from roleml.messaging.codec import Body, Codec
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
from roleml.messaging.pending import Pending
from roleml.messaging.signing import Seals
from roleml.messaging.tracing import NoTracing, Tracing
from roleml.messaging.traffic import Traffic
from roleml.messaging.transport import Absence, Presence, Transport
from roleml.shared.lanes import Lanes, Started
from roleml.shared.threads import ElasticPool

__all__ = ["EXPLAIN", "Accept", "Job", "Mailbox", "NotTakenError", "Pace", "Request"]

logger = logging.getLogger("roleml.messaging")

#: The control that answers a request nobody bound, with the reason. Content: kind, endpoint, channel.
EXPLAIN = "explain"

#: How long a leaving actor waits for the answers that are still to be sent.
LAST_ANSWERS_S = 10.0

_ANSWERS = (Kind.ACCEPTED, Kind.RESULT)


class NotTakenError(Exception):
    """A task is not run here: its actor is leaving. Where tasks are kept, its next process gets it."""


class Request(NamedTuple):
    """One request as the serving side sees it, local or remote; ``content`` is decoded."""

    kind: Kind
    source: Address
    target: Address
    channel: str
    content: Any
    trace: str = ""
    id: str = ""
    key: str = ""


Job = Callable[[], Any]
#: Admits a request, or raises; the returned job does the work and gives the answer.
Accept = Callable[[Request], Job]
#: Turns an exception of an Accept or a Job into data.
Describe = Callable[[BaseException], Failure]
#: Runs an accepted job, in its own time.
Pace = Callable[[Request, Job], Any]


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
        self._codec = codec
        self._seals = seals
        self._pool = pool
        self._lanes = Lanes(pool)
        self._accept: dict[Kind, Accept] = {}
        self._describe: Describe = _describe_plainly
        self._on_event: Callable[[Envelope, Callable[[], Any]], None] = lambda envelope, decode: None
        self._on_presence: list[Callable[[str, Presence], None]] = []
        self._pace: Pace | None = None
        self._tracing: Tracing = NoTracing()
        self.traffic = Traffic()
        self._lock = threading.Lock()
        self._served = threading.Condition(self._lock)
        self._serving = 0
        self._life, self._numbers = uuid.uuid4().hex, itertools.count(1)  # what ids of requests are made of
        self._pending: dict[str, Pending] = {}
        self._released: set[str] = set()
        self._watching = threading.Lock()  # while the transport is told
        self._watched: set[str] = set()
        self._gone: set[str] = set()  # of these
        self._wanted: list[Callable[[str], bool]] = []

    # what the actor plugs in before start

    def serve(self, kind: Kind, accept: Accept) -> None:
        self._accept[kind] = accept

    def describe_with(self, describe: Describe) -> None:
        self._describe = describe

    def pace_with(self, pace: Pace) -> None:
        """``pace(request, job)`` calls the job of each accepted request, and gives what it returns."""
        self._pace = pace

    def trace_with(self, tracing: Tracing) -> None:
        """Surround services and tasks, asked and served, with this."""
        self._tracing = tracing

    def paced(self, request: Request, job: Job) -> Any:
        """What the job returns, done in the time that such work takes here."""
        return job() if self._pace is None else self._pace(request, job)

    def _serve_job(self, request: Request, job: Job) -> Any:
        if request.kind is Kind.CONTROL:
            return self.paced(request, job)
        with self._tracing.serving(
            request.kind, request.source, request.target, request.channel, request.trace
        ):
            return self.paced(request, job)

    def on_event(self, handler: Callable[[Envelope, Callable[[], Any]], None]) -> None:
        """``handler(envelope, decode)`` gets every event; it must not block, and decodes elsewhere."""
        self._on_event = handler

    def on_presence(self, handler: Callable[[str, Presence], None]) -> None:
        """``handler(actor, state)`` hears of watched actors, in order, in the pool: it may block."""
        self._on_presence.append(handler)

    @property
    def transport(self) -> Transport:
        return self._transport

    @contextmanager
    def released(self, endpoint: str) -> Iterator[None]:
        """Nothing here waits for answers on behalf of this endpoint until the block ends: calls fail."""
        with self._lock:
            self._released.add(endpoint)
        try:
            text = f"{self.name}/{endpoint} was stopped before {{pending}} answered"
            self._fail_all(lambda pending: pending.source[1] == endpoint, text)
            yield
        finally:
            with self._lock:
                self._released.discard(endpoint)

    def is_released(self, endpoint: str) -> bool:
        """Whether a block of `released` is under way for it."""
        return endpoint in self._released

    @property
    def unanswered(self) -> list[Pending]:
        """What was asked and is not answered yet, the oldest first."""
        with self._lock:
            return list(self._pending.values())

    @property
    def lanes(self) -> Lanes:
        return self._lanes

    def start(self) -> None:
        """Join the broker. Raises what :meth:`Transport.start` raises."""
        self._transport.start(self)

    def stop(self) -> None:
        """Leave the broker, after the answers that are on their way; what waits for an answer here fails."""
        with self._lock:
            if not self._served.wait_for(lambda: not self._serving, LAST_ANSWERS_S):
                logger.warning("actor %s leaves with %d requests unanswered", self.name, self._serving)
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
                return self._admit(Request(kind, source, target, channel, content, trace))()
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
            pending = self._new(Kind.TASK, source, target, channel)
            job = self._admit(Request(Kind.TASK, source, target, channel, content, trace, pending.id, key))
        self._keep([pending])
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
        pendings = [self._new(kind, source, target, channel) for target in targets]
        for target in targets:
            self._count(kind, source, target, channel)
        remote = [pending for pending in pendings if pending.target[0] != self.name]
        body = self._codec.encode(content) if remote else None
        self._keep(pendings)
        try:
            self._watch({pending.target[0] for pending in remote})
        except MsgConnectionError:
            with self._lock:
                for pending in pendings:
                    self._pending.pop(pending.id, None)
            raise
        if body is not None:
            envelopes = [
                Envelope(kind, p.id, source, p.target, channel, trace=trace, key=key) for p in remote
            ]
            self._send(envelopes, body)
        for pending in pendings:
            if pending.target[0] == self.name:
                request = Request(kind, source, pending.target, channel, content, trace, pending.id, key)
                self._post_locally(pending, request)
        return pendings

    def _new(self, kind: Kind, source: Address, target: Address, channel: str) -> Pending:
        return Pending(f"{self._life}-{next(self._numbers)}", kind, source, target, channel)

    def _keep(self, pendings: Sequence[Pending]) -> None:
        with self._lock:
            released = pendings[0].source[1] in self._released if pendings else False
            if not released:
                self._pending.update((pending.id, pending) for pending in pendings)
        if released:
            who = "/".join(pendings[0].source)
            raise MsgConnectionError(f"{who} was stopped, and cannot wait for {pendings[0]} any more")

    def tell(self, source: Address, target: Address, channel: str, content: Any) -> None:
        """Send a ``CONTROL`` that wants no answer; an absent actor is only logged."""
        self._send([Envelope(Kind.CONTROL, "", source, target, channel)], self._codec.encode(content))

    def publish(self, source: Address, channel: str, sequence: int, content: Any, stamps: Stamps) -> None:
        envelope = Envelope(Kind.EVENT, "", source, ("", ""), channel, sequence)
        body = self._codec.encode(content)
        self.traffic.count(body.nbytes)
        self._transport.publish(self._sealed([envelope], body)[0], body, stamps)

    def _count(self, kind: Kind, source: Address, target: Address, channel: str) -> None:
        if kind is not Kind.CONTROL:
            self.traffic.called(source[1], target, channel)

    def _send(self, envelopes: list[Envelope], body: Body) -> None:
        self.traffic.count(body.nbytes, [envelope.target[0] for envelope in envelopes])
        self._transport.send(self._sealed(envelopes, body), body)

    def _sealed(self, envelopes: list[Envelope], body: Body) -> list[Envelope]:
        return self._seals.sealed(envelopes, body) if self._seals is not None and body.pickled else envelopes

    def _opener(self, envelope: Envelope, body: Body) -> Callable[[], Any]:
        """What decodes the body; nothing may be decoded but through this."""
        if self._seals is None:
            return lambda: self._codec.decode(body)
        return self._seals.opener(self._codec, envelope, body)

    def watch(self, actor: str) -> None:
        self._watch({actor})

    def when_done(self, pending: Pending, callback: Callable[[], Any]) -> None:
        """Run ``callback`` in the pool once ``pending`` is done; in this thread if it is already."""
        if not pending.add_done_callback(callback):
            callback()

    def watched_while(self, wanted: Callable[[str], bool]) -> None:
        """`unwatch` leaves alone whom ``wanted(actor)`` says that it needs."""
        self._wanted.append(wanted)

    def unwatch(self, actor: str) -> None:
        """If the actor is gone, and nobody waits for it, hear of it no more.

        Whoever begins to wait for an actor notes that first and watches it afterwards, so that it is either
        seen here or watches anew.
        """
        with self._watching:
            if actor not in self._gone:
                return
            self._watched.discard(actor)
            if any(pending.target[0] == actor for pending in self.unanswered) or any(
                wanted(actor) for wanted in self._wanted
            ):
                self._watched.add(actor)
            else:
                self._gone.discard(actor)
                self._transport.unwatch(actor)

    def _watch(self, actors: set[str]) -> None:
        if actors <= self._watched:
            return
        with self._watching:
            for actor in actors - self._watched:
                self._transport.watch(actor)
                self._watched.add(actor)

    # being asked

    def _admit(self, request: Request) -> Job:
        return partial(self._serve_job, request, self._accept[request.kind](request))

    def _post_locally(self, pending: Pending, request: Request) -> None:
        # Admission is the caller's: a handler may reach its own role while that is pausing.
        context = contextvars.copy_context()

        def job(started: Started) -> None:
            try:
                work = context.run(self._admit, request)
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
        with self._lock:
            self._pending.pop(pending.id, None)
        for callback in callbacks:
            callback()

    def _serve_one(self, envelope: Envelope, body: Body, started: Started) -> None:
        try:
            self._serve(envelope, body, started)
        finally:
            with self._lock:
                self._serving -= 1
                if not self._serving:
                    self._served.notify_all()

    def _serve(self, envelope: Envelope, body: Body, started: Started) -> None:
        try:
            content = self._opener(envelope, body)()
            source, target, channel = envelope.source, envelope.target, envelope.channel
            request = Request(
                envelope.kind, source, target, channel, content, envelope.trace, envelope.id, envelope.key
            )
            del body, content
            job = self._admit(request)
            if envelope.kind is Kind.TASK:
                self._answer(envelope, Kind.ACCEPTED, Answer.VALUE, None)
            started()
            value = job()
        except NotTakenError as e:
            logger.info("%s of %s is left to the next process: %s", envelope.channel, envelope.source[0], e)
            return
        except BaseException as e:  # noqa: BLE001  # even SystemExit: the one who asked waits for it
            if not envelope.id:
                logger.warning("%s from %s failed: %s", envelope.channel, envelope.source[0], e)
                return
            self._answer(envelope, Kind.RESULT, Answer.FAILURE, self._describe(e).parts())
            return
        if envelope.id:
            self._answer_value(envelope, value)

    def _answer_value(self, envelope: Envelope, value: Any) -> None:
        try:
            self._answer(envelope, Kind.RESULT, Answer.VALUE, value)
        except CodecError as e:
            text = f"the result of {envelope.target[1]}.{envelope.channel} cannot travel: {e}"
            failure = Failure(FailureKind.FAILED, text, type(e).__name__, "")
            self._answer(envelope, Kind.RESULT, Answer.FAILURE, failure.parts())

    def _answer(self, to: Envelope, kind: Kind, answer: Answer, content: Any) -> None:
        envelope = Envelope(kind, to.id, to.target, to.source, to.channel, answer=answer)
        self._send([envelope], self._codec.encode(content))

    # what the transport calls; none of it blocks or runs user code

    def deliver(self, envelope: Envelope, body: Body) -> None:
        if envelope.kind in _ANSWERS:
            self._take_answer(envelope, body)
        elif envelope.kind is Kind.EVENT:
            self._on_event(envelope, self._opener(envelope, body))
        else:
            with self._lock:
                self._serving += 1
            self._lanes.submit(
                (envelope.source, envelope.target), lambda started: self._serve_one(envelope, body, started)
            )

    def returned(self, envelope: Envelope, absence: Absence) -> None:
        if absence is Absence.NOT_BOUND and envelope.id in self._pending:
            self._ask_why(envelope)
            return
        with self._lock:
            pending = self._pending.pop(envelope.id, None)
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
        self._send([envelope], self._codec.encode(content))

    def presence(self, actor: str, state: Presence) -> None:
        if state is Presence.READY:
            self._gone.discard(actor)
        elif actor in self._watched:
            self._gone.add(actor)
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
        with self._lock:
            pending = self._pending.get(envelope.id)
            if pending is not None and pending.target[0] != envelope.source[0]:
                pending = None  # only whom we asked may answer
            elif pending is not None and envelope.kind is Kind.RESULT:
                del self._pending[envelope.id]
        if pending is None:
            logger.info("an answer of %s to an unknown request was dropped", "/".join(envelope.source))
        elif envelope.kind is Kind.ACCEPTED:
            pending.accept()
        elif envelope.answer is Answer.VALUE:
            self._run_later(pending.succeed(self._opener(envelope, body)))
        else:
            self._run_later(pending.fail(self._remote_error(self._opener(envelope, body))))

    def _remote_error(self, decode: Callable[[], Any]) -> MessagingError:
        try:
            failure = Failure.of_parts(decode())
        except (CodecError, ValueError) as e:
            return InvocationFailedError(f"the answer was a failure that cannot be read: {e}")
        error = _ERRORS[failure.kind](failure.text)
        error.remote_type, error.remote_traceback = failure.error_type, failure.traceback
        return error

    def _fail_all(self, which: Callable[[Pending], bool], text: str) -> None:
        with self._lock:
            lost = [pending for pending in self._pending.values() if which(pending)]
            for pending in lost:
                del self._pending[pending.id]
        for pending in lost:
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


def _describe_plainly(error: BaseException) -> Failure:
    return Failure(FailureKind.FAILED, str(error), type(error).__name__, "")

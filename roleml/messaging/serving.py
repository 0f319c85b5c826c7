"""Serving requests: those of other actors, which are decoded and answered, and those of this one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from roleml.messaging.codec import Body
from roleml.messaging.dispatch import Dispatch
from roleml.messaging.envelope import Address, Answer, Envelope, Failure, FailureKind, Kind
from roleml.messaging.exceptions import CodecError
from roleml.messaging.tracing import NoTracing, Tracing
from roleml.shared.lanes import Lanes, Started

__all__ = ["Accept", "Describe", "Job", "NotTakenError", "Pace", "Request", "Serving"]

logger = logging.getLogger("roleml.messaging")


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


class Serving:
    """Admits requests, and answers those that came from elsewhere.

    Those of one source endpoint to one target endpoint start in the order they came; they may overlap.
    """

    def __init__(self, dispatch: Dispatch, lanes: Lanes) -> None:
        self._dispatch = dispatch
        self._lanes = lanes
        self.accept: dict[Kind, Accept] = {}
        self.describe: Describe = _describe_plainly
        self.pace: Pace | None = None
        self.tracing: Tracing = NoTracing()
        self._lock = threading.Lock()
        self._unanswered = 0
        self._finished: threading.Event | None = None  # while somebody waits for it

    def admit(self, request: Request) -> Job:
        """What does the work, or raises what speaks against it."""
        return partial(self._work, request, self.accept[request.kind](request))

    def paced(self, request: Request, job: Job) -> Any:
        """What the job returns, done in the time that such work takes here."""
        return job() if self.pace is None else self.pace(request, job)

    def deliver(self, envelope: Envelope, body: Body) -> None:
        """Serve a request of another actor, in a thread of the pool and in its turn."""
        with self._lock:
            self._unanswered += 1
        self._lanes.submit((envelope.source, envelope.target), partial(self._serve_one, envelope, [body]))

    def finish(self, timeout_s: float) -> int:
        """Wait until all is answered that was delivered; how much is not, after ``timeout_s`` seconds."""
        with self._lock:
            finished = self._finished = threading.Event()
            if not self._unanswered:
                return 0
        return 0 if finished.wait(timeout_s) else self._unanswered

    def _work(self, request: Request, job: Job) -> Any:
        if request.kind is Kind.CONTROL:
            return self.paced(request, job)
        with self.tracing.serving(
            request.kind, request.source, request.target, request.channel, request.trace
        ):
            return self.paced(request, job)

    def _serve_one(self, envelope: Envelope, held: list[Body], started: Started) -> None:
        try:
            self._serve(envelope, held, started)
        finally:
            with self._lock:
                self._unanswered -= 1
                finished = None if self._unanswered else self._finished
            if finished is not None:
                finished.set()

    def _serve(self, envelope: Envelope, held: list[Body], started: Started) -> None:
        try:
            # Nobody else has the body: while the handler runs, there is only what was made of it.
            job = self._admit_delivered(envelope, held.pop())
            if job is None:
                return
            if envelope.kind is Kind.TASK:
                self._answer(envelope, Kind.ACCEPTED, Answer.VALUE, None)
            started()
            value = job()
        except BaseException as e:  # noqa: BLE001  # even SystemExit: the one who asked waits for it
            if not envelope.id:
                logger.warning("%s from %s failed: %s", envelope.channel, envelope.source[0], e)
                return
            self._answer(envelope, Kind.RESULT, Answer.FAILURE, self.describe(e).parts())
            return
        if envelope.id:
            self._answer_value(envelope, value)

    def _admit_delivered(self, envelope: Envelope, body: Body) -> Job | None:
        """As `admit`; ``None`` for a task that is left to the next process of this actor."""
        content = self._dispatch.opener(envelope, body)()
        source, target, channel = envelope.source, envelope.target, envelope.channel
        request = Request(
            envelope.kind, source, target, channel, content, envelope.trace, envelope.id, envelope.key
        )
        try:
            return self.admit(request)
        except NotTakenError as e:
            logger.info("%s of %s is left to the next process: %s", channel, source[0], e)
            self._dispatch.transport.put_back(envelope, body)
            return None

    def _answer_value(self, envelope: Envelope, value: Any) -> None:
        try:
            self._answer(envelope, Kind.RESULT, Answer.VALUE, value)
        except CodecError as e:
            text = f"the result of {'/'.join(envelope.target)}.{envelope.channel} cannot travel: {e}"
            failure = Failure(FailureKind.FAILED, text, type(e).__name__, "")
            self._answer(envelope, Kind.RESULT, Answer.FAILURE, failure.parts())

    def _answer(self, to: Envelope, kind: Kind, answer: Answer, content: Any) -> None:
        envelope = Envelope(kind, to.id, to.target, to.source, to.channel, answer=answer)
        self._dispatch.send([envelope], self._dispatch.encode(content))


def _describe_plainly(error: BaseException) -> Failure:
    return Failure(FailureKind.FAILED, str(error), type(error).__name__, "")

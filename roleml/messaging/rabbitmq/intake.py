"""An actor's tasks as they come from the broker, which keeps each until its result is safe."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from roleml.messaging.codec import Body
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.exceptions import DecodeError
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.consuming import Consumer
from roleml.messaging.rabbitmq.gate import Delivery, Gate
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.seen import owned
from roleml.messaging.rabbitmq.tasks import Decision, Held, TaskLedger
from roleml.messaging.rabbitmq.transfers import WHOLE_BYTES, Frame, Transfers
from roleml.messaging.rabbitmq.wire import MalformedError, headers_of
from roleml.messaging.transport import Arriving

__all__ = ["TaskIntake"]

logger = logging.getLogger("roleml.messaging.rabbitmq")


class TaskIntake:
    """Decides by the ledger what becomes of each delivery. In the consuming connection's thread.

    ``hand_over(envelope, frame)`` gets a task that is to run; ``fail(envelope, text)`` answers one that does
    not; ``reject(what, properties, error)`` hears of what is no task at all.
    """

    def __init__(
        self,
        name: str,
        gate: Gate,
        ledger: TaskLedger,
        consumer: Consumer,
        publish: Callable[[Outgoing], Any],
        *,
        hand_over: Callable[[Envelope, Frame], Any],
        fail: Callable[[Envelope, str], Any],
        reject: Callable[[str, Any, BaseException], Any],
    ) -> None:
        self._name = name
        self._gate = gate
        self._ledger = ledger
        self._consumer = consumer
        self._publish = publish
        self._hand_over = hand_over
        self._fail = fail
        self._reject = reject
        # by queue: each queue that a body was sent to delivers its own chunks
        self._transfers: defaultdict[str, Transfers] = defaultdict(Transfers)
        self._generation = 0
        self._put_back: list[tuple[Envelope, Body]] = []

    def arriving(self) -> Iterable[Arriving]:
        """What has come in part; for any thread."""
        return [arriving for transfers in list(self._transfers.values()) for arriving in transfers.arriving()]

    def forget(self, endpoint: str) -> None:
        """It is not served any more."""
        self._transfers.pop(names.consumer_tag(self._name, endpoint, Kind.TASK), None)

    def take(self, method: Any, properties: Any, body: bytes) -> None:
        headers, tag, generation = properties.headers or {}, method.delivery_tag, self._consumer.generation
        if generation != self._generation:  # what an earlier connection delivered in part comes again
            self._transfers.clear()
            self._generation = generation
        transfers, envelope = self._transfers[method.consumer_tag], None
        try:
            envelope = self._gate.check(Delivery.of(method, properties, body))
            if envelope is None:
                transfers.take(headers.get("from", ""), headers, body, tag)
            else:
                self._take_task(envelope, headers, body, transfers, tag, redelivered=method.redelivered)
        except (MalformedError, DecodeError) as e:
            self._reject("task", properties, e)
            self._consumer.ack_tasks({tag, *getattr(e, "tags", ())}, generation)
            if envelope is not None:
                self._fail(envelope, f"{envelope.where} was not run: {e}")

    def answered(self, task: str) -> None:
        """The result of a task is safe with the broker: now the task itself may go."""
        held = self._ledger.finish(task)
        if held is not None:
            self._consumer.ack_tasks(held.tags, held.generation)

    def put_back(self, envelope: Envelope, body: Body) -> None:
        """The task was not begun, and the actor is leaving. For any thread."""
        self._put_back.append((envelope, body))

    def leave(self) -> None:
        """Nothing is consumed any more: have the next process get what was put back, as it came.

        A delivery that ends with its channel comes again marked, and would be counted as a death. For any
        thread.
        """
        for envelope, body in self._put_back:
            held = self._ledger.release(owned(envelope.source[0], envelope.id))
            if held is not None:
                # chunks, if any, stay where they are, as when a death is counted
                frame = b"" if "transfer" in held.headers else body.to_frame()
                self._publish_again(envelope, held.headers, frame, held.tags[0], held.generation)
        self._put_back.clear()

    def _publish_again(
        self, envelope: Envelope, headers: Mapping[str, Any], frame: bytes, tag: int, generation: int
    ) -> None:
        """Put a copy of a task to the end of its queue, in the place of what was delivered."""
        again = Outgoing(names.CALL, names.call_key(envelope), dict(headers), frame, persistent=True)
        again.on_confirm = lambda: self._consumer.ack_tasks([tag], generation)
        self._publish(again)

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
        generation, crashes = self._generation, _crashes_in(headers)
        task = owned(envelope.source[0], envelope.id)
        decision = self._ledger.decide(task, redelivered=redelivered, crashes=crashes)
        if decision is Decision.COUNT:
            # The copy follows behind what waits already; its chunks, if any, stay where they are.
            self._publish_again(envelope, headers | {"crashes": crashes + 1}, body, tag, generation)
            return
        frame, tags = transfers.frame_of(envelope.source[0], headers, body)
        if decision in (Decision.RUN, Decision.HOLD):
            self._ledger.hold(task, Held([tag, *tags], generation, headers))
        elif decision is Decision.SET_ASIDE:
            # only then is it as safe there as it was here
            kept = partial(self._consumer.ack_tasks, [tag, *tags], generation)
            self._set_aside(envelope, frame, crashes, kept)
        else:
            self._consumer.ack_tasks([tag, *tags], generation)
        if decision is Decision.RUN:
            self._hand_over(envelope, frame)

    def _set_aside(self, envelope: Envelope, frame: Frame, crashes: int, kept: Callable[[], object]) -> None:
        """Put a task that kills its actor where a person finds it, and tell its caller."""
        text = (
            f"{envelope.where} was set aside: actor {self._name} died {crashes} times while running it; "
            f"the broker keeps it in the queue {names.dead_queue(self._name)}"
        )
        logger.error("%s", text)
        headers = headers_of(envelope) | {"reason": text}
        dead = Outgoing(
            names.CALL, names.dead_key(self._name), headers, bytes(frame[:WHOLE_BYTES]), persistent=True
        )
        dead.on_confirm = kept

        def declared(error: BaseException | None) -> None:
            if error is not None:
                logger.error("actor %s cannot make the queue for it: %s", self._name, error)
            self._publish(dead)
            self._fail(envelope, text)

        # The other connection publishes: before the queue is there, it would publish to nowhere.
        self._consumer.declare_dead_queue(declared)


def _crashes_in(headers: Any) -> int:
    crashes = headers.get("crashes", 0)
    if type(crashes) is not int or crashes < 0:
        raise MalformedError("'crashes' is not a count")
    return crashes

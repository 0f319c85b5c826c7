"""An actor's queues: declared, bound, consumed, and built up again after a lost connection.

What the actor wants from the broker is kept as data: its endpoints here, what it wants to hear in `hearing`.
Each change is applied at once where there is a connection, and everything anew whenever there is one again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pika
import pika.channel
import pika.exceptions

from roleml.messaging.envelope import Kind
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq import names, topology
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.hearing import Hearing
from roleml.messaging.rabbitmq.lending import STEP_TIMEOUT_S, Channels, ChannelSteps, Steps, together
from roleml.messaging.rabbitmq.refusals import LOCKED, reply_code
from roleml.messaging.rabbitmq.topology import (
    Endpoint,
    one,
)
from roleml.messaging.rabbitmq.upload_queue import UploadQueue
from roleml.messaging.rabbitmq.will import LastWill
from roleml.shared.patience import Patience

__all__ = ["Consumer"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: Deliveries that may wait for acknowledgement; tasks are held while they run and have no such limit.
PREFETCH = 256
ACK_EVERY = 32
ACK_AFTER_S = 0.05
#: How often a name is asked for that a dead connection of ours may still hold.
RELOCK_PAUSE_S = 1.0

#: Of each actor: one for what is acknowledged in batches, one for what is held (its tasks, and its will).
CHANNELS = 2

OnMessage = Callable[[Any, Any, bytes], None]


class Consumer:
    """A session on the consuming connection, for one actor.

    ``on_message`` and ``on_task`` get ``(method, properties, body)`` in the connection's thread; ``on_loss``
    and ``on_return`` hear that the queues are lost with the connection, and taken up again. Messages are
    acknowledged in batches once ``on_message`` has returned; tasks by :meth:`ack_tasks`.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        will: LastWill,
        uploads: UploadQueue,
        on_message: OnMessage,
        on_task: OnMessage,
        on_loss: Callable[[], None],
        on_return: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._name = name
        self._last_will = will
        self._on_message = on_message
        self._on_task = on_task
        self._uploads = uploads
        self._on_loss = on_loss
        self._on_return = on_return
        #: what it hears of others, and they of it
        self.hearing = Hearing(name, self)
        self._lock = threading.Lock()
        self._endpoints: dict[str, Endpoint] = {}
        self._open: set[str] = set()
        # below: only in the connection's thread
        self._main: pika.channel.Channel | None = None
        self._tasks: pika.channel.Channel | None = None
        self._unacked = 0
        self._last_tag = 0
        self._ack_timer: Any = None
        self._generation = 0
        #: until its queues are there for the first time, or refused
        self._starting: threading.Event | None = None
        self._first_error: BaseException | None = None
        self._up = False
        self._leaving = False
        self._stopping = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def generation(self) -> int:
        """Counts connections: a delivery tag is valid only within one."""
        return self._generation

    # any thread

    def start(self) -> None:
        """Take the actor's name and its queues. Raises ``MsgConnectionError``."""
        starting = self._starting = threading.Event()
        self._connection.post(lambda: self._connection.attach(self))
        starting.wait()
        if self._first_error is not None:
            raise self._refusal(self._first_error) from self._first_error

    def bind(self, name: str, endpoint: Endpoint) -> None:
        with self._lock:
            old = self._endpoints.get(name)
            self._endpoints[name] = endpoint
        self.do(lambda admin: self._bind_steps(admin, name, endpoint, old))

    def open(self, name: str) -> None:
        """Begin to take the tasks of a bound endpoint."""
        with self._lock:
            tasks = name in self._endpoints and self._endpoints[name].tasks and name not in self._open
            self._open.add(name)
        if tasks:
            self.do(lambda _: self._open_steps(name))

    def unbind(self, name: str, *, keep_tasks: bool) -> None:
        with self._lock:
            opened = name in self._open
            self._open.discard(name)
            endpoint = self._endpoints.pop(name, None)
        if endpoint is not None:
            self.undo(lambda admin: self._unbind_steps(admin, name, endpoint, keep_tasks, opened))

    def ack_tasks(self, tags: Iterable[int], generation: int) -> None:
        self._connection.post(lambda: self._ack_tasks(list(tags), generation))

    def declare_dead_queue(self, declared: Callable[[BaseException | None], None]) -> None:
        """Make the queue for tasks that are set aside, then say so, in the connection's thread."""
        self._begin(lambda admin: topology.dead_queue(admin, self._name), declared)

    def look_for(self, queue: str, looked: Callable[[BaseException | None], None]) -> None:
        """Ask the broker for a queue of anybody; `looked(error)` hears, in the connection's thread."""

        def begin() -> None:
            channels = self._connection.channels
            if channels is None:
                looked(pika.exceptions.ConnectionWrongStateError())
            else:
                channels.run(one("queue_declare", queue, passive=True), looked)

        self._connection.post(begin)

    def stop(self) -> None:
        """Give up the queues, without the broker announcing a loss. Waits until the broker has done so."""
        self._leaving = True  # with its queues go their consumers
        self.undo(self._stop_steps)
        done = threading.Event()

        def end() -> None:
            self._stopping = True
            self._connection.detach(self)
            for channel in (self._main, self._tasks):
                if channel is not None and channel.is_open:
                    channel.close()
            self._begin_waiting()
            done.set()

        self._connection.post(end)
        if self._up and not self._connection.in_thread:
            done.wait(STEP_TIMEOUT_S)

    def do(self, make_steps: ChannelSteps) -> None:
        """Run steps on the broker and wait for them; while there is no connection, wait for one."""
        finished = threading.Event()
        errors: list[BaseException] = []

        def done(error: BaseException | None) -> None:
            if error is not None:
                errors.append(error)
            finished.set()

        self._begin(make_steps, done)
        patience = Patience()
        while not finished.wait(patience.next_wait_s()):
            patience.report(logger, "actor %s waits for the broker", self._name)
        if errors:
            raise MsgConnectionError(
                f"the broker refused what actor {self._name} needs: {errors[0]}"
            ) from errors[0]

    def undo(self, make_steps: ChannelSteps) -> None:
        """Give something up at the broker; without a connection there is nothing to give up."""
        finished = threading.Event()

        def begin() -> None:
            if self._up and self._connection.channels is not None:
                self._connection.channels.run(make_steps, lambda error: finished.set())
            else:
                finished.set()

        if self._up:
            self._connection.post(begin)
            finished.wait(STEP_TIMEOUT_S)

    def _begin(self, make_steps: ChannelSteps, done: Callable[[BaseException | None], None]) -> None:
        """Run steps as soon as there is a connection, and once more if it is lost meanwhile."""

        def begin() -> None:
            if self._stopping:
                done(None)
            elif not self._up or self._connection.channels is None:
                self._waiting.append(begin)
            else:
                self._connection.channels.run(make_steps, ended)

        def ended(error: BaseException | None) -> None:
            if isinstance(error, pika.exceptions.AMQPConnectionError) and not self._stopping:
                self._waiting.append(begin)
            else:
                done(error)

        self._connection.post(begin)

    def _begin_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for begin in waiting:
            begin()

    # the connection's thread: building up

    def connected(self, connection: pika.SelectConnection) -> None:
        self._generation += 1
        self._unacked = 0
        channels: list[pika.channel.Channel] = []

        def opened(channel: pika.channel.Channel) -> None:
            if self._first_error is not None:  # there were not enough; leave these to others
                channel.close()
                return
            channel.add_on_close_callback(self._closed)
            channel.add_on_cancel_callback(lambda frame: self._cancelled(channel, frame.method.consumer_tag))
            channels.append(channel)
            if len(channels) == CHANNELS:
                self._main, self._tasks = channels
                self.channels.run(self._setup_steps, self._set_up)

        try:
            for _ in range(CHANNELS):
                connection.channel(on_open_callback=opened)
        except pika.exceptions.NoFreeChannels as e:
            self._set_up(e)

    def disconnected(self) -> None:
        if self._up:
            self._on_loss()
        self._up = False
        self._main = self._tasks = None
        self._ack_timer = None

    @property
    def is_up(self) -> bool:
        """In the connection's thread: whether its queues are there."""
        return self._up and self._main is not None

    @property
    def channels(self) -> Channels:
        """In the connection's thread, while it is connected."""
        channels = self._connection.channels
        assert channels is not None
        return channels

    def _setup_steps(self, admin: pika.channel.Channel) -> Steps:
        me = self._name
        alive = names.alive_queue(me)
        for exchange in (names.CALL, names.PRESENCE):
            yield from self._shared_exchange_steps(exchange)
        yield together(
            partial(
                admin.queue_declare, alive, exclusive=True, arguments=names.connection_arguments("alive")
            ),
            partial(admin.queue_bind, alive, names.CALL, names.alive_key(me)),
        )
        yield from topology.inbox(admin, me)
        inbox, events = names.inbox_queue(me), names.events_queue(me)
        yield from self._uploads.steps(admin, me)
        assert self._tasks is not None
        yield from self._last_will.steps(admin, self._tasks)
        with self._lock:
            endpoints, opened = dict(self._endpoints), set(self._open)
        yield from self.hearing.steps(admin)
        assert self._main is not None
        main = self._main
        yield together(
            partial(main.basic_qos, prefetch_count=PREFETCH),
            partial(main.basic_consume, alive, _ignore, auto_ack=True, consumer_tag=f"{me}:alive"),
            partial(main.basic_consume, inbox, self._take, consumer_tag=f"{me}:inbox"),
            partial(main.basic_consume, events, self._take, consumer_tag=f"{me}:events"),
        )
        for name, endpoint in endpoints.items():
            yield from self._bind_steps(admin, name, endpoint, None)
            if endpoint.tasks and name in opened:
                yield from self._open_steps(name)
        if self._generation > 1:
            yield from self._verify_steps(admin, endpoints, opened)

    def _verify_steps(
        self, admin: pika.channel.Channel, endpoints: dict[str, Endpoint], opened: set[str]
    ) -> Steps:
        """After a recovery: has the broker really got us as the consumer of each queue?"""
        queues = [names.inbox_queue(self._name), names.events_queue(self._name)]
        for name, endpoint in endpoints.items():
            queues += [names.request_queue(self._name, name, Kind.SERVICE)] if endpoint.services else []
            if endpoint.tasks and name in opened:
                queues.append(names.request_queue(self._name, name, Kind.TASK))
        for queue in queues:
            answer = yield partial(admin.queue_declare, queue, passive=True)
            if not answer.method.consumer_count:
                raise MsgConnectionError(f"the broker does not know us as the consumer of {queue}")

    def _set_up(self, error: BaseException | None) -> None:
        starting, self._starting = self._starting, None
        if error is None:
            self._up = True
            if starting is None:
                self._on_return()
            else:
                starting.set()
            self._begin_waiting()
        elif starting is not None:
            self._first_error = error
            self._connection.detach(self)
            starting.set()
        elif not self._stopping:
            logger.warning("actor %s cannot take up its queues again yet: %s", self._name, error)
            self._connection.later(RELOCK_PAUSE_S, self._try_again)

    def _try_again(self) -> None:
        channels = [c for c in (self._main, self._tasks) if c is not None]
        connection = channels[0].connection if channels else None
        if connection is not None and connection.is_open and not self._up and not self._stopping:
            self.disconnected()
            for channel in channels:
                if channel.is_open:
                    channel.close()
            self.connected(connection)

    def _closed(self, channel: pika.channel.Channel, reason: BaseException) -> None:
        """The broker closed a channel that we consume on, e.g. since a task was held too long: begin anew."""
        ours = channel in (self._main, self._tasks)
        if self._stopping or not ours or not channel.connection.is_open:
            return
        logger.info("the broker closed a channel of actor %s: %s; opening another", self._name, reason)
        self._begin_anew()

    def _cancelled(self, channel: pika.channel.Channel, tag: str) -> None:
        """A queue that we consume is gone: deleted by somebody, failed, or with a node of a cluster."""
        if self._up and not self._leaving and channel in (self._main, self._tasks):
            logger.warning("the broker took a queue from actor %s (%s); making it again", self._name, tag)
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._up = False
        self._connection.later(0, self._try_again)

    # sequences of operations

    def _bind_steps(
        self, admin: pika.channel.Channel, name: str, endpoint: Endpoint, old: Endpoint | None
    ) -> Steps:
        assert self._main is not None
        yield from topology.request_queues(admin, self._name, name, endpoint, old)
        if endpoint.services and not (old and old.services):
            queue, tag = self._queue_and_tag(name, Kind.SERVICE)
            yield partial(self._main.basic_consume, queue, self._take, consumer_tag=tag)

    def _open_steps(self, name: str) -> Steps:
        assert self._tasks is not None
        queue, tag = self._queue_and_tag(name, Kind.TASK)
        yield partial(self._tasks.basic_consume, queue, self._take_task, consumer_tag=tag)

    def _queue_and_tag(self, name: str, kind: Kind) -> tuple[str, str]:
        return names.request_queue(self._name, name, kind), names.consumer_tag(self._name, name, kind)

    def _unbind_steps(
        self, admin: pika.channel.Channel, name: str, endpoint: Endpoint, keep_tasks: bool, opened: bool
    ) -> Steps:
        assert self._main is not None
        assert self._tasks is not None
        if endpoint.services:
            queue, tag = self._queue_and_tag(name, Kind.SERVICE)
            yield partial(self._main.basic_cancel, tag)
            yield partial(admin.queue_delete, queue)
        if endpoint.tasks:
            queue, tag = self._queue_and_tag(name, Kind.TASK)
            if opened:
                yield partial(self._tasks.basic_cancel, tag)
            if not keep_tasks:
                yield partial(admin.queue_delete, queue)
        yield from self.hearing.withdraw_steps(admin, name)

    def _shared_exchange_steps(self, exchange: str) -> Steps:
        """An exchange that all actors share. On a provisioned broker it is there, and none may make it."""
        if exchange in self._connection.found:
            return
        missing = yield self.channels.aside(one("exchange_declare", exchange, passive=True))
        if missing is not None:  # a refusal to make it shows when it is used
            yield self.channels.aside(one("exchange_declare", exchange, "topic", durable=True))
        self._connection.found.add(exchange)

    def _stop_steps(self, admin: pika.channel.Channel) -> Steps:
        yield from self._last_will.revoke_steps()
        me = self._name
        own = (names.will_queue(me), names.inbox_queue(me), names.events_queue(me))
        yield together(
            *[partial(admin.queue_delete, queue) for queue in own],
            partial(admin.queue_unbind, self._uploads.name, names.CALL, names.uploads_key(me)),
            partial(admin.queue_delete, names.alive_queue(me)),
        )

    # the connection's thread: deliveries

    def _take(self, channel: pika.channel.Channel, method: Any, properties: Any, body: bytes) -> None:
        self._on_message(method, properties, body)
        self._last_tag = method.delivery_tag
        self._unacked += 1
        if self._unacked >= ACK_EVERY:
            self._ack(channel)
        elif self._ack_timer is None:
            self._ack_timer = self._connection.later(ACK_AFTER_S, lambda: self._ack(channel))

    def _ack(self, channel: pika.channel.Channel) -> None:
        current = channel is self._main
        if not current:  # of an earlier connection, whose deliveries come again
            return
        if self._ack_timer is not None:
            self._connection.cancel(self._ack_timer)
            self._ack_timer = None
        if self._unacked and channel.is_open:
            channel.basic_ack(self._last_tag, multiple=True)
            self._unacked = 0

    def _take_task(self, _: pika.channel.Channel, method: Any, properties: Any, body: bytes) -> None:
        self._on_task(method, properties, body)

    def _ack_tasks(self, tags: list[int], generation: int) -> None:
        if generation == self._generation and self._tasks is not None and self._tasks.is_open:
            for tag in tags:
                self._tasks.basic_ack(tag)

    def _refusal(self, error: BaseException) -> MsgConnectionError:
        if reply_code(error) == LOCKED:
            return MsgConnectionError(
                f"an actor named {self._name!r} is already connected to this broker; stop that one first, "
                "or give this one another name (a lost actor's name is free again within half a minute)"
            )
        if isinstance(error, pika.exceptions.NoFreeChannels):
            return MsgConnectionError(
                f"actor {self._name} finds no free channel: a connection has 2,047 unless the broker says "
                "otherwise, and an actor needs 2; spread so many actors over several processes"
            )
        return MsgConnectionError(f"actor {self._name} cannot take up its queues: {error}")


def _ignore(*_: Any) -> None:
    """A ping: that it could be delivered was the answer."""

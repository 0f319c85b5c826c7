"""An actor's outgoing messages: confirmed, sent again after a lost connection, bounded in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

import pika
import pika.channel

from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.properties import Properties
from roleml.messaging.rabbitmq.returns import Found, Returns
from roleml.messaging.rabbitmq.tuning import MERGED_BYTES
from roleml.shared.patience import Patience

__all__ = ["Publisher"]

logger = logging.getLogger("roleml.messaging.rabbitmq")

#: What an actor may have handed over without the broker having confirmed it; more makes senders wait.
WINDOW_BYTES = 16 << 20
#: The same of small ones.
WINDOW_MESSAGES = 20_000
#: A message that the broker could not keep is sent again after so long, and so often: a queue has failed, and
#: may be back in a moment.
REFUSED_PAUSE_S = 1.0
MOST_REFUSALS = 10
#: How long a leaving actor waits for a lost connection to come back.
RECONNECT_S = 2.0


class Publisher:
    """A session on the publishing connection, for one actor.

    Messages leave in the order of :meth:`publish`. Each is kept until the broker confirms it. After a lost
    connection, or when the broker could not keep one, the unconfirmed ones are sent again, in order, under
    their old message ids.
    """

    def __init__(
        self,
        connection: Connection,
        consuming: Connection,
        name: str,
        boot: str,
        user: str,
        on_return: Callable[[Outgoing], None],
    ) -> None:
        self._connection = connection
        self._consuming = consuming
        self._name = name
        self._boot = boot
        self._user = user
        self._on_return = on_return
        self._channel: pika.channel.Channel | None = None
        #: one on which a message was refused: nothing more is sent on it
        self._refusing: pika.channel.Channel | None = None
        self._queue: list[Outgoing] = []
        self._unconfirmed: dict[int, Outgoing] = {}
        self._by_id: dict[str, Outgoing] = {}
        self._returns = Returns()
        self._tag = 0
        self._count = 0
        self._room = threading.Condition()
        self._bytes = 0
        self._drains: list[threading.Event] = []
        self._stopped = False

    # any thread

    def publish(self, *messages: Outgoing, gather: bool = False) -> None:
        """Hand over, without waiting for the broker unless too much waits there already.

        ``gather``: others are about to be handed over as well. Messages that leave together cost the broker,
        and this process, much less than each alone; one alone arrives sooner if this thread sends it.
        """
        large = _large_bytes(messages)
        if large:
            with self._room:
                self._wait_for_room()
                self._bytes += large
            self._connection.post(lambda: self._publish(messages))
            return
        if self._is_full():
            with self._room:
                self._wait_for_room()
        hand_over = self._connection.post if gather else self._connection.perform
        hand_over(lambda: self._publish(messages))

    def _in_io_thread(self) -> bool:
        return self._connection.in_thread or self._consuming.in_thread

    def _wait_for_room(self) -> None:
        if self._in_io_thread():
            return
        patience = Patience()
        while self._is_full() and not self._stopped:
            self._room.wait(patience.next_wait_s())
            why = self._connection.blocked or "it has not confirmed earlier ones"
            patience.report(logger, "%s waits for the broker to take messages: %s", self._name, why)

    def _is_full(self) -> bool:
        return self._bytes > WINDOW_BYTES or len(self._unconfirmed) + len(self._queue) > WINDOW_MESSAGES

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything handed over was confirmed; only briefly while there is no connection."""
        patience = Patience(timeout_s)
        empty = threading.Event()
        self._drains.append(empty)
        try:
            while not patience.exhausted and (self._connection.is_open or patience.waited_s < RECONNECT_S):
                self._connection.post(self._tell_drained)
                if empty.wait(min(0.05, patience.next_wait_s())):
                    return True
            return False
        finally:
            self._drains.remove(empty)

    def stop(self) -> None:
        with self._room:
            self._stopped = True
            self._room.notify_all()
        self._connection.post(self._end)

    # the connection's thread

    def connected(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._opened)

    def disconnected(self) -> None:
        self._channel = self._refusing = None
        self._queue[:0] = self._unconfirmed.values()
        self._unconfirmed.clear()
        self._tag = 0

    def _opened(self, channel: pika.channel.Channel) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._ready(channel))
        channel.connection.confirmed_by(channel, self._confirmed)

    def _ready(self, channel: pika.channel.Channel) -> None:
        self._channel = channel
        waiting, self._queue = self._queue, []
        self._publish(tuple(waiting))

    def _closed(self, channel: pika.channel.Channel, reason: BaseException) -> None:
        current = channel in (self._channel, self._refusing) and not self._stopped
        if current and channel.connection.is_open:
            if channel is self._channel:
                logger.error(
                    "the broker closed the sending channel of %s: %s; opening another", self._name, reason
                )
            self.disconnected()
            self.connected(channel.connection)

    def _publish(self, messages: tuple[Outgoing, ...]) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            self._queue.extend(messages)
            return
        waiting = []
        for message in messages:
            if self._returns and self._returns.follows(message):
                waiting.append(message)
                continue
            message.returned = False
            if not message.message_id:
                self._count += 1
                message.message_id = f"{self._boot}-{self._count}"
            self._tag += 1
            self._unconfirmed[self._tag] = message
            self._by_id[message.message_id] = message
            properties = Properties(
                headers=message.headers,
                message_id=message.message_id,
                user_id=self._user,
                persistent=message.persistent,
                expires_s=message.expires_s,
            )
            mandatory = message.mandatory or message.envelope is not None
            channel.basic_publish(message.exchange, message.key, message.body, properties, mandatory)
        if waiting:
            self._make_room(_large_bytes(waiting))

    def _confirmed(self, frame: Any) -> None:
        method, full = frame.method, self._is_full()
        if method.multiple:  # tags below may have been confirmed one by one already
            tags = list(takewhile(lambda tag: tag <= method.delivery_tag, self._unconfirmed))
        else:
            tags = [method.delivery_tag] if method.delivery_tag in self._unconfirmed else []
        refused = isinstance(method, pika.spec.Basic.Nack)
        if refused:
            tags = [tag for tag in tags if not self._try_again(self._unconfirmed[tag])]
        done = [self._unconfirmed.pop(tag) for tag in tags]
        for message in done:
            self._by_id.pop(message.message_id, None)
            if refused:
                logger.error("the broker refused a message of %s for %s", self._name, message.key)
                message.returned = True
            if message.returned:
                self._on_return(message)
            elif message.on_confirm is not None:
                message.on_confirm()
        self._make_room(_large_bytes(done), full=full)
        if self._drains:
            self._tell_drained()

    def _make_room(self, large: int, *, full: bool = False) -> None:
        if large or full:
            with self._room:
                self._bytes -= large
                self._room.notify_all()

    def keep(self, message: Outgoing) -> bool:
        """Keep a message that came back; whether it is to be found out why, for all of its key."""
        return self._returns.keep(message)

    def away(self, key: str) -> None:
        """The messages with this key go on waiting."""
        self._returns.away(key)

    def resume(self, key: str, what: Found) -> list[Outgoing]:
        """Send again what may arrive now; returns what never will."""
        again, given_up = self._returns.resume(key, what)
        self._make_room(-_large_bytes(again))
        self._publish(tuple(again))
        return given_up

    def _try_again(self, message: Outgoing) -> bool:
        """Send a message that was refused, and what was not confirmed before and after it, once more."""
        message.refusals += 1
        if message.refusals > MOST_REFUSALS or message.returned:
            return False
        channel, self._channel = self._channel, None
        if channel is not None:
            self._refusing = channel
            text = "the broker could not keep a message of %s for %s; sending it again"
            logger.warning(text, self._name, message.key)
            self._connection.later(REFUSED_PAUSE_S, lambda: channel.is_open and channel.close())
        return True

    def _tell_drained(self) -> None:
        if not self._unconfirmed and not self._queue:
            for empty in list(self._drains):
                empty.set()

    def _returned(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        message = self._by_id.get(properties.message_id)
        if message is not None:
            message.returned = True  # the confirm follows

    def _end(self) -> None:
        self._connection.detach(self)
        for channel in (self._channel, self._refusing):
            if channel is not None and channel.is_open:
                channel.close()


def _large_bytes(messages: Iterable[Outgoing]) -> int:
    """What counts as bytes in the window; small messages are only numbered."""
    return sum(len(message.body) for message in messages if len(message.body) > MERGED_BYTES)

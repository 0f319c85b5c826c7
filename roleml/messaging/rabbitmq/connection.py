"""One connection to RabbitMQ, with the thread that serves it.

The thread runs pika's loop and nothing of the user's. It connects, reconnects with growing pauses, and tells
its sessions each time, so that they can build up their channels again. Everything that touches a channel runs
in this thread: other threads :meth:`Connection.post` functions to it; or, for something small while it is
idle, in one that has borrowed its turn (:meth:`Connection.perform`).
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import pika
import pika.exceptions

from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.lending import STEP_TIMEOUT_S, Channels
from roleml.messaging.rabbitmq.refusals import explain
from roleml.messaging.rabbitmq.tuning import TunedConnection

__all__ = ["Connection", "Session", "Timer"]

logger = logging.getLogger("roleml.messaging.rabbitmq")
if logging.getLogger("pika").level == logging.NOTSET:
    # What it reports as errors, several times and with tracebacks, comes back to us and is explained once
    logging.getLogger("pika").setLevel(logging.CRITICAL)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 10.0


class Session(Protocol):
    """Someone with channels on a connection. All calls come from its thread."""

    def connected(self, connection: pika.SelectConnection) -> None: ...
    def disconnected(self) -> None: ...


class Timer:
    """Something to be done later, whatever becomes of the connection until then."""

    __slots__ = ("action", "due_s")

    def __init__(self, action: Callable[[], Any], due_s: float) -> None:
        self.action = action
        self.due_s = due_s


class Connection:
    """A connection that is there as long as the broker is."""

    def __init__(self, url: BrokerURL, purpose: str, actor: str) -> None:
        """``purpose`` and ``actor``, the first one to use it, name the connection in the management pages."""
        self._url = url
        self._purpose = purpose
        self._actor = actor
        self._sessions: list[Session] = []
        self._posted: deque[Callable[[], Any]] = deque()
        self._lock = threading.Lock()
        self._woken = False
        self._connection: TunedConnection | None = None
        self._attempt = 0
        self._stopping = False
        self._stop_asked = threading.Event()
        self._first = threading.Event()
        self._first_error: BaseException | None = None
        self._ioloop: Any = None
        self._timers: set[Timer] = set()
        self.blocked: str | None = None
        # in its thread: what sessions need not look for again, and the channels that they may borrow
        self.found: set[str] = set()
        self.channels: Channels | None = None
        self._thread = threading.Thread(target=self._run, name=f"roleml-{purpose}", daemon=True)

    # any thread

    def start(self) -> None:
        """Connect. Raises ``MsgConnectionError`` when no host can be reached at the first attempt.

        Raises ``ValueError`` for files of the URL that cannot be used.
        """
        self._url.parameters(0, {})  # raises here what is wrong with the files that it names
        self._thread.start()
        self._first.wait()
        if self._first_error is not None:
            raise MsgConnectionError(explain(self._url, self._first_error)) from self._first_error

    def post(self, action: Callable[[], Any]) -> None:
        """Run ``action`` in the connection's thread, after what was posted before."""
        self._posted.append(action)
        with self._lock:  # also held while the loop is replaced, so that no wake-up goes to a closed one
            if not self._woken and self._ioloop is not None:
                self._woken = True
                self._ioloop.add_callback_threadsafe(self._drain)

    def perform(self, action: Callable[[], Any]) -> None:
        """Run ``action`` in this thread if the connection's own is idle; else there, as ``post`` does.

        Either way in the order of these calls. The action sends something small, and does not wait.
        """
        connection = self._connection
        if connection is not None and not self._posted and connection.try_turn():
            try:
                if connection is self._connection and not self._posted:
                    self._run_action(action)
                    return
            finally:
                connection.end_turn()
        self.post(action)

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open

    @property
    def in_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Close, after what was posted before, and wait for the thread to end."""
        self._stop_asked.set()
        self.post(self._close)
        if not self.in_thread:
            self._thread.join(STEP_TIMEOUT_S)

    # the connection's thread

    def attach(self, session: Session) -> None:
        self._sessions.append(session)
        if self._connection is not None and self._connection.is_open:
            session.connected(self._connection)

    def detach(self, session: Session) -> None:
        if session in self._sessions:
            self._sessions.remove(session)

    def after(self, delay_s: float, action: Callable[[], Any]) -> Timer:
        """Do something later, whatever becomes of the connection until then."""
        timer = Timer(action, time.monotonic() + delay_s)
        self._timers.add(timer)
        self._schedule(timer)
        return timer

    def forget(self, timer: Timer) -> None:
        """Do not do it."""
        self._timers.discard(timer)

    def _schedule(self, timer: Timer) -> None:
        delay_s = max(0.0, timer.due_s - time.monotonic())
        self._ioloop.call_later(delay_s, lambda: self._fire(timer))

    def _fire(self, timer: Timer) -> None:
        if timer in self._timers:
            self._timers.discard(timer)
            self._in_turn(timer.action)

    def later(self, delay_s: float, action: Callable[[], Any]) -> Any:
        """Do something later on this connection; it is forgotten with the connection."""
        return self._ioloop.call_later(delay_s, lambda: self._in_turn(action))

    def cancel(self, timer: Any) -> None:
        self._ioloop.remove_timeout(timer)

    def _drain(self) -> None:
        with self._lock:
            self._woken = False
        self._in_turn(self._run_posted)

    def _in_turn(self, action: Callable[[], Any]) -> None:
        connection = self._connection
        if connection is None:
            action()
            return
        connection.begin_turn()
        try:
            action()
        finally:
            connection.end_turn()

    def _run_posted(self) -> None:
        while self._posted:
            self._run_action(self._posted.popleft())

    def _run_action(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except pika.exceptions.AMQPError as e:  # a channel closed meanwhile; recovery does the rest
            logger.debug("%s: %s", self._purpose, e)
        except Exception:
            logger.exception("%s connection: a posted action failed", self._purpose)

    def _run(self) -> None:
        while not self._stopping:
            try:
                connection = self._connect()
            except OSError as e:  # a loop needs file descriptors, and the process may have none left
                self._failed(e)
                if self._stop_asked.is_set():
                    self._stopping = True
                self._pause()
                continue
            with self._lock:
                old, self._ioloop, self._woken = self._ioloop, connection.ioloop, True
            if old is not None:
                old.close()
            for timer in list(self._timers):
                self._schedule(timer)
            connection.ioloop.add_callback_threadsafe(self._drain)
            try:
                connection.ioloop.start()
            except Exception as e:
                if isinstance(e, OSError) and self._connection is None:  # file descriptors again
                    self._failed(e)
                else:
                    logger.exception("the %s connection broke", self._purpose)
            if not self._stopping:
                self._pause()
        with self._lock:
            loop, self._ioloop = self._ioloop, None
        if loop is not None:
            loop.close()

    def _connect(self) -> TunedConnection:
        host, pid = socket.gethostname(), os.getpid()
        properties = {
            "connection_name": f"{self._actor} {self._purpose} (pid {pid} on {host})",
            "actor": self._actor,
            "purpose": self._purpose,
            "host": host,
            "pid": str(pid),
        }
        return TunedConnection(
            self._url.parameters(self._attempt, properties),
            on_open_callback=self._opened,
            on_open_error_callback=self._not_opened,
            on_close_callback=self._closed,
        )

    def _opened(self, connection: TunedConnection) -> None:
        if self._attempt:
            logger.info("connected to %s again (%s)", self._url, self._purpose)
        self._attempt = 0
        self._connection = connection
        self.channels = Channels(connection, self.later, self.cancel)
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        self._in_turn(lambda: self._tell_connected(connection))
        self._first.set()

    def _tell_connected(self, connection: TunedConnection) -> None:
        for session in list(self._sessions):
            session.connected(connection)

    def _not_opened(self, connection: pika.SelectConnection, error: BaseException) -> None:
        self._failed(error)
        connection.ioloop.stop()

    def _failed(self, error: BaseException) -> None:
        self._attempt += 1
        if not self._first.is_set() and self._attempt >= len(self._url.hosts):
            self._first_error = error
            self._stopping = True
            self._first.set()
        elif self._first.is_set():
            logger.warning("%s", explain(self._url, error))

    def _closed(self, connection: TunedConnection, reason: BaseException) -> None:
        self._in_turn(self._tell_disconnected)
        if not self._stopping:
            self._attempt += 1
            logger.warning(
                "lost the connection to %s (%s): %s; reconnecting", self._url, self._purpose, reason
            )
        connection.ioloop.stop()

    def _tell_disconnected(self) -> None:
        self._connection = None
        self.channels = None
        self.blocked = None
        self.found.clear()
        for session in list(self._sessions):
            session.disconnected()

    def _blocked(self, _: Any, method: Any) -> None:
        self.blocked = str(method.method.reason)
        logger.warning("%s takes no messages for now: %s; sending waits", self._url, self.blocked)

    def _unblocked(self, *_: Any) -> None:
        self.blocked = None
        logger.warning("%s takes messages again", self._url)

    def _pause(self) -> None:
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._attempt, 10))
        self._stop_asked.wait(longest * random.uniform(0.5, 1.0))

    def _close(self) -> None:
        self._stopping = True
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._ioloop.stop()

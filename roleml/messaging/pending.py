"""A request that was sent, as its sender holds it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from roleml.messaging.envelope import Address, Kind
from roleml.messaging.exceptions import MessagingError
from roleml.shared.patience import Patience

__all__ = ["Pending"]

logger = logging.getLogger("roleml.messaging")


class Pending:
    """A request that was sent: first waiting, then accepted, then done. Each step happens once."""

    __slots__ = (
        "_callbacks", "_error", "_lock", "_settled", "_state", "_value", "_waiters",
        "accepted", "channel", "id", "kind", "since", "source", "target",
    )  # fmt: skip

    WAITING, ACCEPTED, DONE = 0, 1, 2

    def __init__(self, call_id: str, kind: Kind, source: Address, target: Address, channel: str) -> None:
        self.id = call_id
        self.source = source
        self.kind = kind
        self.target = target
        self.channel = channel
        self.since = time.monotonic()
        self.accepted = False
        self._lock = threading.Lock()
        self._state = self.WAITING
        self._value: Callable[[], Any] | None = None
        self._error: BaseException | None = None
        self._waiters: list[threading.Lock] = []
        self._callbacks: list[Callable[[], Any]] = []
        self._settled: list[Callable[[], Any]] = []

    def __str__(self) -> str:
        actor, endpoint = self.target
        return f"{actor}/{endpoint}.{self.channel}" if endpoint else f"{actor} ({self.channel})"

    @property
    def done(self) -> bool:
        return self._state == self.DONE

    @property
    def refused(self) -> bool:
        """Failed, and not by the work itself."""
        return self._state == self.DONE and self._error is not None and not self.accepted

    def accept(self) -> None:
        self.accepted = True
        self._advance(self.ACCEPTED)

    def succeed(self, value: Callable[[], Any]) -> list[Callable[[], Any]]:
        """Finish with a value, given as a function that is called once, by whoever asks first.

        Returns the callbacks that are due; the caller runs them where user code may run.
        """
        with self._lock:
            if self._state != self.DONE:
                self._value = value
        return self._advance(self.DONE)

    def fail(self, error: BaseException) -> list[Callable[[], Any]]:
        """Finish with an error. Returns the callbacks that are due."""
        with self._lock:
            if self._state != self.DONE:
                self._error = error
        return self._advance(self.DONE)

    def _advance(self, state: int) -> list[Callable[[], Any]]:
        with self._lock:
            if self._state >= state:
                return []
            self._state = state
            waiters, self._waiters = self._waiters, []
            callbacks: list[Callable[[], Any]] = []
            settled: list[Callable[[], Any]] = []
            if state >= self._settled_at:
                settled, self._settled = self._settled, settled
            if state == self.DONE:
                callbacks, self._callbacks = self._callbacks, callbacks
        for waiter in waiters:
            waiter.release()
        for callback in settled:
            callback()
        return callbacks

    def wait_accepted(self) -> None:
        """Wait until the other side accepted or refused."""
        self._wait(self.ACCEPTED, None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until done; ``False`` after ``timeout_s`` seconds without."""
        return self._wait(self.DONE, timeout_s)

    def value(self) -> Any:
        """The value, or raises the error, of a request that is done."""
        with self._lock:
            if self._value is not None:
                try:
                    decoded = self._value()
                    self._value = lambda: decoded
                except MessagingError as e:
                    self._error, self._value = e, None
            error, value = self._error, self._value
        if error is not None:
            raise error
        return value() if value is not None else None

    @property
    def error(self) -> BaseException | None:
        return self._error

    def add_done_callback(self, callback: Callable[[], Any]) -> bool:
        """Keep a callback for when this is done; ``False``, and not kept, if it is already."""
        with self._lock:
            if self._state == self.DONE:
                return False
            self._callbacks.append(callback)
            return True

    def add_settled_callback(self, callback: Callable[[], Any]) -> bool:
        """Likewise for when a task is accepted or refused, or anything else is done.

        It runs in the thread that settles this, so it must neither block nor be user code.
        """
        with self._lock:
            if self._state >= self._settled_at:
                return False
            self._settled.append(callback)
            return True

    @property
    def _settled_at(self) -> int:
        return self.ACCEPTED if self.kind is Kind.TASK else self.DONE

    def _wait(self, state: int, timeout_s: float | None) -> bool:
        patience = Patience(timeout_s)
        while True:
            with self._lock:
                if self._state >= state or patience.exhausted:
                    return self._state >= state
                waiter = threading.Lock()
                waiter.acquire()
                self._waiters.append(waiter)
            if not waiter.acquire(timeout=patience.next_wait_s()):
                with self._lock:
                    if waiter in self._waiters:
                        self._waiters.remove(waiter)
                phase = "running" if self.accepted else "not answered yet"
                patience.report(logger, "waiting for %s, %s", self, phase)

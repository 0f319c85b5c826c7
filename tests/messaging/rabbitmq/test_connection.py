"""A connection without a broker: what it does when there is nothing to connect with."""

from __future__ import annotations

import errno
import os
import threading
from typing import Any

import pytest

from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq.connection import Connection
from roleml.messaging.rabbitmq.endpoints import BrokerURL

URL = BrokerURL.parse("amqp://guest:guest@localhost/app")
FULL = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Loop:
    """Ends at once, as if the connection were lost, or it could not be made."""

    def __init__(self, begun: threading.Event, error: OSError | None) -> None:
        self._begun = begun
        self._error = error

    def start(self) -> None:
        self._begun.set()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass

    def add_callback_threadsafe(self, _: Any) -> None:
        pass


class Connected:
    def __init__(self, error: OSError | None = None) -> None:
        self.begun = threading.Event()
        self.ioloop = Loop(self.begun, error)


class Outcomes(Connection):
    """Attempts to connect end like this, one after the other; after the last it is time to stop."""

    def __init__(self, *outcomes: Connected | OSError) -> None:
        super().__init__(URL, "publish", "alice")
        self._outcomes = list(outcomes)

    def _connect(self) -> Any:
        outcome = self._outcomes.pop(0)
        self._stopping = not self._outcomes
        if isinstance(outcome, OSError):
            raise outcome
        self._first.set()
        return outcome


def test_a_connection_is_tried_again_when_no_file_descriptor_was_left() -> None:
    first, again = Connected(), Connected()
    Outcomes(first, FULL, Connected(FULL), again).start()
    assert again.begun.wait(10)


def test_an_actor_without_file_descriptors_says_so_when_it_starts() -> None:
    with pytest.raises(MsgConnectionError, match="no file descriptor left: `ulimit -n`"):
        Outcomes(FULL, FULL).start()


def test_a_connection_that_cannot_begin_can_be_stopped() -> None:
    connection = Outcomes(Connected(), *[FULL] * 1000)
    connection.start()
    connection.stop()
    assert not connection._thread.is_alive()

"""The log of actors, for whoever listens to it through the broker.

One handler in each process hands a record on to the actor that it belongs to: the one whose handler,
``run()`` or callback logged it. An actor passes it on as an event, in batches, while anybody is subscribed to
that, and at a limited rate: what is beyond is counted, and told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from roleml.core.logs import active_actor
from roleml.shared.threads import shared_clock

__all__ = ["LogBuffer", "tap"]

#: Lines that an actor passes on in a second, and in a burst after silence.
RATE, BURST = 50.0, 200.0
BATCH_EVERY_S = 0.5
MOST_CHARACTERS = 2000
#: What moves records must not make more of them: of these loggers only warnings are passed on.
MOVERS = ("roleml.messaging", "roleml.managers", "roleml.threads")


class LogBuffer:
    """The records of one actor that are about to be passed on; for any thread.

    Args:
        name: of the actor.
        heard: whether anybody listens.
        emit: passes on ``{"records": [...], "dropped": n}``; called in the pool.
    """

    def __init__(self, name: str, heard: Callable[[], bool], emit: Callable[[dict[str, Any]], None]) -> None:
        self.name = name
        self._heard = heard
        self._emit = emit
        self._lock = threading.Lock()
        self._records: list[dict[str, Any]] = []
        self._dropped = 0
        self._allowed = BURST
        self._last_s = time.monotonic()
        self._flushing = threading.local()

    def put(self, record: logging.LogRecord) -> None:
        """Take a record, unless nobody listens, or passing on records is what caused it."""
        if getattr(self._flushing, "now", False) or not self._heard():
            return
        line = _line(record)
        with self._lock:
            now = time.monotonic()
            self._allowed = min(BURST, self._allowed + RATE * (now - self._last_s))
            self._last_s = now
            first = not self._records and not self._dropped
            if self._allowed < 1:
                self._dropped += 1
            else:
                self._allowed -= 1
                self._records.append(line)
        if first:
            shared_clock().after(BATCH_EVERY_S, self.flush)

    def flush(self) -> None:
        """Pass on what there is."""
        with self._lock:
            records, self._records = self._records, []
            dropped, self._dropped = self._dropped, 0
        if not records and not dropped:
            return
        self._flushing.now = True
        try:
            self._emit({"records": records, "dropped": dropped})
        finally:
            self._flushing.now = False


class _Tap(logging.Handler):
    """Of a process."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: dict[str, LogBuffer] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and record.name.startswith(MOVERS):
            return
        buffer = self._buffers.get(active_actor() or "")
        if buffer is not None:
            buffer.put(record)

    def add(self, buffer: LogBuffer) -> None:
        """Pass on the records of an actor from now on."""
        self._buffers[buffer.name] = buffer
        root = logging.getLogger("roleml")
        if self not in root.handlers:
            root.addHandler(self)

    def remove(self, buffer: LogBuffer) -> None:
        """Pass on what there is, and then no more."""
        if self._buffers.get(buffer.name) is buffer:
            del self._buffers[buffer.name]
        buffer.flush()


tap = _Tap()


def _line(record: logging.LogRecord) -> dict[str, Any]:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return {
        "time": record.created,
        "level": record.levelname,
        "logger": record.name,
        "text": text[:MOST_CHARACTERS],
    }

"""A table whose changes are told to listeners: in order, and never while the table is locked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["ObservableTable"]

Listener = TypeVar("Listener", bound=Callable[..., Any])
Table = TypeVar("Table", bound="ObservableTable[Any]")

logger = logging.getLogger(__name__)


class ObservableTable(Generic[Listener]):
    """Base of tables under one re-entrant lock; `with table:` holds that lock for a block.

    A subclass changes its content inside `with self:` and calls `_announce` there; to read it, `self._lock`
    is enough. Listeners hear of the change once the outermost block of that thread has ended, so a listener
    may use the table, also from another thread. They hear of changes one at a time and in the order in which
    they were made; when two threads change the table at once, the one may do the telling for both. What a
    listener raises is logged and goes no further.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._listeners: tuple[Listener, ...] = ()
        self._notices: list[tuple[Listener, tuple[Any, ...]]] = []
        self._telling = threading.Lock()

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` for every change made from now on. Adding it again has no effect."""
        with self._lock:
            if listener not in self._listeners:
                self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling `listener`, also for changes it was not told of yet. Unknown listeners are ignored."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def __enter__(self: Table) -> Table:
        self._lock.acquire()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        outermost = self._depth == 0
        self._lock.release()
        if outermost:
            self._tell()

    def _announce(self, *what: Any) -> None:
        self._notices.extend((listener, what) for listener in self._listeners)

    def _tell(self) -> None:
        # Looking again after each turn: a notice may be added just before the lock of the teller is free,
        # by a thread that therefore left it to the teller.
        while self._notices and self._telling.acquire(blocking=False):
            try:
                while self._notices:
                    listener, what = self._notices.pop(0)
                    if listener in self._listeners:
                        self._call(listener, what)
            finally:
                self._telling.release()

    @staticmethod
    def _call(listener: Listener, what: tuple[Any, ...]) -> None:
        try:
            listener(*what)
        except Exception:  # the change itself succeeded: its author must not see this
            logger.exception("listener %r failed on %r", listener, what)

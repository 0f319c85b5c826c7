"""A task invocation that is fulfilled by hand, for tests and for code that answers in a task's place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # not the built-in one on Python 3.10
from typing import Any

from roleml.core.role.exceptions import CallerError, HandlerError, TaskResultTimeoutError
from roleml.core.role.types import TaskInvocation

__all__ = ["Promise"]


class Promise(TaskInvocation):
    """Waits for :meth:`set_result`. Callbacks run in the thread that calls it.

    Args:
        description: names the task in the error of a wait that took too long.
    """

    def __init__(self, description: str = "") -> None:
        self._description = description or "a promise"
        self._future: Future[Any] = Future()

    def __repr__(self) -> str:
        return f"<promise of {self._description}, {'done' if self._future.done() else 'open'}>"

    def set_result(self, result: Any) -> None:
        """Finish with a value, or, given a ``HandlerError`` or ``CallerError``, with that failure.

        Raises:
            AssertionError: it is finished already, or ``result`` is another exception.
        """
        if self._future.done():
            raise AssertionError(f"{self!r} has its result already")
        if not isinstance(result, Exception):
            self._future.set_result(result)
        elif isinstance(result, HandlerError | CallerError):
            self._future.set_exception(result)
        else:
            text = f"a task fails with HandlerError or CallerError, not {result!r}"
            raise AssertionError(text)  # noqa: TRY004  # as published

    def result(self, timeout: float | None = None) -> Any:
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._future.result()

    def exception(self, timeout: float | None = None) -> Exception | None:
        try:
            error = self._future.exception(timeout)
        except NotYet:
            raise TaskResultTimeoutError(f"no result of {self._description} within {timeout} s") from None
        return error if isinstance(error, Exception) else None

    def add_done_callback(self, func: Callable[[TaskInvocation], Any]) -> None:
        self._future.add_done_callback(lambda _: func(self))  # a future logs what its callbacks raise

"""How long to wait, and when to say what is being waited for."""

from __future__ import annotations

import logging
import time

__all__ = ["FIRST_REPORT_AFTER_S", "Patience"]

#: A wait that takes longer says what it waits for, and again whenever it has taken twice as long.
FIRST_REPORT_AFTER_S = 30.0


class Patience:
    """The schedule of one wait: its deadline, if any, and when it should report. It does not wait itself.

    ::

        patience = Patience(timeout)
        while not condition.wait_for(ready, patience.next_wait_s()) and not patience.exhausted:
            patience.report(logger, "waiting for %s", whom)  # but not under the lock of the condition
    """

    __slots__ = ("_deadline", "_next_report", "_report_after_s", "_start")

    def __init__(self, timeout_s: float | None = None) -> None:
        """`timeout_s` of None is no deadline; of 0 or less, no waiting at all."""
        self._start = time.monotonic()
        self._deadline = None if timeout_s is None else self._start + timeout_s
        self._report_after_s = FIRST_REPORT_AFTER_S
        self._next_report = self._start + FIRST_REPORT_AFTER_S

    @property
    def waited_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def exhausted(self) -> bool:
        """Whether the deadline has passed."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def next_wait_s(self) -> float:
        """Seconds to wait at most before asking again: until the deadline or the next report."""
        until = self._next_report if self._deadline is None else min(self._deadline, self._next_report)
        return max(0.0, until - time.monotonic())

    def report(self, logger: logging.Logger, message: str, *args: object) -> None:
        """Log the message if the wait is long enough by now, and the time it has taken."""
        now = time.monotonic()
        if now >= self._next_report:
            self._report_after_s *= 2
            self._next_report = self._start + self._report_after_s
            logger.info(f"{message} (for %.0f s by now)", *args, now - self._start)

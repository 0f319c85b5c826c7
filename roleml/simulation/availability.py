"""When a device is connected. Times are seconds since the simulation began."""

from __future__ import annotations

import bisect
import math
import random
import threading
from collections.abc import Sequence

__all__ = ["ONLINE_ALWAYS", "Availability", "Intervals", "OnOff"]


class Availability:
    """Connected all the time, and the base of those that are not."""

    def interval(self, time_s: float) -> tuple[float, float]:
        """Begin and end of the first time of connection that ends after ``time_s``; ``inf``: never."""
        return 0.0, math.inf

    def next_online(self, time_s: float) -> float:
        """The first moment from ``time_s`` on at which the device is connected; ``inf``: never again."""
        return max(time_s, self.interval(time_s)[0])

    def done(self, time_s: float, work_s: float) -> float:
        """When a transfer is through that begins at ``time_s`` and needs a connection for ``work_s``.

        It rests while the device is away, and goes on where it was.
        """
        while True:
            begin_s, end_s = self.interval(time_s)
            time_s = max(time_s, begin_s)
            if time_s + work_s <= end_s:
                return time_s + work_s
            work_s -= end_s - time_s
            time_s = end_s


ONLINE_ALWAYS = Availability()


class Intervals(Availability):
    """Connected during these intervals, of which the last may be open (``None``)."""

    def __init__(self, intervals: Sequence[Sequence[float | None]]) -> None:
        self._intervals = sorted(
            (float(begin or 0.0), math.inf if end is None else float(end)) for begin, end in intervals
        )

    def interval(self, time_s: float) -> tuple[float, float]:
        for begin_s, end_s in self._intervals:
            if time_s < end_s:
                return begin_s, end_s
        return math.inf, math.inf


class OnOff(Availability):
    """Connected at first, then away and back by turns, for exponentially distributed times of these means."""

    def __init__(self, mean_on_s: float, mean_off_s: float, draws: random.Random) -> None:
        self._means_s = (mean_on_s, mean_off_s)
        self._draws = draws
        self._lock = threading.Lock()  # both directions of the connection ask
        self._changes = [0.0]  # even positions: comes, odd ones: goes

    def interval(self, time_s: float) -> tuple[float, float]:
        with self._lock:
            while self._changes[-1] <= time_s or len(self._changes) % 2:
                mean_s = self._means_s[(len(self._changes) - 1) % 2]
                self._changes.append(self._changes[-1] + self._draws.expovariate(1 / mean_s))
            position = bisect.bisect_right(self._changes, time_s)  # of the first change after that time
            end = position if position % 2 else position + 1
            return self._changes[end - 1], self._changes[end]

"""Work that has to start in order, and may overlap.

One thread takes the jobs of a lane one after the other. While they are short, that is all: no thread waits
and none is woken. When one has been at its work for a while, another thread takes over the lane behind it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from roleml.shared.threads import ElasticPool

__all__ = ["OVERLAP_AFTER_S", "Lanes", "Started"]

Started = Callable[[], None]
Job = Callable[[Started], Any]

#: How long a job has been at its work before the next one of its lane may overlap it. Between ``started()``
#: and the first line of that work another thread may get its turn; by then, the first line is past.
OVERLAP_AFTER_S = 0.01


class _Lane:
    """The jobs of one key. All fields belong to the lock of the lanes."""

    __slots__ = ("at_work_since", "driver", "standby", "waiting")

    def __init__(self, job: Job) -> None:
        self.waiting: deque[Job] = deque((job,))
        #: who takes the next job; whoever finds that it is somebody else, has been overlapped
        self.driver: object = None
        #: when the driver's job called ``started()``; ``None``: not yet, and so the next may not start
        self.at_work_since: float | None = None
        #: whether a thread is there to take over
        self.standby = False


class Lanes:
    """Starts the jobs of one key in the order they were submitted, and lets them overlap.

    A job is called as ``job(started)``. It calls ``started()`` when the next one of its lane may start; a job
    that never does, holds its lane until it returns. The next one starts as soon as this one returns, or is
    at its work for ``overlap_after_s``. Lanes of different keys are independent. A lane exists only while it
    has jobs. An exception that escapes a job ends up with the pool, and the lane goes on.
    """

    def __init__(self, pool: ElasticPool, *, overlap_after_s: float = OVERLAP_AFTER_S) -> None:
        self._pool = pool
        self._overlap_after_s = overlap_after_s
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, _Lane] = {}

    def submit(self, key: Hashable, job: Job) -> None:
        with self._lock:
            lane = self._lanes.get(key)
            if lane is not None:
                lane.waiting.append(job)
                if not self._calls_standby(lane):
                    return
                action = self._stand_by
            else:
                lane = self._lanes[key] = _Lane(job)
                action = self._drive
        self._pool.submit(lambda: action(key, lane))

    @staticmethod
    def _calls_standby(lane: _Lane) -> bool:
        """With the lock: whether a job waits behind one at work, with nobody there to take over."""
        if lane.standby or lane.at_work_since is None or not lane.waiting:
            return False
        lane.standby = True
        return True

    def _drive(self, key: Hashable, lane: _Lane) -> None:
        """Take one job after the other, until none is left or another thread has taken over."""
        me = object()
        with self._lock:
            lane.driver = me
        while True:
            with self._lock:
                if lane.driver is not me:
                    return
                lane.at_work_since = None
                if not lane.waiting:
                    if self._lanes.get(key) is lane:
                        del self._lanes[key]
                    return
                job = lane.waiting.popleft()
            try:
                job(lambda: self._started(key, lane, me))
            except BaseException:
                # The pool is told, as of any job; the rest of the lane is driven by another thread.
                self._pool.submit(lambda: self._drive_on(key, lane, me))
                raise

    def _drive_on(self, key: Hashable, lane: _Lane, driver: object) -> None:
        with self._lock:
            if lane.driver is not driver:
                return
        self._drive(key, lane)

    def _started(self, key: Hashable, lane: _Lane, driver: object) -> None:
        with self._lock:
            if lane.driver is not driver or lane.at_work_since is not None:
                return
            lane.at_work_since = time.monotonic()
            if not self._calls_standby(lane):
                return
        self._pool.submit(lambda: self._stand_by(key, lane))

    def _stand_by(self, key: Hashable, lane: _Lane) -> None:
        """Take over from a driver that is at its work for long enough, with others waiting behind it."""
        while True:
            with self._lock:
                since = lane.at_work_since
                left_s = 0.0 if since is None else since + self._overlap_after_s - time.monotonic()
                if since is None or not lane.waiting:
                    lane.standby = False
                    return
                if left_s <= 0:
                    lane.standby = False
                    lane.at_work_since = None
                    lane.driver = None
                    break
            time.sleep(left_s)
        self._drive(key, lane)

"""Threads for work that may block: an elastic pool, and a clock.

A pool of fixed size can deadlock here, since handlers wait for other handlers. This one starts a thread
whenever none is idle and lets idle ones go, so that waiting work never starves new work.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Clock", "ElasticPool", "shared_clock", "shared_pool"]

logger = logging.getLogger("roleml.threads")

Job = Callable[[], Any]


class _Worker:
    """One pooled thread, and the hand-over point for its next job."""

    __slots__ = ("job", "wake")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class ElasticPool:
    """Runs each job at once in a thread of its own, reusing idle threads.

    ``submit`` never blocks and never refuses. An exception that escapes a job is logged. Threads are daemons:
    they do not keep the process alive.
    """

    def __init__(self, name: str = "roleml", *, idle_s: float = 10.0) -> None:
        self._name = name
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._count = itertools.count(1)

    def submit(self, job: Job) -> None:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            if worker is not None:
                worker.job = job
        if worker is not None:
            worker.wake.release()
            return
        worker = _Worker()
        worker.job = job
        name = f"{self._name}-{next(self._count)}"
        threading.Thread(target=self._work, args=(worker,), name=name, daemon=True).start()

    def _work(self, worker: _Worker) -> None:
        while worker.job is not None:
            job, worker.job = worker.job, None
            try:
                job()
            except BaseException:  # even SystemExit: it is nobody else's, and the next job needs the thread
                logger.exception("a background job failed")
            del job  # its results may be large; do not hold them while idle
            with self._lock:
                self._idle.append(worker)
            if not worker.wake.acquire(timeout=self._idle_s):
                with self._lock:
                    if worker in self._idle:
                        self._idle.remove(worker)
                        return
                worker.wake.acquire()  # a job was handed over at the very moment of leaving


class Clock:
    """Runs jobs later, on a pool, with one thread for all of them.

    The thread starts with the first job. :meth:`after` returns a function that cancels.
    """

    def __init__(self, pool: ElasticPool) -> None:
        self._pool = pool
        self._condition = threading.Condition()
        self._entries: list[tuple[float, int, Job]] = []
        self._ids = itertools.count()
        self._thread: threading.Thread | None = None

    def after(self, delay_s: float, job: Job) -> Callable[[], None]:
        due = time.monotonic() + delay_s
        with self._condition:
            entry_id = next(self._ids)
            heapq.heappush(self._entries, (due, entry_id, job))
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick, name="roleml-clock", daemon=True)
                self._thread.start()
            self._condition.notify()

        def cancel() -> None:
            with self._condition:
                before = len(self._entries)
                self._entries = [entry for entry in self._entries if entry[1] != entry_id]
                if len(self._entries) != before:
                    heapq.heapify(self._entries)

        return cancel

    def _tick(self) -> None:
        while True:
            with self._condition:
                while not self._entries or self._entries[0][0] > time.monotonic():
                    wait = self._entries[0][0] - time.monotonic() if self._entries else None
                    self._condition.wait(wait)
                job = heapq.heappop(self._entries)[2]
            self._pool.submit(job)


_pool = ElasticPool()
_clock = Clock(_pool)


def shared_pool() -> ElasticPool:
    """The process's pool, shared by all its actors."""
    return _pool


def shared_clock() -> Clock:
    """The process's clock, shared by all its actors."""
    return _clock

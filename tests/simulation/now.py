"""A simulation's time that tests move."""

from __future__ import annotations

import threading

from roleml.simulation.timeline import Timeline
from tests.actors import DEADLINE_S


class Now(Timeline):
    """Time passes when a test says so, and while somebody pauses."""

    def __init__(self) -> None:
        self.set_s = 0.0
        self.paused: list[float] = []
        super().__init__()
        self.begin()

    @property
    def now_s(self) -> float:
        return self.set_s

    def move_to(self, time_s: float) -> None:
        """Let that time come, and wait until all that was due has happened."""
        with self._condition:
            self.set_s = time_s
            self._condition.notify()
        happened = threading.Event()
        self.at(time_s, happened.set)
        assert happened.wait(DEADLINE_S)

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.move_to(self.set_s + seconds)

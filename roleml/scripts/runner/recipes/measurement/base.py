"""Measuring something twice a second while an actor runs."""

from __future__ import annotations

import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

__all__ = ["MeasurementSession"]

INTERVAL_S = 0.5
INITIAL_STATE_S = 10.0

logger = logging.getLogger("roleml.measurement")


class MeasurementSession(ABC):
    """Appends a line every half a second to a file, from `begin` to `end`. A context manager.

    A relative `filename` starts where the process is when the session is made.
    """

    def __init__(self, filename: str | os.PathLike[str], app_name: str = "app") -> None:
        self.path = Path(filename).absolute()
        self.app_name = app_name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="roleml-measurement", daemon=True)

    @abstractmethod
    def measure(self) -> str:
        """What there is to say now, without the time."""

    def begin(self, initial_state_time: float = INITIAL_STATE_S) -> None:
        """Write the header, start measuring, and return after `initial_state_time` seconds."""
        self.measure()  # what is missing is missing now; and loads are relative to the call before
        self._append(f"BELOW IS {self.app_name.upper()}")
        self._thread.start()
        self._ended.wait(initial_state_time)

    def end(self) -> None:
        """Measure no more. May be called twice."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> MeasurementSession:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _goes_on(self) -> bool:
        """Whether to measure once more, asked half a second after the last time."""
        return not self._ended.wait(INTERVAL_S)

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._append(f"{now()} -- {self.measure()}")
        except Exception:
            logger.exception("measuring into %s ended early", self.path)

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def now() -> str:
    """Local time in ISO format, with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(seconds))}.{nanoseconds:09}"

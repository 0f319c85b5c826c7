"""What was asked, what came of it, and how often handlers ran."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Call", "Ledger", "Outcome"]


@dataclass
class Call:
    """One call; times are of the monotonic clock."""

    id: str
    kind: str
    began_s: float
    ended_s: float | None = None
    #: `None` while it is not known, empty if it was answered as it should be
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run under a fault went."""

    tasks: int
    services: int
    #: tasks without the right result
    lost: tuple[str, ...]
    #: calls without any outcome
    hung: tuple[str, ...]
    #: services that failed, with what they said
    refused: tuple[str, ...]
    #: runs of task handlers beyond the first
    repeated: int
    #: runs of service handlers beyond the first, which is never right
    repeated_services: int
    #: from the fault to the first caller who was told, and from its end to the first answer
    notice_s: float | None
    recover_s: float | None


class Ledger:
    """Filled by callers, for any thread, and by the journals that workers write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, Call] = {}

    def begin(self, call_id: str, kind: str) -> None:
        with self._lock:
            self._calls[call_id] = Call(call_id, kind, time.monotonic())

    def end(self, call_id: str, error: str = "") -> None:
        with self._lock:
            call = self._calls[call_id]
            assert call.ended_s is None, f"{call_id} has two outcomes"
            call.ended_s, call.error = time.monotonic(), error

    def open(self) -> list[Call]:
        """Calls without an outcome."""
        with self._lock:
            return [call for call in self._calls.values() if call.ended_s is None]

    def answered_since(self, moment_s: float) -> int:
        """How many calls that began after then were answered as they should be."""
        with self._lock:
            return sum(call.error == "" and call.began_s > moment_s for call in self._calls.values())

    def outcome(self, journals: Iterable[Path], fault_s: float, healed_s: float) -> Outcome:
        runs: Counter[str] = Counter()
        for journal in journals:
            if journal.exists():
                runs.update(line.split()[0] for line in journal.read_text().splitlines())
        with self._lock:
            calls = list(self._calls.values())
        tasks = [call for call in calls if call.kind == "task"]
        services = [call for call in calls if call.kind == "service"]
        told = [call.ended_s for call in calls if call.error and call.ended_s and call.ended_s > fault_s]
        answers = [call.ended_s for call in calls if call.error == "" and (call.ended_s or 0) > healed_s]
        return Outcome(
            len(tasks),
            len(services),
            tuple(f"{call.id}: {call.error}" for call in tasks if call.error),
            tuple(call.id for call in calls if call.ended_s is None),
            tuple(str(call.error) for call in services if call.error),
            sum(runs[call.id] - 1 for call in tasks if runs[call.id]),
            sum(runs[call.id] - 1 for call in services if runs[call.id]),
            min(told) - fault_s if told else None,
            min(answers) - healed_s if answers else None,
        )

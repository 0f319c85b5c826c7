"""What was asked, what came of it, and how often handlers ran."""

from __future__ import annotations

import math
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
    callee: str
    began_s: float
    ended_s: float | None = None
    #: `None` while it is not known, empty if it was answered as it should be
    error: str | None = None
    #: whether it was answered, but not as it should be
    wrong: bool = False


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
    #: from the fault to the first caller who was told
    notice_s: float | None
    #: from its end until each callee has answered a call that began afterwards
    recover_s: float | None
    #: answers that are not what they should be, of tasks and of services, which is never right
    wrong: tuple[str, ...] = ()
    #: runs of a handler beyond the first in one process, which is never right
    repeated_in_process: int = 0
    #: calls without an outcome when the fault struck
    in_flight: int = 0


class Ledger:
    """Filled by callers, for any thread, and by the journals that workers write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, Call] = {}

    def begin(self, call_id: str, kind: str, callee: str) -> None:
        with self._lock:
            self._calls[call_id] = Call(call_id, kind, callee, time.monotonic())

    def end(self, call_id: str, error: str = "", *, wrong: bool = False) -> None:
        with self._lock:
            call = self._calls[call_id]
            assert call.ended_s is None, f"{call_id} has two outcomes"
            call.ended_s, call.error, call.wrong = time.monotonic(), error, wrong

    def open(self) -> list[Call]:
        """Calls without an outcome."""
        with self._lock:
            return [call for call in self._calls.values() if call.ended_s is None]

    def answered_since(self, moment_s: float) -> Counter[str]:
        """How many calls that began after then were answered as they should be, by callee."""
        with self._lock:
            return Counter(
                call.callee for call in self._calls.values() if call.error == "" and call.began_s > moment_s
            )

    def strays(self, journals: Iterable[Path]) -> set[str]:
        """Ids of calls that ran, and that nobody began."""
        ran = {
            line.split()[0]
            for journal in journals
            if journal.exists()
            for line in journal.read_text().splitlines()
        }
        with self._lock:
            return ran - self._calls.keys()

    def outcome(self, journals: Iterable[Path], fault_s: float, healed_s: float) -> Outcome:
        in_process: Counter[tuple[str, ...]] = Counter()
        for journal in journals:
            if journal.exists():
                in_process.update(tuple(line.split()) for line in journal.read_text().splitlines())
        runs: Counter[str] = Counter()
        for (call_id, _), number in in_process.items():
            runs[call_id] += number
        with self._lock:
            calls = list(self._calls.values())
        tasks = [call for call in calls if call.kind == "task"]
        services = [call for call in calls if call.kind == "service"]
        told = [call.ended_s for call in calls if call.error and call.ended_s and call.ended_s > fault_s]
        answers = dict.fromkeys((call.callee for call in calls), math.inf)
        for call in calls:
            if call.error == "" and call.ended_s is not None and call.began_s > healed_s:
                answers[call.callee] = min(answers[call.callee], call.ended_s)
        recovered_s = max(answers.values(), default=math.inf)
        return Outcome(
            len(tasks),
            len(services),
            tuple(f"{call.id}: {call.error}" for call in tasks if call.error),
            tuple(call.id for call in calls if call.ended_s is None),
            tuple(str(call.error) for call in services if call.error and not call.wrong),
            sum(runs[call.id] - 1 for call in tasks if runs[call.id]),
            sum(runs[call.id] - 1 for call in services if runs[call.id]),
            min(told) - fault_s if told else None,
            recovered_s - healed_s if math.isfinite(recovered_s) else None,
            tuple(f"{call.id}: {call.error}" for call in calls if call.wrong),
            sum(number - 1 for number in in_process.values()),
            sum(call.began_s <= fault_s < (call.ended_s or math.inf) for call in calls),
        )

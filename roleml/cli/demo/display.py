"""What the demo shows while it runs, as plain lines for logs and pipes; `live.py` draws on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

from roleml.cli.command import counted

__all__ = ["Display", "PlainDisplay", "RoundRecord", "can_draw", "new_display", "summary_rows"]


@dataclass(frozen=True)
class RoundRecord:
    """One completed round, as `metrics.jsonl` holds it: counted from 1, `seconds` by the wall clock."""

    round: int
    accuracy: float
    loss: float
    participants: tuple[str, ...]
    seconds: float


@runtime_checkable
class Display(Protocol):
    """Where the recorder tells what is going on; called from several threads, one call at a time."""

    def begin(self, rounds: int, clients: Sequence[str]) -> None:
        """The run starts: `rounds` rounds, over some of `clients` each."""

    def trained(self, client: str, loss: float) -> None:
        """A client completed one epoch with this training loss."""

    def completed(self, record: RoundRecord) -> None:
        """A round is over."""

    def end(self) -> None:
        """Nothing more comes, whether or not the run was completed. May be called twice."""


class PlainDisplay:
    """One line a round, no control characters."""

    def __init__(self) -> None:
        self._rounds = 0

    def begin(self, rounds: int, clients: Sequence[str]) -> None:
        self._rounds = rounds
        print(f"{counted(len(clients), 'client')}, {counted(rounds, 'round')}", flush=True)

    def trained(self, client: str, loss: float) -> None:
        pass  # a line per client and epoch would bury the rounds

    def completed(self, record: RoundRecord) -> None:
        width = len(str(self._rounds))
        print(
            f"round {record.round:>{width}}/{self._rounds}"
            f"  accuracy {record.accuracy:.4f}  loss {record.loss:.4f}  {record.seconds:6.3f} s"
            f"  {' '.join(record.participants)}",
            flush=True,
        )

    def end(self) -> None:
        pass


def new_display() -> Display:
    """The display that suits standard output."""
    if not can_draw():
        return PlainDisplay()
    from roleml.cli.demo.live import LiveDisplay

    return LiveDisplay()


def can_draw() -> bool:
    """Whether standard output is a terminal that moves its cursor, and rich is installed."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        return False
    return find_spec("rich") is not None


def summary_rows(records: Sequence[RoundRecord], limit: int = 10) -> list[RoundRecord]:
    """At most `limit` of the rounds, evenly spread, first and last included."""
    if len(records) <= limit:
        return list(records)
    last = len(records) - 1
    return [records[round(i * last / (limit - 1))] for i in range(limit)]

"""What is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from roleml.core.context import RoleInstanceID

__all__ = ["RECORD", "Entry", "read_record"]

RECORD = "record.jsonl"


class Entry(NamedTuple):
    """Values of one moment."""

    #: seconds since 1970, by the clock of the machine where it was logged
    time: float
    source: RoleInstanceID
    step: int | None
    values: Mapping[str, Any]

    def to_json(self) -> str:
        """One line, in which the names of the values stand beside `time`, `source` and `step`.

        What JSON does not know is written as text.
        """
        head = {"time": self.time, "source": str(self.source), "step": self.step}
        return json.dumps({**self.values, **head}, default=_plain)

    @staticmethod
    def of_json(line: str) -> Entry:
        """Raises ValueError for what is no line of a record."""
        values = json.loads(line)
        try:
            source = RoleInstanceID.of(values.pop("source"))
            return Entry(float(values.pop("time")), source, values.pop("step"), values)
        except (AttributeError, KeyError, TypeError) as e:
            raise ValueError(f"no entry of a record: {line[:80]!r}") from e

    def numbers(self) -> Iterator[tuple[str, float]]:
        """The values that are numbers."""
        for name, value in ((name, _plain(value)) for name, value in self.values.items()):
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield name, float(value)


def read_record(path: Path) -> list[Entry]:
    """The entries of a `record.jsonl`, in the order of their times.

    A last line that was cut off, as by a process that was killed, is left out.

    Raises:
        OSError: it cannot be read.
        ValueError: another line is no entry; the message names it.
    """
    entries = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry.of_json(line))
        except ValueError as e:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise ValueError(f"{path}:{number}: {e}") from e
    return sorted(entries, key=lambda entry: entry.time)


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | list | tuple | Mapping) or value is None:
        return value
    item = getattr(value, "item", None)  # a number of numpy or torch
    return item() if callable(item) and getattr(value, "ndim", 1) == 0 else str(value)

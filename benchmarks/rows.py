"""What every benchmark reports: rows, with ratios first, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Row", "report", "write"]


@dataclass(frozen=True)
class Row:
    """One line of a report. ``value`` is what the target is about: a ratio, unless the name has a unit."""

    name: str
    value: float
    target: str = ""
    holds: bool | None = None
    absolute: str = ""
    #: whether a larger value is better
    more_is_better: bool = False
    #: whether runs at other times may be compared with it: a ratio to what took turns with it, or a count
    comparable: bool = True


def report(rows: Sequence[Row], title: str) -> None:
    """Print the ratios with their targets, then the absolute figures."""
    print(f"\n{title:<52}{'':>10}   target")
    for row in rows:
        mark = {None: "", True: "", False: "   MISSED"}[row.holds]
        print(f"{row.name:<52}{row.value:>10.2f}   {row.target}{mark}")
    if any(row.absolute for row in rows):
        print("\nabsolute, of this machine at this time")
    for row in rows:
        if row.absolute:
            print(f"{row.name:<52}   {row.absolute}")


def write(rows: Sequence[Row], path: Path | None) -> None:
    """As JSON, if there is a file for it."""
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")

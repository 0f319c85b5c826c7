"""What every benchmark reports: rows, with ratios first, as text and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Row", "machine", "report", "write", "write_between"]


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


def machine() -> str:
    """What has to be the same for two runs to be compared."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


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


def write_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of a page."""
    page = path.read_text(encoding="utf-8")
    before, after = page[: page.index(begin)], page[page.index(end) :]
    path.write_text(f"{before}{begin}\n{text}\n{after}", encoding="utf-8")

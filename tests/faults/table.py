"""Writes what `make faults` found into docs/reliability.md: `python tests/faults/table.py RESULTS PAGE`."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- made by make faults: begin -->", "<!-- made by make faults: end -->"
HEADINGS = (
    "fault", "runs", "injected", "in flight", "calls", "tasks lost", "calls hung", "tasks run again",
    "services refused", "services run twice", "noticed after", "recovered after",
)  # fmt: skip


def rows(results: Iterable[Mapping[str, Any]]) -> list[Sequence[str]]:
    """A row for each fault, in the order of the results; times are the longest of all runs."""
    faults: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        faults.setdefault(result["fault"], []).append(result)
    return [
        (
            fault,
            str(len(found)),
            str(sum(each["injected"] for each in found)),
            str(sum(each["in_flight"] for each in found)),
            str(sum(each["tasks"] + each["services"] for each in found)),
            str(sum(len(each["lost"]) for each in found)),
            str(sum(len(each["hung"]) for each in found)),
            str(sum(each["repeated"] for each in found)),
            str(sum(len(each["refused"]) for each in found)),
            str(sum(each["repeated_services"] for each in found)),
            longest(each["notice_s"] for each in found),
            longest(each["recover_s"] for each in found),
        )
        for fault, found in faults.items()
    ]


def longest(times: Iterable[float | None]) -> str:
    known = [each for each in times if each is not None]
    return f"{max(known):.1f} s" if known else ""


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """In Markdown, with when and where it was made."""
    lines = ["| " + " | ".join(row) + " |" for row in (HEADINGS, ["---"] * len(HEADINGS), *rows(results))]
    brokers = ", ".join(sorted({result["broker"] for result in results}))
    made = (
        f"{time.strftime('%Y-%m-%d')}, RabbitMQ {brokers}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores."
    )
    return "\n".join([made, "", *lines])


def main(results: str, page: str) -> None:
    found = [json.loads(line) for line in Path(results).read_text(encoding="utf-8").splitlines()]
    path = Path(page)
    text = path.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    path.write_text(f"{before}{BEGIN}\n{table(found)}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

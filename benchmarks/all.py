"""Runs all benchmarks, compares with the last run on a machine like this, and writes docs/benchmarks.md.

    python benchmarks/all.py [--quick] [--only NAME] [--strict]

Every run is added to benchmarks/history.jsonl. Only what may be compared between runs is: ratios to what took
turns with it in the same run, and counts. What has become worse by more than 15% is marked; with --strict
that is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rows import machine, write_between

HERE = Path(__file__).resolve().parent
HISTORY = HERE / "history.jsonl"
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by make bench: begin -->", "<!-- made by make bench: end -->"

#: Name -> whether it takes --quick.
BENCHMARKS = {
    "broker": True,
    "inprocess": True,
    "codec": False,
    "imports": False,
    "simulation": True,
    "scale": True,
}
WORSE = 1.15


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def measure(name: str, *, quick: bool) -> list[dict[str, Any]]:
    """The rows of one benchmark, which prints them, too."""
    print(f"== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(file)]
        subprocess.run(command + (["--quick"] if quick and BENCHMARKS[name] else []), check=True)
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return rows


def read_history(path: Path = HISTORY) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def last_like(run: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The last run of the same size on such a machine."""
    like = [each for each in history if (each["machine"], each["quick"]) == (run["machine"], run["quick"])]
    return like[-1] if like else None


def change(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> float | None:
    """By which factor a row has become worse; below 1, better. ``None`` if that cannot be said."""
    if before is None or not row["comparable"] or not row["value"] or not before["value"]:
        return None
    factor: float = row["value"] / before["value"]
    return 1 / factor if row["more_is_better"] else factor


def compared(
    run: Mapping[str, Any], before: Mapping[str, Any] | None
) -> list[tuple[str, Mapping[str, Any], float | None]]:
    """Each row with the benchmark it belongs to and how it has changed."""
    found = []
    for name, rows in run["rows"].items():
        earlier = {row["name"]: row for row in (before or {"rows": {}})["rows"].get(name, [])}
        found += [(name, row, change(row, earlier.get(row["name"]))) for row in rows]
    return found


def table(run: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """In Markdown."""
    since = f" Compared with {before['date']} ({before['commit']})." if before else ""
    lines = [f"{run['date']}, {run['commit']}, {run['machine']}.{since}", ""]
    lines += ["| benchmark | | value | target | since last time | absolute |", "|---|---|---|---|---|---|"]
    for name, row, factor in compared(run, before):
        target = row["target"] + (" **missed**" if row["holds"] is False else "")
        changed = "" if factor is None else f"{100 * (factor - 1):+.0f} %"
        if factor is not None and factor > WORSE:
            changed = f"**{changed} worse**"
        cells = [name, row["name"].strip(), f"{row['value']:,.2f}", target, changed, row["absolute"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_page(text: str, path: Path = PAGE) -> None:
    write_between(path, BEGIN, END, text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less work in each; docs are left alone")
    parser.add_argument(
        "--only", choices=BENCHMARKS, action="append", metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--strict", action="store_true", help="exit code 1 if something has become worse")
    options = parser.parse_args()
    names = options.only or list(BENCHMARKS)
    run = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "quick": options.quick,
        "rows": {name: measure(name, quick=options.quick) for name in names},
    }
    before = last_like(run, read_history())
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    if not options.quick and not options.only:
        write_page(table(run, before))
    worse = [(name, row, factor) for name, row, factor in compared(run, before) if factor and factor > WORSE]
    since = before["date"] if before else ""
    for name, row, factor in worse:
        print(f"WORSE by {100 * (factor - 1):.0f}% since {since}: {name}: {row['name']}")
    return 1 if worse and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())

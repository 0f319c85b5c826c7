"""How runs of the benchmarks are compared; the benchmarks themselves are not run here."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "all.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    sys.path.insert(0, str(FILE.parent))
    spec = importlib.util.spec_from_file_location("benchmarks_all", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FILE.parent))


def row(name: str, value: float, **more: Any) -> dict[str, Any]:
    plain = {"target": "", "holds": None, "absolute": "", "more_is_better": False, "comparable": True}
    return {"name": name, "value": value, **plain, **more}


def run(
    *rows: dict[str, Any], machine: str = "m", quick: bool = False, date: str = "2026-01-01"
) -> dict[str, Any]:
    return {"date": date, "commit": "abc", "machine": machine, "quick": quick, "rows": {"broker": list(rows)}}


def test_only_runs_of_one_size_on_one_kind_of_machine_are_compared(bench: Any) -> None:
    history = [run(date="1"), run(date="2"), run(machine="other"), run(quick=True)]
    assert bench.last_like(run(), history)["date"] == "2"
    assert bench.last_like(run(machine="new"), history) is None


@pytest.mark.parametrize(
    ("now", "before", "factor"),
    [
        (row("x", 1.2), row("x", 1.0), 1.2),
        (row("x", 0.5, more_is_better=True), row("x", 1.0), 2.0),
        (row("x", 1.2, comparable=False), row("x", 1.0), None),
        (row("x", 1.2), None, None),
        (row("x", 0.0), row("x", 1.0), None),
    ],
)
def test_a_change_is_a_factor_above_one_where_it_is_worse(
    bench: Any, now: dict[str, Any], before: dict[str, Any] | None, factor: float | None
) -> None:
    assert bench.change(now, before) == (None if factor is None else pytest.approx(factor))


def test_the_table_marks_what_missed_its_target_and_what_became_worse(bench: Any) -> None:
    before = run(row("call", 1.0), row("rate", 1.0, more_is_better=True), row("same", 1.0))
    now = run(
        row("call", 1.2, target="at most 1.1", holds=False),
        row("rate", 0.95, more_is_better=True),
        row("same", 1.0),
        row("new", 3.0),
        date="2026-01-02",
    )
    text = bench.table(now, before)
    assert "2026-01-02, abc, m. Compared with 2026-01-01 (abc)." in text
    assert "| broker | call | 1.20 | at most 1.1 **missed** | **+20 % worse** |  |" in text
    assert "| broker | rate | 0.95 |  | +5 % |  |" in text
    assert "| broker | new | 3.00 |  |  |  |" in text
    assert "Compared" not in bench.table(now, None)


def test_the_page_gets_the_table_between_its_marks(bench: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n", encoding="utf-8")
    bench.write_page("new", page)
    assert page.read_text(encoding="utf-8") == f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"


def test_the_history_that_is_kept_can_be_read(bench: Any, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    assert bench.read_history(history) == []
    history.write_text(json.dumps(run()) + "\n", encoding="utf-8")
    assert bench.read_history(history) == [run()]
    for each in bench.read_history():
        assert {"date", "commit", "machine", "quick", "rows"} <= each.keys()

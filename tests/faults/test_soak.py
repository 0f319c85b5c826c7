"""The soak in short, and that its judgement tells flat from growing."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.actors import Actors
from tests.broker.fixtures import fresh_vhost
from tests.broker.node import Node
from tests.faults import soak
from tests.faults.hearing import Hearing
from tests.faults.ledger import Ledger
from tests.faults.measures import Tolerance, growth, process, tables, window
from tests.faults.soak import Plan, Report
from tests.faults.soaking import CLOSED, ROUNDS, VISIT

SHORT = [each for each in ROUNDS if each.strike in (VISIT, CLOSED)]


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_every_call_has_one_outcome_and_nothing_is_left_on_the_broker(
    breakable_node: Node, tmp_path: Path
) -> None:
    vhost, report = fresh_vhost(), Report()
    breakable_node.add_vhost(vhost)
    plan = Plan(0.0, 2, load_s=3.0, quiet_s=0.5, samples=1, flood=20, rounds=SHORT, rare_at=())
    soak.soak(breakable_node, vhost, tmp_path, plan, report)
    breakable_node.delete_vhost(vhost)
    outcomes = report.outcomes
    assert report.problems == []
    assert report.left == []
    assert outcomes["tasks"] > 5
    assert outcomes["services"] > 5
    assert outcomes["answered"] + outcomes["services refused"] == outcomes["tasks"] + outcomes["services"]
    assert outcomes["events heard"] > outcomes["events emitted"] > 5
    assert list(report.rounds) == [each.name for each in SHORT]
    assert [list(report.windows["broker"][name]) for name in soak.EMPTY] == [[0, 0], [0, 0]]
    assert "| calls |" in soak.tell(report)


def noise(number: int, spread: float) -> list[float]:
    chance = random.Random(number)
    return [chance.uniform(-spread, spread) for _ in range(number)]


@pytest.mark.parametrize("number", [1, 2, 3, 8, 60])
def test_what_stays_where_it_is_is_flat(number: int) -> None:
    assert growth([100.0] * number, Tolerance(0)) is None
    assert growth([100.0 + each for each in noise(number, 2.0)], Tolerance(8)) is None
    assert growth([200.0 - n for n in range(number)], Tolerance(0)) is None


def test_a_single_odd_window_is_not_growth() -> None:
    assert growth([100.0] * 30 + [180.0] + [100.0] * 29, Tolerance(8)) is None
    assert growth([100.0] * 59 + [180.0], Tolerance(8)) is None


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([100 + n / 4 + each for n, each in enumerate(noise(60, 2.0))], id="a leak all the time"),
        pytest.param([100.0] * 10 + [112.0] * 50, id="what is taken once and not given back"),
        pytest.param([100.0] * 50 + [100.0 + 2 * n for n in range(10)], id="a leak at the end"),
        pytest.param(
            [150.0] * 10 + [60.0] * 20 + [60.0 + n for n in range(30)], id="a leak from below the beginning"
        ),
        pytest.param([1.0, 1.0, 20.0], id="three windows"),
    ],
)
def test_what_grows_is_found(values: list[float]) -> None:
    risen = growth(values, Tolerance(8))
    assert risen is not None
    assert risen > 8


def test_a_tolerance_is_a_number_or_a_share() -> None:
    assert growth([1000.0] * 5 + [1050.0] * 5, Tolerance(8, 0.1)) is None
    assert growth([1000.0] * 5 + [1150.0] * 5, Tolerance(8, 0.1)) == 150


def test_a_window_is_the_median_of_its_samples() -> None:
    assert window([{"a": 1.0}, {"a": 9.0, "b": 2.0}, {"a": 2.0}]) == {"a": 2.0, "b": 2.0}


def test_the_report_says_what_has_grown_and_what_was_not_empty() -> None:
    windows = [
        {"memory MiB": 50.0 + n, "threads": 7.0, "queues": 20.0, "table Watched._actors": float(n)}
        | {"messages ready": float(n == 30), "table Seen._ids": 100.0 * n, "table Seen._ids[]": 100.0 * n}
        for n in range(60)
    ]
    report = Report(peaks={"caller": windows[-1]}, left=["q.forgotten"])
    for each in windows:
        report.add("caller", each)
    report.problems = soak.judge(report)
    assert [problem.partition(" by ")[0] for problem in report.problems] == [
        "caller: memory MiB has grown",
        "caller: table Watched._actors has grown",
        "caller: messages ready: 1 in a quiet window",
        "left on the broker: q.forgotten",
    ]
    text = soak.tell(report)
    assert "| caller | memory MiB | 59.0 | 84.0 | 108.0 | 109.0 | 8.0 | NO |" in text
    assert "| caller | queues | 20 | 20 | 20 | 20 | 0 | yes |" in text
    assert "- caller: table Watched._actors has grown" in text


def test_a_report_is_kept_and_written_into_its_page(tmp_path: Path) -> None:
    report = Report(made="2026-01-01", minutes=60.0, broker="3.10.8")
    report.add("caller", {"threads": 7.0})
    report.add("caller", {"threads": 7.0, "table later": 1.0})
    assert list(report.windows["caller"]["table later"]) == [0, 1]
    report.peaks = {"caller": {"threads": 9.0}}
    report.outcomes.update(tasks=2, services=1)
    report.rounds["nothing happens"] += 1
    soak.keep(report, tmp_path / "runs" / "soak.json")
    assert soak.load(tmp_path / "runs" / "soak.json") == report
    page = tmp_path / "page.md"
    page.write_text(f"before\n{soak.BEGIN}\nold\n{soak.END}\nafter\n", encoding="utf-8")
    soak.write(report, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{soak.BEGIN}\n2026-01-01, 60 minutes, RabbitMQ 3.10.8")
    assert "| calls | 3 |" in text
    assert text.endswith(f"Problems: none.\n{soak.END}\nafter\n")


def test_a_table_that_grows_anywhere_in_an_actor_is_seen() -> None:
    actors = Actors()
    try:
        actor = actors.start("A")
        before = tables(actor)
        actor._mailbox._watched._actors |= {f"actor{n}" for n in range(7)}
        actor._events._of_a_later_version = {n: [n] for n in range(5)}
        after = tables(actor)
    finally:
        actors.stop()
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    assert grown["Watched._actors"] == 7
    assert grown["Events._of_a_later_version"] == 5
    assert grown["Events._of_a_later_version[]"] == 5


GROWING = """
import os, sys, threading
print("ready", flush=True)
sys.stdin.readline()
threading.Thread(target=threading.Event().wait, daemon=True).start()
ends = os.pipe()
print("grown", flush=True)
sys.stdin.readline()
"""


def test_threads_and_descriptors_of_a_process_are_counted() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", GROWING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        before = process(child.pid)
        child.stdin.write("grow\n")
        child.stdin.flush()
        assert child.stdout.readline() == "grown\n"
        after = process(child.pid)
    assert after["threads"] == before["threads"] + 1
    assert after["descriptors"] == before["descriptors"] + 2
    assert after["memory MiB"] > 1


def test_events_that_are_missing_or_come_twice_or_in_the_wrong_order_are_noted() -> None:
    hearing = Hearing(step=2)
    for number in (2, 4, 10, 10, 8, 12):
        hearing.hear(number)
    assert hearing.gaps == [(6, 8)]
    assert hearing.missed() == 2
    assert hearing.wrong == ["10 came after 10", "8 came after 10"]
    assert hearing.gaps_outside(6, 8) == []
    assert hearing.gaps_outside(7, 8) == [(6, 8)]
    hearing.forget()
    hearing.hear(16)
    assert hearing.gaps == [(14, 14)]


def test_what_runs_without_having_been_called_is_a_stray(tmp_path: Path) -> None:
    ledger, journal = Ledger(), tmp_path / "journal"
    ledger.begin("task-1", "task", "one")
    journal.write_text("task-1 100\ntask-2 100\n")
    assert ledger.strays([journal, tmp_path / "none"]) == {"task-2"}

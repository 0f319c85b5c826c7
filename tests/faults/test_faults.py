"""Calls that never rest, under each fault: nothing is lost, nothing hangs, nothing runs twice that must not.

`make test` has the short form. `make faults` has all, several times each, and writes docs/reliability.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.broker.fixtures import fresh_vhost
from tests.broker.node import Node
from tests.faults import table
from tests.faults.faults import FAULTS, Fault
from tests.faults.ledger import Outcome
from tests.faults.world import LONG, World, keep

CHOSEN = [(fault, run) for fault in FAULTS for run in range(fault.runs if LONG else 1) if fault.short or LONG]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]


@pytest.fixture
def world(breakable_node: Node, fault: Fault, tmp_path: Path) -> Iterator[World]:
    vhost = fresh_vhost()
    with fault.condition(breakable_node) as node:
        node.add_vhost(vhost)
        with World(node, vhost, tmp_path, caller_node=fault.caller_node) as world:
            yield world
        if node.running:
            node.delete_vhost(vhost)


@pytest.mark.parametrize(("fault", "run"), [pytest.param(f, r, id=f"{f.name}-{r + 1}") for f, r in CHOSEN])
def test_nothing_is_lost_nothing_hangs_and_nothing_runs_twice_that_must_not(
    world: World, fault: Fault, run: int
) -> None:
    world.begin_calling()
    struck_s = fault.strike(world)
    healed_s = time.monotonic()
    world.wait_for_answers(10, healed_s)
    world.rest()
    outcome = world.outcome(struck_s, healed_s)
    keep(fault.name, world.node.version(), world.injected, outcome)
    assert world.injected > 0
    assert outcome.hung == ()
    assert outcome.lost == ()
    assert outcome.wrong == ()
    assert outcome.repeated_in_process == 0
    assert outcome.repeated_services == 0
    assert fault.services_may_fail or outcome.refused == ()
    assert fault.tasks_may_repeat or outcome.repeated == 0
    assert outcome.tasks > 5
    assert outcome.services > 5


def test_the_table_has_a_row_for_each_fault_and_the_longest_times(tmp_path: Path) -> None:
    outcome = Outcome(10, 5, (), ("task-1",), ("gone", "gone"), 3, 0, 0.5, None, in_flight=4)
    results = tmp_path / "results.jsonl"
    for notice_s in (0.25, None, 1.0):
        line = {
            "fault": "a fault",
            "broker": "3.10.8",
            "injected": 2,
            **asdict(outcome),
            "notice_s": notice_s,
        }
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    table.main(str(results), str(page))
    text = page.read_text(encoding="utf-8")
    assert "| a fault | 3 | 6 | 12 | 45 | 0 | 3 | 9 | 6 | 0 | 1.0 s |  |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "RabbitMQ 3.10.8" in text

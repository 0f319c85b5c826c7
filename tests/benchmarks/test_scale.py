"""How the figures of many actors are reckoned and written; and that a small fleet leaves nothing behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.broker.node import Node

FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def scale() -> Iterator[Any]:
    sys.path.insert(0, FOLDER)
    yield importlib.import_module("scale")
    sys.path.remove(FOLDER)


def a_run(scale: Any, members: int, **more: Any) -> Any:
    held = scale.Holdings(2, 3 * members, 10 * members, 4 * members, members**2, 1, 0, 1000 * members, 7, 5)
    nothing = scale.Holdings(0, 0, 0, 2, 0, 0, 0, 0, 0, 0)
    plain = scale.Run(
        members, 23, 50 * members, 2.0 * members, 1.0, 1.0, scale.Usage(1, 2, 3, 1.0), held,
        0.1, 5000.0, 0.1, 0.2, 2_000_000, 0.8, 1.0, 2.0, 3.0, 1.0, 3 * members, nothing,
    )  # fmt: skip
    return replace(plain, **more)


def line(scale: Any, name: str) -> Any:
    return next(each for each in scale.LINES if each.name == name)


def test_what_grows_with_the_square_is_told_from_what_grows_with_the_number(scale: Any) -> None:
    runs = [a_run(scale, members) for members in (25, 50, 100)]
    assert scale.growth(line(scale, "broker: queues"), runs) == pytest.approx(1.0)
    assert scale.growth(line(scale, "broker: bindings"), runs) == pytest.approx(2.0)
    assert scale.slope(line(scale, "broker: queues"), runs) == pytest.approx(10.0)
    assert scale.slope(line(scale, "start, s"), runs) == pytest.approx(2.0)
    assert scale.growth(line(scale, "broker afterwards: anything else"), runs) is None


def test_whatever_is_not_shared_by_all_counts_as_left_behind(scale: Any) -> None:
    run = a_run(scale, 25)
    assert run.remains == 0
    for what in ("connections", "channels", "queues", "exchanges", "bindings", "messages"):
        more = replace(run.left, **{what: getattr(run.left, what) + 1})
        assert replace(run, left=more).remains == 1


def test_the_tables_have_a_column_for_each_fleet_and_name_the_broker(scale: Any) -> None:
    runs = [a_run(scale, members) for members in (25, 50)]
    piece = scale.Piece("channel", 26_000.0, 4.0, 0.0, 0.001)
    text = scale.tables(runs, [a_run(scale, 12)], [piece], "3.10.8")
    assert "RabbitMQ 3.10.8" in text
    assert "| actors | 25 | 50 | each further one | exponent |" in text
    assert "| broker: queues | 250 | 500 | 10 | 1.00 |" in text
    assert "| 12 | 23 | 600 | 24.0 |" in text
    assert "| channel | 26.0 | 4.0 | 0.0 | 1.00 |" in text


def test_every_member_has_as_many_listeners_as_it_listens_to_and_most_are_elsewhere(scale: Any) -> None:
    plan = scale.Plan("s", 12, 4, 3)
    listened_to = [name for number in range(12) for name in plan.neighbours_of(number)]
    assert {listened_to.count(plan.name(number)) for number in range(12)} == {4}
    assert sorted(number for process in range(3) for number in plan.of_process(process)) == list(range(12))
    assert plan.subscriptions == 12 * (4 + 2 * 4)
    assert plan.neighbours_of(0) == ["s-1", "s-2", "s-3", "s-4"]
    everybody = scale.Plan("s", 5, 23, 1)
    assert everybody.neighbours_of(4) == ["s-0", "s-1", "s-2", "s-3"]


@pytest.mark.timeout(120)
def test_a_small_fleet_starts_works_is_killed_in_part_and_leaves_nothing(
    scale: Any, breakable_node: Node
) -> None:
    run = scale.run(breakable_node, scale.Plan("fleet", 6, 2, 2), 3)
    assert run.subscriptions == 6 * 8
    # Each has four, its native role two, its others four; the hub has no others. And one for each process.
    assert run.held.queues == 6 * 10 + 6 + 3
    assert run.held.exchanges == 6 * 4 + 4 + 2
    assert run.held.connections == 2 * 3
    assert run.uploaded_bytes < 1.1 * scale.PAYLOAD_BYTES
    assert run.waiting == 6 * 3
    assert run.remains == 0, run.left

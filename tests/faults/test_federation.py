"""Federated averaging while clients are killed: the weights are those of an undisturbed run, bit by bit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.actors import in_thread, wait_until
from tests.broker.node import Node
from tests.faults.world import DEADLINE_S, LONG, Worker, World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

#: 16 MB: they travel in pieces.
SIZE = 2_000_000


@pytest.fixture
def world(broker_node: Node, broker_vhost: str, tmp_path: Path) -> Iterator[World]:
    with World(broker_node, broker_vhost, tmp_path) as world:
        yield world


def average(
    world: World, weights: Any, number: int, disturb: Callable[[Worker], None], seconds: float
) -> Any:
    """One round over both workers, the first of which is disturbed."""

    def train(worker: Worker) -> Any:
        args = {"call_id": f"round-{number}", "seconds": seconds}
        return world.caller.call_task(worker.role, "train", args, {"weights": weights}).result(DEADLINE_S)

    updates: list[Future[Any]] = [in_thread(train, worker) for worker in world.workers]
    disturb(world.workers[0])
    return np.mean([update.result(DEADLINE_S) for update in updates], axis=0)


def runs(worker: Worker, number: int) -> int:
    text = worker.journal.read_text() if worker.journal.exists() else ""
    return text.split().count(f"round-{number}")


def in_the_handler(number: int) -> Callable[[Worker], None]:
    def disturb(worker: Worker) -> None:
        wait_until(lambda: runs(worker, number) == 1, DEADLINE_S)
        worker.restart()

    return disturb


def before_it_arrives(worker: Worker) -> None:
    worker.kill()
    worker.start()


def during_the_transfer(world: World, size: int) -> Callable[[Worker], None]:
    def disturb(worker: Worker) -> None:
        world.proxy.bytes_per_s = 5 * size
        time.sleep(0.6)  # 3 of the 8 bytes of each
        worker.kill()
        world.proxy.bytes_per_s = None
        worker.start()

    return disturb


def as_it_answers(number: int) -> Callable[[Worker], None]:
    """The handler returns at once: the result may be sent, acknowledged, or neither."""

    def disturb(worker: Worker) -> None:
        wait_until(lambda: runs(worker, number) == 1, DEADLINE_S)
        time.sleep(0.02)
        worker.restart()

    return disturb


def at_any_time(chance: random.Random) -> Callable[[Worker], None]:
    def disturb(worker: Worker) -> None:
        time.sleep(chance.uniform(0.0, 0.5))
        worker.restart()

    return disturb


def test_the_weights_are_right_whenever_a_client_is_killed(world: World) -> None:
    weights = wanted = np.random.default_rng(1).normal(size=SIZE)
    disturbances = [
        (before_it_arrives, 0.0),
        (during_the_transfer(world, SIZE), 0.0),
        (in_the_handler(2), 1.0),
        (as_it_answers(3), 0.0),
        (lambda worker: None, 0.0),
    ]
    for number, (disturb, seconds) in enumerate(disturbances):
        weights = average(world, weights, number, disturb, seconds)
        wanted = np.mean([wanted + 0.25 * (client - wanted) for client in (1, 2)], axis=0)
        np.testing.assert_array_equal(weights, wanted)
    one, other = world.workers
    assert [runs(other, number) for number in range(5)] == [1] * 5
    assert all(1 <= runs(one, number) <= 2 for number in range(5))
    assert runs(one, 2) == 2  # it was killed in the middle of it


@pytest.mark.timeout(900)
def test_the_weights_are_right_though_one_client_is_killed_in_each_of_a_hundred_rounds(world: World) -> None:
    rounds, size, chance = 100 if LONG else 3, 250_000, random.Random(1)
    weights = wanted = np.random.default_rng(1).normal(size=size)
    one, other = world.workers
    processes = {one.pid}
    for number in range(rounds):
        disturb, seconds = [
            (in_the_handler(number), 0.3),
            (during_the_transfer(world, size), 0.0),
            (as_it_answers(number), 0.0),
            (before_it_arrives, 0.0),
            (at_any_time(chance), 0.1),
        ][number % 5]
        weights = average(world, weights, number, disturb, seconds)
        processes.add(one.pid)
        wanted = np.mean([wanted + 0.25 * (client - wanted) for client in (1, 2)], axis=0)
        np.testing.assert_array_equal(weights, wanted)
    assert len(processes) == 1 + rounds
    assert [runs(other, number) for number in range(rounds)] == [1] * rounds
    assert all(1 <= runs(one, number) <= 2 for number in range(rounds))

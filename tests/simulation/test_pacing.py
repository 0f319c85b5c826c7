"""Handlers take as long as on a slower device."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from roleml.messaging.envelope import Kind
from roleml.messaging.serving import Request
from roleml.simulation.devices import Device
from roleml.simulation.pacing import Pacer
from roleml.simulation.timeline import Timeline
from tests.simulation.now import Now


@pytest.fixture
def now() -> Iterator[Now]:
    now = Now()
    yield now
    now.stop()


def spin(seconds: float) -> str:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return "done"


def request(channel: str = "train", kind: Kind = Kind.TASK) -> Request:
    return Request(kind, ("a", "x"), ("b", "y"), channel, None)


def test_a_slow_device_computes_longer_and_waits_no_longer(now: Now) -> None:
    pace = Pacer(Device(speed=0.25), now)
    assert pace(request(), lambda: spin(0.05)) == "done"
    assert 0.15 <= now.paused.pop() < 0.6
    pace(request(), lambda: threading.Event().wait(0.05))
    assert sum(now.paused) < 0.05


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.TASK, Kind.EVENT])
def test_a_handler_may_have_a_least_time(now: Now, kind: Kind) -> None:
    pace = Pacer(Device(seconds={"train_model": 30.0}), now)
    pace(request("train-model", kind), lambda: now.move_to(now.now_s + 10))
    assert now.paused == [20.0]
    pace(request("train-model", kind), lambda: now.move_to(now.now_s + 40))
    pace(request("test", kind), lambda: None)
    pace(request("train-model", Kind.CONTROL), lambda: None)
    assert now.paused == [20.0]


def test_a_least_time_may_be_drawn_anew_for_each_call(now: Now) -> None:
    def times(seed: str, *channels: str) -> list[float]:
        now.paused.clear()
        pace = Pacer(Device(seconds={"train": [10, 20], "test": [1, 2]}, seed=seed), now)
        for channel in channels:
            pace(request(channel), lambda: None)
        return [round(each, 6) for each in now.paused]

    first = times("1", "train", "train", "test")
    mixed = times("1", "test", "train", "train")  # the n-th of a channel is always the same
    assert mixed == [first[2], first[0], first[1]]
    assert first[0] != first[1]
    assert times("2", "train") != first[:1]


def test_least_times_within_each_other_are_not_added(now: Now) -> None:
    pace = Pacer(Device(seconds={"outer": 5.0, "inner": 3.0}), now)
    pace(request("outer"), lambda: pace(request("inner"), lambda: None))
    assert now.paused == [3.0, 2.0]


def test_a_handler_that_calls_its_own_actor_pays_once(now: Now) -> None:
    pace = Pacer(Device(speed=0.5), now)
    pace(request("outer"), lambda: pace(request("inner"), lambda: spin(0.02)))
    assert len(now.paused) == 1


def test_a_handler_that_fails_takes_its_time_too(now: Now) -> None:
    pace = Pacer(Device(seconds={"train": 1.0}), now)
    with pytest.raises(ZeroDivisionError):
        pace(request(), lambda: 1 / 0)
    assert now.paused == [1.0]


def test_nobody_is_slow_before_time_begins_and_a_hurry_ends_pauses() -> None:
    timeline = Timeline()
    pace = Pacer(Device(seconds={"train": 100_000.0}), timeline)
    assert pace(request(), lambda: "before") == "before"
    timeline.begin()
    results: list[str] = []
    slow = threading.Thread(target=lambda: results.append(pace(request(), lambda: "slow")), daemon=True)
    slow.start()
    timeline.hurry()
    slow.join(30)
    assert results == ["slow"]
    assert pace(request(), lambda: "after") == "after"
    timeline.stop()

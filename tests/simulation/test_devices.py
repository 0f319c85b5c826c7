"""What simulated devices are like."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.core.builders.errors import ConfigError, Problems
from roleml.simulation.devices import DEVICES, ONLINE_ALWAYS, Intervals, OnOff, device_of

times = st.floats(0, 1000, allow_nan=False)


def test_the_first_pattern_that_matches_counts() -> None:
    devices = {"client1": {"speed": 0.5}, "client.*": {"up_mbps": 8, "latency_ms": 5, "jitter_ms": 1}}
    first, second, third = (device_of(name, devices, 0) for name in ("client1", "client2", "server"))
    assert (first.speed, first.delays_messages, first.slows_handlers) == (0.5, False, True)
    assert second.up_bytes_per_s == 1e6
    assert second.down_bytes_per_s == math.inf
    assert (second.latency_s, second.jitter_s) == (0.005, 0.001)
    assert (second.delays_messages, second.slows_handlers) == (True, False)
    assert (third.delays_messages, third.slows_handlers) == (False, False)
    assert third.online is ONLINE_ALWAYS


@pytest.mark.parametrize(
    ("time_s", "expected"), [(0, 1), (1, 1), (4.9, 4.9), (5, 10), (9, 10), (12, 12), (20, math.inf)]
)
def test_a_device_is_there_in_its_intervals(time_s: float, expected: float) -> None:
    assert Intervals([[10, 20], [1, 5]]).next_online(time_s) == expected


def test_the_last_interval_may_be_open() -> None:
    assert Intervals([[3, None]]).next_online(1e9) == 1e9


@given(times, times, st.integers(0, 5))
def test_coming_and_going_does_not_depend_on_when_it_is_asked(one: float, other: float, seed: int) -> None:
    asked_twice = OnOff(5, 2, random.Random(seed))
    asked_twice.next_online(other)
    assert asked_twice.next_online(one) == OnOff(5, 2, random.Random(seed)).next_online(one)


@given(times, st.integers(0, 5))
def test_a_device_that_goes_comes_back(time_s: float, seed: int) -> None:
    online = OnOff(5, 2, random.Random(seed))
    back_s = online.next_online(time_s)
    assert time_s <= back_s < math.inf
    assert online.next_online(back_s) == back_s
    assert online.next_online(0) == 0


def test_it_is_there_for_the_share_of_time_that_the_means_say() -> None:
    online = OnOff(6, 2, random.Random(1))
    there = sum(online.next_online(t / 4) == t / 4 for t in range(80_000)) / 80_000
    assert 0.7 < there < 0.8


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"sped": 1}, "unknown key 'sped' of a device; did you mean 'speed'?"),
        ({"speed": 0}, "expected a share above 0, not 0"),
        ({"speed": "fast"}, "expected a share above 0, not 'fast'"),
        ({"latency_ms": -1}, "expected a time in milliseconds of at least 0, not -1"),
        ({"up_mbps": 0}, "expected a rate in Mbit/s above 0"),
        ({"online": [[1, 2], [5, 4]]}, "devices.a.online[1]: the interval ends at 4, before it begins"),
        ({"online": [[1]]}, "expected [begin, end] in seconds"),
        ({"online": [["a", 2]]}, "expected a time in seconds"),
        ({"seconds": {"train": -1}}, "devices.a.seconds.train: expected a time in seconds"),
    ],
)
def test_what_no_device_can_be_is_refused(spec: dict[str, Any], complaint: str) -> None:
    problems = Problems()
    DEVICES.check({"a": spec}, ("devices",), problems)
    with pytest.raises(ConfigError) as caught:
        problems.raise_if_any()
    assert complaint in str(caught.value)


def test_a_pattern_that_is_none_is_refused() -> None:
    problems = Problems()
    DEVICES.check({"a(": {}}, ("devices",), problems)
    with pytest.raises(ConfigError, match="is no regular expression"):
        problems.raise_if_any()

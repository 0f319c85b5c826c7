"""What simulated devices are like."""

from __future__ import annotations

import logging
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.core.builders.errors import ConfigError
from roleml.shared.yml import load_yaml_with_marks
from roleml.simulation.availability import ONLINE_ALWAYS, Availability, Intervals, OnOff
from roleml.simulation.devices import check_devices, device_of, warn_of_unmatched

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
    ("begin_s", "work_s", "expected"),
    [
        (0, 1, 2),
        (0, 4, 5),
        (2, 4, 11),
        (0, 6, 12),
        (4, 11, 20),
        (4, 12, math.inf),
        (30, 1, math.inf),
        (0, 0, 1),
    ],
)
def test_a_transfer_rests_while_the_device_is_away(begin_s: float, work_s: float, expected: float) -> None:
    assert Intervals([[1, 5], [10, 20]]).done(begin_s, work_s) == expected


def test_a_device_that_is_always_there_works_through() -> None:
    assert ONLINE_ALWAYS.done(3, 4) == 7


@given(times, st.floats(0, 50), st.integers(0, 5))
def test_a_transfer_takes_as_long_as_its_work_and_the_absences_within(
    begin_s: float, work_s: float, seed: int
) -> None:
    online: Availability = OnOff(5, 2, random.Random(seed))
    end_s = online.done(begin_s, work_s)
    connected_s, time_s = 0.0, begin_s
    while time_s < end_s:
        come_s, go_s = online.interval(time_s)
        connected_s += max(0.0, min(go_s, end_s) - max(come_s, time_s))
        time_s = go_s
    assert connected_s == pytest.approx(work_s, abs=1e-6)


def test_a_range_is_drawn_from_once_for_each_device() -> None:
    devices = {".*": {"speed": [0.2, 0.4], "latency_ms": [10, 20], "up_mbps": [8, 16]}}
    drawn = [device_of(name, devices, 7) for name in ("a", "b", "a")]
    assert all(0.2 <= device.speed <= 0.4 for device in drawn)
    assert all(0.01 <= device.latency_s <= 0.02 for device in drawn)
    assert all(1e6 <= device.up_bytes_per_s <= 2e6 for device in drawn)
    assert drawn[0] == drawn[2] != drawn[1]
    assert device_of("a", devices, 8) != drawn[0]
    # whatever else is drawn, and in whichever order
    assert device_of("a", {"a": {"speed": [0.2, 0.4]}}, 7).speed == drawn[0].speed


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"sped": 1}, "unknown key 'sped' of a device; did you mean 'speed'?"),
        ({"speed": 0}, "expected a share above 0, not 0"),
        ({"speed": "fast"}, "expected a share above 0 or a range [low, high] of them, not 'fast'"),
        ({"speed": [0.5]}, "a range is [low, high], not [0.5]"),
        ({"speed": [0, 1]}, "a.speed[0]: expected a share above 0, not 0"),
        ({"speed": [2, 1]}, "a range is [low, high], and 2 > 1"),
        ({"latency_ms": -1}, "expected a time in milliseconds of at least 0, not -1"),
        ({"up_mbps": 0}, "expected a rate in Mbit/s above 0"),
        ({"online": [[1, 2], [5, 4]]}, "a.online[1]: the interval ends at 4, before it begins"),
        ({"online": [[1]]}, "expected [begin, end] in seconds"),
        ({"online": [["a", 2]]}, "expected a time in seconds"),
        ({"seconds": {"train": -1}}, "a.seconds.train: expected a time in seconds"),
        ({"mean_on_s": 1}, "a.mean_on_s: mean_on_s needs mean_off_s"),
        ({"mean_off_s": 1}, "a.mean_off_s: mean_off_s needs mean_on_s"),
        ({"mean_on_s": 1, "mean_off_s": 1, "online": [[1, 2]]}, "either the times are given, or means"),
    ],
)
def test_what_no_device_can_be_is_refused(spec: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_devices({"a": spec})
    assert complaint in str(caught.value)


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no regular expression"):
        check_devices({"a(": {}})


def test_a_wrong_file_says_where(tmp_path: Path) -> None:
    file = tmp_path / "devices.yaml"
    file.write_text("client1: {speed: 0.5}\nclient2:\n  latncy_ms: 3\n")
    with pytest.raises(ConfigError, match=r"devices.yaml:3:3: client2.latncy_ms: unknown key .*'latency_ms'"):
        check_devices(*load_yaml_with_marks(file))


def test_a_pattern_that_matches_nobody_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_unmatched(["client.*", "sever"], ["client1", "server"])
    (record,) = caplog.records
    assert "'sever' matches none of the 2 actors; the nearest is server" in record.getMessage()

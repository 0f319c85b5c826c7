from __future__ import annotations

import logging

import pytest

from roleml.shared import patience as patience_module
from roleml.shared.patience import Patience

logger = logging.getLogger("test.patience")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience_module, "time", clock)
    return clock


def test_without_a_deadline_it_never_ends(clock: Clock) -> None:
    patience = Patience()
    clock.now += 1e9
    assert not patience.exhausted


def test_it_ends_at_its_deadline(clock: Clock) -> None:
    patience = Patience(5)
    assert patience.next_wait_s() == 5
    clock.now += 4
    assert patience.next_wait_s() == 1
    assert not patience.exhausted
    clock.now += 1
    assert patience.exhausted
    assert patience.next_wait_s() == 0
    assert patience.waited_s == 5


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_is_no_waiting(clock: Clock, timeout: float) -> None:
    assert Patience(timeout).exhausted
    assert Patience(timeout).next_wait_s() == 0


def test_it_reports_after_half_a_minute_and_then_at_doubling_intervals(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    patience = Patience()
    start, reports = clock.now, []
    while len(reports) < 4:
        clock.now += patience.next_wait_s()
        caplog.clear()
        patience.report(logger, "waiting for %s", "client1")
        patience.report(logger, "not again so soon")
        reports.append((clock.now - start, caplog.messages))
    assert reports == [
        (30, ["waiting for client1 (for 30 s by now)"]),
        (60, ["waiting for client1 (for 60 s by now)"]),
        (120, ["waiting for client1 (for 120 s by now)"]),
        (240, ["waiting for client1 (for 240 s by now)"]),
    ]


def test_it_stays_silent_before(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    patience = Patience(100)
    clock.now += 29
    patience.report(logger, "waiting")
    assert caplog.messages == []

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from roleml.shared.turns import Turns


def test_one_thread_at_a_time_has_the_turn() -> None:
    turns = Turns("counting")
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns.take():
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result(20)
    assert most == 1


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns("failing")
    with pytest.raises(ZeroDivisionError), turns.take():
        raise ZeroDivisionError
    with turns.take():
        pass


def test_a_turn_within_the_same_turn_is_refused() -> None:
    turns, others = Turns("building a"), Turns("building b")
    refused = pytest.raises(RuntimeError, match="building a needs its own outcome")
    with turns.take(), others.take(), refused, turns.take():
        pass


def test_a_waiting_thread_says_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    turns = Turns("building a", report_every_s=0.01)
    reported = threading.Event()

    class Watcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reported.set()

    watcher = Watcher()
    logger = logging.getLogger("roleml.turns")
    logger.addHandler(watcher)

    def wait() -> None:
        with turns.take():
            pass

    try:
        with ThreadPoolExecutor(1) as pool:
            with turns.take():
                future = pool.submit(wait)
                assert reported.wait(10)
            future.result(10)
    finally:
        logger.removeHandler(watcher)
    assert "building a: another thread is at it" in caplog.text

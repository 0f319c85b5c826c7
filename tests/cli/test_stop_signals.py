"""A signal stops a command wherever it comes."""

from __future__ import annotations

import signal
import time
import weakref

import pytest

from roleml.cli.foreground import Interruption, StopSignals

DEADLINE_S = 10.0


class Finalized:
    """As it goes, a signal comes."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Plain: ...


def forget(things: list[object]) -> None:
    things.clear()
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        time.sleep(0.01)


def test_a_signal_that_comes_while_an_object_is_finalized_is_not_lost() -> None:
    with pytest.raises(Interruption), StopSignals():
        forget([Finalized()])


def test_a_signal_that_comes_while_a_weak_reference_dies_is_not_lost() -> None:
    known = weakref.WeakKeyDictionary[object, Finalized]()
    keys: list[object] = [Plain()]
    known[keys[0]] = Finalized()
    with pytest.raises(Interruption), StopSignals():
        forget(keys)

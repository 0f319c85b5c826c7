"""A device between an actor and its broker keeps the transport's promises, and takes its time."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from roleml.messaging.envelope import Kind
from roleml.messaging.mailbox import Request
from roleml.messaging.transport import wrapped_transports
from roleml.simulation.devices import Device, Intervals
from roleml.simulation.network import Pacer, SimulatedTransport, Timeline
from tests.actors import DEADLINE_S
from tests.messaging.transport_contract import Peer, TransportContract

Wrap = Callable[..., Any]


class Now(Timeline):
    """A timeline whose time a test moves."""

    def __init__(self) -> None:
        self.set_s = 0.0
        super().__init__()

    @property
    def now_s(self) -> float:
        return self.set_s

    def move_to(self, time_s: float) -> None:
        """Let that time come, and wait until all that was due has happened."""
        with self._condition:
            self.set_s = time_s
            self._condition.notify()
        happened = threading.Event()
        self.at(time_s, happened.set)
        assert happened.wait(DEADLINE_S)


@pytest.fixture
def url() -> str:
    return f"embedded://{uuid.uuid4().hex}"


@pytest.fixture
def timeline() -> Iterator[Timeline]:
    timeline = Timeline()
    yield timeline
    timeline.stop()


@pytest.fixture
def now() -> Iterator[Now]:
    now = Now()
    yield now
    now.stop()


class TestSimulatedTransport(TransportContract):
    @pytest.fixture(autouse=True)
    def devices(self, timeline: Timeline) -> Iterator[None]:
        device = Device(up_bytes_per_s=1e9, down_bytes_per_s=1e9, latency_s=0.0005, jitter_s=0.001, seed="0")
        with wrapped_transports(lambda transport: SimulatedTransport(transport, device, timeline)):
            yield


def connect(name: str, url: str, device: Device, timeline: Timeline) -> Peer:
    with wrapped_transports(lambda transport: SimulatedTransport(transport, device, timeline)):
        return Peer(name, url)


@pytest.fixture
def pair(url: str, now: Now) -> Iterator[Callable[[Device], tuple[Peer, Peer]]]:
    """A peer on a device, and one on a perfect device."""
    peers: list[Peer] = []

    def make(device: Device) -> tuple[Peer, Peer]:
        peers.extend([connect("a", url, device, now), connect("b", url, Device(), now)])
        return peers[0], peers[1]

    yield make
    for peer in peers:
        peer.transport.stop()


Pair = Callable[[Device], tuple[Peer, Peer]]


def test_a_message_occupies_the_way_up_for_its_size(pair: Pair, now: Now) -> None:
    a, b = pair(Device(up_bytes_per_s=1000))
    for number in range(3):
        a.send("b", content=bytes([number]) * 2000)  # somewhat more than two seconds each
    for number in range(3):
        now.move_to(2.0 * (number + 1))
        assert b.inbox.delivered.empty()
        now.move_to(2.1 * (number + 1))
        assert b.inbox.next()[1] == bytes([number]) * 2000


def test_one_upload_reaches_several_receivers(pair: Pair, now: Now, url: str) -> None:
    a, b = pair(Device(up_bytes_per_s=1000))
    c = connect("c", url, Device(), now)
    a.send("b", "c", content=bytes(2000))
    now.move_to(2.1)
    assert len(b.inbox.next()[1]) == len(c.inbox.next()[1]) == 2000
    c.transport.stop()


def test_a_message_takes_its_time_on_the_way_down_and_latency_occupies_nothing(pair: Pair, now: Now) -> None:
    a, b = pair(Device(latency_s=10.0))
    for number in range(3):
        b.send("a", content=number)
    now.move_to(0)
    now.move_to(9.9)
    assert a.inbox.delivered.empty()
    now.move_to(10.1)
    assert [a.inbox.next()[1] for _ in range(3)] == [0, 1, 2]


def test_messages_wait_while_the_device_is_away(pair: Pair, now: Now) -> None:
    a, b = pair(Device(online=Intervals([[0, 1], [5, 6]])))
    now.move_to(2)
    a.send("b", content="up")
    b.send("a", content="down")
    now.move_to(2)
    now.move_to(4.9)
    assert a.inbox.delivered.empty()
    assert b.inbox.delivered.empty()
    now.move_to(5)
    assert (a.inbox.next()[1], b.inbox.next()[1]) == ("down", "up")


def test_leaving_sends_what_still_waits(pair: Pair) -> None:
    a, b = pair(Device(latency_s=1000))
    a.send("b", content="last words")
    a.transport.stop()
    assert b.inbox.next()[1] == "last words"


def test_jitter_is_the_same_for_the_same_seed(url: str, now: Now) -> None:
    def delays(seed: str, suffix: str) -> list[float]:
        due: list[float] = []
        at = now.at
        now.at = lambda due_s, action: (due.append(due_s), at(0, action))[1]  # type: ignore[method-assign]
        peer = connect(f"a{suffix}", url, Device(jitter_s=5, seed=seed), now)
        other = Peer(f"b{suffix}", url)
        for _ in range(5):
            peer.send(other.name)
            other.inbox.next()
        peer.transport.stop()
        other.transport.stop()
        now.at = at  # type: ignore[method-assign]
        return due

    assert delays("1", "x") == delays("1", "y") != delays("2", "z")
    assert delays("1", "w")[0] == random.Random("1/up").uniform(0, 5)


def spin(seconds: float) -> str:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return "done"


def request(channel: str = "train", kind: Kind = Kind.TASK) -> Request:
    return Request(kind, ("a", "x"), ("b", "y"), channel, None)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("roleml.simulation.network.time.sleep", slept.append)
    return slept


def test_a_slow_device_computes_longer_and_waits_no_longer(slept: list[float]) -> None:
    pace = Pacer(Device(speed=0.25))
    assert pace(request(), lambda: spin(0.05)) == "done"
    assert 0.15 <= slept.pop() < 0.6
    pace(request(), lambda: threading.Event().wait(0.05))
    assert sum(slept) < 0.05


def test_a_handler_may_have_a_least_time(slept: list[float]) -> None:
    pace = Pacer(Device(seconds={"train_model": 30.0}))
    pace(request("train-model"), lambda: None)
    assert 29 < slept.pop() <= 30
    pace(request("test"), lambda: None)
    pace(request("train-model", Kind.CONTROL), lambda: None)
    assert not slept


def test_a_handler_that_calls_its_own_actor_is_slowed_down_once(slept: list[float]) -> None:
    pace = Pacer(Device(seconds={"outer": 1.0, "inner": 1.0}))
    pace(request("outer"), lambda: pace(request("inner"), lambda: None))
    assert len(slept) == 1


def test_a_handler_that_fails_takes_its_time_too(slept: list[float]) -> None:
    pace = Pacer(Device(seconds={"train": 1.0}))
    with pytest.raises(ZeroDivisionError):
        pace(request(), lambda: 1 / 0)
    assert len(slept) == 1

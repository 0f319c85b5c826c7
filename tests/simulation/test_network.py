"""A device between an actor and its broker keeps the transport's promises, and takes its time."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from roleml.messaging.transport import wrapped_transports
from roleml.simulation.availability import Intervals
from roleml.simulation.devices import Device
from roleml.simulation.network import SimulatedTransport
from roleml.simulation.timeline import Timeline
from tests.messaging.transport_contract import Peer, TransportContract
from tests.simulation.now import Now

Wrap = Callable[..., Any]


@pytest.fixture
def url() -> str:
    return f"embedded://{uuid.uuid4().hex}"


@pytest.fixture
def timeline() -> Iterator[Timeline]:
    timeline = Timeline()
    timeline.begin()
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


def test_a_transfer_goes_on_when_the_device_is_back(pair: Pair, now: Now) -> None:
    a, b = pair(Device(up_bytes_per_s=1000, online=Intervals([[0, 1], [5, 9]])))
    a.send("b", content=bytes(2000))
    now.move_to(5.9)
    assert b.inbox.delivered.empty()
    now.move_to(6.2)
    assert len(b.inbox.next()[1]) == 2000


def test_before_time_begins_and_in_a_hurry_devices_are_perfect(url: str) -> None:
    timeline = Timeline()
    device = Device(latency_s=1000, online=Intervals([[5000, 6000]]))
    a, b = connect("a", url, device, timeline), connect("b", url, Device(), timeline)
    a.send("b", content="before")
    assert b.inbox.next()[1] == "before"
    timeline.begin()
    for number in range(3):
        a.send("b", content=number)
    timeline.hurry()
    a.send("b", content="after")
    assert [b.inbox.next()[1] for _ in range(4)] == [0, 1, 2, "after"]
    for peer in (a, b):
        peer.transport.stop()
    timeline.stop()


def test_what_fails_on_its_way_does_not_keep_the_others(now: Now, caplog: pytest.LogCaptureFixture) -> None:
    now.at(0, lambda: 1 / 0)
    now.move_to(1)  # returns when the thread has come by
    assert "a message could not be moved on" in caplog.text


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

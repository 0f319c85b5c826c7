from __future__ import annotations

import uuid

import pytest

from roleml.messaging.embedded import broker_at
from roleml.messaging.transport import open_transport
from tests.messaging.transport_contract import Peer, TransportContract


@pytest.fixture
def url() -> str:
    return f"embedded://{uuid.uuid4().hex}"


class TestEmbeddedTransport(TransportContract):
    pass


def test_brokers_of_different_urls_share_nothing() -> None:
    first, second = Peer("a", f"embedded://{uuid.uuid4().hex}"), Peer("a", f"embedded://{uuid.uuid4().hex}")
    first.transport.stop()
    second.transport.stop()


def test_a_broker_holds_nothing_after_everyone_left(url: str) -> None:
    a, b = Peer("a", url), Peer("b", url)
    a.subscribe(b, "news")
    b.subscribe(a, "news")
    a.transport.watch("b")
    for peer in (a, b):
        peer.transport.stop()
    broker = broker_at(url)
    assert not broker._members
    assert not broker._subscribers
    assert not broker._watchers


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'smtp://x'.*embedded://"):
        open_transport("smtp://x", "a")

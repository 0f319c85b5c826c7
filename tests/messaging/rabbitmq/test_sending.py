"""What leaves an actor for one body and many receivers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.codec import Codec
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.outgoing import Outgoing
from roleml.messaging.rabbitmq.properties import Properties
from roleml.messaging.rabbitmq.sending import RECEIVERS_BYTES, SPARED_BYTES, _slices
from roleml.messaging.rabbitmq.transfers import CHUNK_BYTES
from tests.messaging.rabbitmq.place import Place

#: what a broker and pika agree on
FRAME_BYTES = 128 << 10


def send(kind: Kind, receivers: int, nbytes: int) -> list[Outgoing]:
    alice = Place("alice")
    envelopes = [
        Envelope(kind, str(n), ("alice", "boss"), (f"client-{n:05}", "trainer"), "update")
        for n in range(receivers)
    ]
    for envelope in envelopes:
        alice.peers.said(envelope.target[0], "ready", "its boot")  # no need to look for it
    alice.sender.send(envelopes, Codec().encode(bytes(nbytes)))
    return alice.sent


def header_bytes(message: Outgoing) -> int:
    return len(b"".join(Properties(headers=message.headers, message_id="x" * 40, user_id="alice").encode()))


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.TASK])
@pytest.mark.parametrize("receivers", [1, 2, 3, 8, 201, 1000])
@pytest.mark.parametrize("nbytes", [100_000, 300_000, 900_000, 9_000_000])
def test_a_payload_for_many_leaves_once_or_costs_little_more(kind: Kind, receivers: int, nbytes: int) -> None:
    sent = send(kind, receivers, nbytes)
    assert sum(len(message.body) for message in sent) <= 1.01 * nbytes + SPARED_BYTES
    assert max(map(header_bytes, sent)) < FRAME_BYTES
    chunks = [message for message in sent if message.headers["kind"] == "chunk"]
    requests = [message for message in sent if message.headers["kind"] != "chunk"]
    assert len(requests) == receivers
    assert sum(map(header_bytes, chunks)) <= 0.02 * max(len(chunks) * CHUNK_BYTES, nbytes)
    if chunks:
        first = [message for message in chunks if message.headers["index"] == 0]
        keys = [key for message in first for key in (message.key, *message.headers.get("BCC", ()))]
        request_keys = [message.key for message in requests]
        if kind is Kind.TASK:
            assert keys == request_keys
        else:
            actors = [f"client-{n:05}" for n in range(receivers)]
            assert keys == [names.uploads_key(actor) for actor in actors]
            uses = [(*uses,) for message in first for uses in message.headers["uses"].items()]
            assert uses == [(actor, 1) for actor in actors]


def test_a_small_message_for_many_is_whole_for_each() -> None:
    sent = send(Kind.TASK, 500, 2000)
    assert len(sent) == 500
    assert all(len(message.body) > 2000 for message in sent)


@given(st.lists(st.text("abc", min_size=1, max_size=200), min_size=1, max_size=2000))
def test_all_receivers_are_told_in_messages_that_fit(keys: list[str]) -> None:
    slices = list(_slices(keys))
    assert [key for each in slices for key in keys[each]] == keys
    assert all(sum(2 * len(key) + 16 for key in keys[each]) <= RECEIVERS_BYTES for each in slices)
    assert all(keys[each] for each in slices)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.rabbitmq.transfers import TransferError, Transfers, checksum
from roleml.messaging.rabbitmq.uploads import ParkedRequests, Uploads


def chunk(index: int, data: bytes, upload: str = "u", uses: int = 1) -> dict[str, Any]:
    headers = {"transfer": upload, "index": index, "crc": checksum(data)}
    return headers | ({"uses": {"me": uses, "elsewhere": 7}} if index == 0 else {})


def run(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()


class Actor:
    def __init__(self) -> None:
        self.uploads = Uploads({"me"})
        self.got: list[tuple[str, bytes]] = []
        self.failed: list[str] = []
        self.requests = ParkedRequests(self.uploads, self._deliver, self._fail)

    def _deliver(self, envelope: Envelope, frame: bytes | bytearray) -> None:
        self.got.append((envelope.id, bytes(frame)))

    def _fail(self, envelope: Envelope, error: TransferError) -> None:
        self.failed.append(f"{envelope.id}: {error}")

    def request(self, id: str, *, upload: str | None = None, size: int = 0, role: str = "r") -> None:
        envelope = Envelope(Kind.SERVICE, id, ("you", "x"), ("me", role), "c")
        self.requests.take(envelope, {"transfer": upload, "size": size} if upload else {}, b"small")

    def chunk(self, index: int, data: bytes, upload: str = "u", uses: int = 1) -> None:
        run(self.uploads.take("you/", chunk(index, data, upload, uses), data))


def test_a_request_waits_for_its_payload() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.chunk(0, b"ab")
    assert not actor.got
    actor.chunk(1, b"cd")
    assert actor.got == [("1", b"abcd")]
    assert len(actor.uploads) == len(actor.requests) == 0


def test_requests_of_one_caller_to_one_role_stay_in_order_and_others_go_on() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=2)
    actor.request("2")
    actor.request("3", role="other")
    assert actor.got == [("3", b"small")]
    actor.chunk(0, b"ab")
    assert [request for request, _ in actor.got] == ["3", "1", "2"]


def test_one_upload_serves_all_requests_here_and_is_forgotten_after_the_last() -> None:
    actor = Actor()
    actor.chunk(0, b"ab", uses=3)
    for n in range(3):
        assert len(actor.uploads) == 1
        actor.request(str(n), upload="u", size=2, role=f"r{n}")
    assert [frame for _, frame in actor.got] == [b"ab"] * 3
    assert len(actor.uploads) == 0


@pytest.mark.parametrize("damage", ["crc", "order"])
def test_a_damaged_upload_fails_its_requests_and_says_why(damage: str) -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.request("2")
    headers = chunk(0, b"ab") | ({"crc": 1} if damage == "crc" else {"index": 1})
    run(actor.uploads.take("you/", headers, b"ab"))
    assert actor.failed[0].startswith("1: chunk")
    assert actor.got == [("2", b"small")]


def test_the_uploads_of_a_lost_actor_are_given_up() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.chunk(0, b"ab", upload="unused")
    run(actor.uploads.give_up(source="you/"))
    assert actor.failed == ["1: an upload from you/ was given up"]
    actor.chunk(1, b"cd")
    assert not actor.got


def test_nothing_is_left_of_uploads_that_failed() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.request("2", upload="u", size=4, role="other")
    actor.chunk(0, b"ab", upload="unused")
    actor.chunk(0, b"ab", upload="also unused")
    run(actor.uploads.give_up(source="you/"))
    assert actor.failed == [f"{n}: an upload from you/ was given up" for n in (1, 2)]
    actor.request("3", upload="lost", size=4)
    run(actor.uploads.fenced("lost", "you/", 4))
    assert actor.failed[2:] == ["3: the payload from you/ was sent while this actor was not connected"]
    actor.request("4", upload="lost", size=4)
    assert actor.failed[3:] == ["4: you/ refers to an upload that was given up"]
    assert len(actor.uploads) == len(actor.requests) == 0


def test_an_upload_that_failed_keeps_none_of_its_bytes() -> None:
    actor = Actor()
    actor.chunk(0, b"ab")
    actor.chunk(2, b"ef")
    assert [arriving.nbytes for arriving in actor.uploads.arriving()] == [0]
    actor.request("1", upload="u", size=6)
    assert len(actor.failed) == 1
    assert len(actor.uploads) == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.randoms())
def test_whatever_overtakes_what_everything_arrives_in_order(sizes: list[int], random: Any) -> None:
    """Requests with payloads of so many chunks (0: none); chunks and requests interleave at random."""
    actor = Actor()
    requests = [(str(n), size) for n, size in enumerate(sizes)]
    chunks = [(name, index, size) for name, size in requests for index in range(size)]
    while requests or chunks:
        if requests and (not chunks or random.random() < 0.5):
            name, size = requests.pop(0)
            actor.request(name, upload=name if size else None, size=size * 2)
        else:
            name, index, _ = chunks.pop(0)
            actor.chunk(index, b"xy", upload=name)
    assert [request for request, _ in actor.got] == [str(n) for n in range(len(sizes))]
    assert all(len(frame) == 2 * size for (_, frame), size in zip(actor.got, sizes, strict=True) if size)
    assert len(actor.uploads) == len(actor.requests) == 0


def test_a_payload_that_has_not_come_before_the_fence_was_lost() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.request("2")  # behind it
    assert actor.requests.waits_for("u", "you/")
    run(actor.uploads.fenced("u", "you/", 4))
    assert actor.failed == ["1: the payload from you/ was sent while this actor was not connected"]
    assert actor.got == [("2", b"small")]
    assert len(actor.requests) == 0


def test_a_payload_of_which_the_end_was_lost_is_lost_too() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.chunk(0, b"ab")
    run(actor.uploads.fenced("u", "you/", 4))
    assert len(actor.failed) == 1
    actor.chunk(1, b"cd")  # nobody waits for it any more
    assert not actor.got


def test_a_payload_of_a_request_behind_another_is_lost_as_well() -> None:
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.request("2", upload="v", size=4)
    assert actor.requests.waits_for("v", "you/")
    run(actor.uploads.fenced("v", "you/", 4))
    assert not actor.failed
    run(actor.uploads.fenced("u", "you/", 4))
    assert [text[0] for text in actor.failed] == ["1", "2"]
    assert not actor.requests.waits_for("v", "you/")


def test_a_fence_behind_a_whole_payload_changes_nothing() -> None:
    actor = Actor()
    actor.chunk(0, b"ab", uses=2)
    actor.request("1", upload="u", size=2)
    assert not actor.requests.waits_for("u", "you/")
    run(actor.uploads.fenced("u", "you/", 2))
    actor.request("2", upload="u", size=2)
    assert actor.got == [("1", b"ab"), ("2", b"ab")]
    assert actor.uploads.fenced("u", "you/", 2) == []


def test_a_chunk_of_another_sender_under_the_same_id_harms_no_upload() -> None:
    """Whoever shares an upload with others knows its id."""
    actor = Actor()
    actor.request("1", upload="u", size=4)
    actor.chunk(0, b"ab")
    run(actor.uploads.take("mallory/", chunk(1, b"xx"), b"xx"))
    run(actor.uploads.take("mallory/", chunk(0, b"xx"), b"xx"))
    actor.chunk(1, b"cd")
    assert actor.got == [("1", b"abcd")]
    assert not actor.failed


def test_a_chunk_of_another_sender_under_the_same_id_harms_no_transfer() -> None:
    transfers = Transfers()
    transfers.take("you/", chunk(0, b"ab"), b"ab", 1)
    with pytest.raises(TransferError, match="out of order"):
        transfers.take("mallory/", chunk(1, b"xx"), b"xx", 2)
    transfers.take("you/", chunk(1, b"cd"), b"cd", 3)
    arrival = transfers.finish("you/", {"transfer": "u", "size": 4})
    assert bytes(arrival.data.frame()) == b"abcd"
    assert arrival.tags == [1, 3]

"""Payloads in pieces: the memory they come together in."""

from __future__ import annotations

import pytest

from roleml.messaging.codec import Codec
from roleml.messaging.rabbitmq.assembly import HUGE_BYTES, Assembly
from roleml.messaging.rabbitmq.transfers import CHUNK_BYTES, chunks_of, size_of

PIECES = [b"a" * HUGE_BYTES, b"b" * 100, b"c" * HUGE_BYTES]
WHOLE = b"".join(PIECES)


@pytest.mark.parametrize("total", [None, 0, -1, "many", HUGE_BYTES, len(WHOLE), len(WHOLE) + 1, 1 << 70])
def test_whatever_was_announced_what_came_is_there(total: object) -> None:
    assembly = Assembly(total)
    for piece in PIECES:
        assembly.append(piece)
    assert len(assembly) == len(WHOLE)
    assert assembly.frame() == WHOLE


def test_chunks_are_the_frame_in_order_across_its_parts() -> None:
    value = [bytes([number]) * (CHUNK_BYTES // 2 + number) for number in range(5)]
    body = Codec().encode(value)
    chunks = list(chunks_of(body))
    assert b"".join(chunks) == body.to_frame()
    assert {len(chunk) for chunk in chunks[:-1]} == {CHUNK_BYTES}
    assert size_of(body) == len(body.to_frame())


def test_a_chunk_is_a_copy() -> None:
    memory = bytearray(2 * CHUNK_BYTES)
    chunks = chunks_of(Codec().encode(memory))
    first = next(chunks)
    memory[:] = b"\1" * len(memory)
    assert not any(first[-1000:])

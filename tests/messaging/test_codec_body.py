"""The frame in which a body crosses a wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.codec import Body
from roleml.messaging.exceptions import DecodeError

bodies = st.builds(
    lambda header, buffers: Body(header, tuple(map(memoryview, buffers))),
    st.binary(max_size=50),
    st.lists(st.binary(max_size=50), max_size=5),
)


@given(bodies, st.sampled_from([bytes, bytearray, memoryview]))
def test_a_frame_gives_back_header_and_buffers(body: Body, kind: type) -> None:
    back = Body.from_frame(kind(body.to_frame()))
    assert back.header == body.header
    assert back.buffers == body.buffers
    assert back.nbytes == body.nbytes


@given(bodies)
def test_the_parts_are_the_frame(body: Body) -> None:
    assert b"".join(body.parts()) == body.to_frame()


def test_the_parts_are_not_copies() -> None:
    memory = bytearray(10)
    parts = list(Body(b"h", (memoryview(memory),)).parts())
    memory[0] = 1
    assert parts[-1][0] == 1


def test_the_buffers_of_a_frame_are_not_copies() -> None:
    frame = bytearray(Body(b"h", (memoryview(b"abc"),)).to_frame())
    body = Body.from_frame(frame)
    frame[-1] = ord("z")
    assert bytes(body.buffers[0]) == b"abz"
    assert bytes(body.snapshot().buffers[0]) == b"abz"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"", "shorter than its own prefix"),
        (b"PK\3\4" + bytes(20), "is not a RoleML frame"),
        (b"RMLb\2\0" + bytes(20), "has version 2, this RoleML reads version 1"),
        (b"RMLb\1\0" + b"\xff" * 4 + bytes(8), "cannot list 4294967295 buffers"),
        (Body(b"h").to_frame() + b"x", "announces 19 bytes but has 20"),
        (memoryview(bytes(24)).cast("d"), "flat bytes"),
    ],
)
def test_what_is_not_a_whole_frame_is_refused_with_the_reason(frame: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        Body.from_frame(frame)


def test_a_body_shows_sizes_and_not_content() -> None:
    assert repr(Body(b"secret", (memoryview(b"x"),))) == "<Body of 7 bytes: header 6, 1 buffers>"

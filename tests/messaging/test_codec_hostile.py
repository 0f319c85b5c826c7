"""Whatever arrives, decoding gives a value or a DecodeError: soon, and in memory in proportion to it."""

from __future__ import annotations

import contextlib
import datetime as dt
import struct
import sys
import tracemalloc
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from roleml.messaging.codec import Body, Codec, register_dataclass, register_named_tuple
from roleml.messaging.codec_body import _PREFIX
from roleml.messaging.codec_table import ROWS, load_row
from roleml.messaging.exceptions import CodecError, DecodeError

codec = Codec()


@register_named_tuple
class Address(NamedTuple):
    actor: str
    role: str


@register_dataclass
@dataclass
class Report:
    loss: float
    where: Address


def tag(code: int) -> msgpack.ExtType:
    return msgpack.ExtType(code, b"")


def forged(value: Any, *buffers: bytes) -> Body:
    return Body(msgpack.packb(value), tuple(map(memoryview, buffers)))


def decode_or_refuse(body: Body) -> None:
    with contextlib.suppress(DecodeError):
        codec.decode(body)


VALID = codec.encode(
    {
        "args": {"ratio": 0.5, "n": 2**80, (1, "a"): {1, frozenset({2})}, "text": "x" * 40},
        "payloads": {
            "state": OrderedDict(w=torch.zeros(2, 3), b=torch.zeros(3, dtype=torch.bfloat16)),
            "x": [
                np.zeros((2, 2)),
                np.float32(1),
                np.dtype([("a", "i4")]),
                np.zeros(1, "M8[s]"),
                np.str_("a"),
            ],
            "when": [
                dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
                dt.timedelta(1),
                dt.date(1, 1, 1),
                dt.time(1),
            ],
            "who": Report(1.0, Address("a", "b")),
            "kind": [dt.timezone.utc, UUID(int=1), 1j, bytearray(5), b"y" * 5000],
        },
    }
).snapshot()
FRAME = VALID.to_frame()


@given(st.binary(max_size=200))
@example(b"")
def test_random_bytes_are_no_header(data: bytes) -> None:
    decode_or_refuse(Body(data))


@given(st.binary(max_size=200))
def test_random_bytes_are_no_frame(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Body.from_frame(data)
    with pytest.raises(DecodeError):
        Body.from_frame(FRAME[:8] + data)


@given(st.data())
def test_a_damaged_header_is_a_value_or_a_decode_error(data: st.DataObject) -> None:
    header = bytearray(VALID.header)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(header) - 1))
        kind = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        new = data.draw(st.binary(min_size=1, max_size=4)) if kind != "delete" else b""
        header[place : place + (0 if kind == "insert" else max(1, len(new)))] = new
    decode_or_refuse(Body(bytes(header), VALID.buffers))


@given(st.data())
def test_a_damaged_frame_is_a_value_or_a_decode_error(data: st.DataObject) -> None:
    frame = bytearray(FRAME)
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        codec.decode(Body.from_frame(frame))


def test_every_truncation_is_a_decode_error() -> None:
    for end in range(len(VALID.header)):
        with pytest.raises(DecodeError):
            codec.decode(Body(VALID.header[:end], VALID.buffers))
    for end in range(len(FRAME)):
        with pytest.raises(DecodeError):
            Body.from_frame(FRAME[:end])


msgpack_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=20)
    | st.sampled_from(["<f8", "|O", "torch.float32", "RED", "enum:Enum", f"{__name__}:Report", "loss"]),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
TAGS = [row.tag for row in ROWS] + [64, 65, 66, 67, 68, 80, 81, 82, 127, 0, 99]


@pytest.mark.parametrize("code", TAGS)
@given(parts=st.lists(msgpack_values, max_size=9))
@example(parts=[])
@example(parts=[b""])
@example(parts=[0])
@example(parts=[2**64 - 1])
@example(parts=["x"])
@example(parts=[[]] * 9)
@example(parts=[10**9] * 9)
def test_no_row_trusts_its_parts(code: int, parts: list[Any]) -> None:
    decode_or_refuse(forged([tag(code), *parts], bytes(16)))


FORGERIES = {
    "an unknown tag": [tag(99)],
    "a tag of a package without that row": [tag(79)],
    "a negative tag": msgpack.ExtType(5, b"\0"),
    "a tag with data": [msgpack.ExtType(8, b"x"), 1],
    "a tag as the value": tag(8),
    "a tag in a list": [1, tag(8)],
    "a tag after a tag": [tag(8), tag(8)],
    "a tag in a dict": {"a": tag(8)},
    "a tag as key": {tag(8): 1},
    "a tag given to a class": [tag(33), f"{__name__}:Address", tag(8), 1],
    "a list as key": [tag(12), [1], 2],
    "a dict in a set": [tag(9), {}],
    "an array as key": [tag(12), [tag(64), "|u1", [1], 0], 1],
    "a key without value": [tag(12), 1],
    "a buffer that is not there": [tag(2), 7],
    "a negative buffer": [tag(2), -1],
    "a buffer by name": [tag(2), "0"],
    "a buffer that is true": [tag(2), True],
    "a buffer twice": [[tag(2), 0], [tag(2), 0]],
    "a buffer for nothing": [],
    "bytes made of a size": [tag(3), 10**12],
    "a codec by name": [tag(67), b"x", "idna"],
    "a day that there is not": [tag(16), b"\x00\x00\x01\xff"],
    "a decimal of a number": [tag(5), 1],
    "a decimal of a large number": [tag(5), [tag(1), b"\x7f" * 4_000_000]],
    "a pickle": [tag(127), b"cos\nsystem\n(S'true'\ntR."],
}


@pytest.mark.parametrize("form", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_a_decode_error(form: Any) -> None:
    with pytest.raises(DecodeError):
        codec.decode(forged(form, b"x"))


@pytest.mark.parametrize("name", ["qint8", "quint8", "qint32", "quint4x2", "quint2x4"])
@pytest.mark.parametrize("items", [0, 1, 2])
def test_a_tensor_that_would_bring_the_process_down_is_a_decode_error(name: str, items: int) -> None:
    dtype = getattr(torch, name)
    with pytest.raises(DecodeError, match="not made of memory alone"):
        codec.decode(forged([tag(80), str(dtype), [items], 0], bytes(items * dtype.itemsize)))


def test_a_module_is_not_imported_because_a_message_names_a_codec() -> None:
    with pytest.raises(DecodeError):
        codec.decode(forged([tag(67), b"x", "punycode"]))
    assert "encodings.punycode" not in sys.modules


@pytest.mark.parametrize("depth", [1_025, 2_000, 200_000])
@pytest.mark.parametrize(
    "opening", [b"\x91", b"\x92\xc7\x00\x08", b"\x81\xa1a", b"\x81", b"\x92\xc7\x00\x09"]
)
def test_nesting_beyond_the_limit_is_a_decode_error(opening: bytes, depth: int) -> None:
    with pytest.raises(DecodeError):
        codec.decode(Body(opening * depth + b"\xc0" * (depth + 1)))


@pytest.mark.parametrize("opening", [b"\x91", b"\x92\xc7\x00\x08", b"\x81\xa1a", b"\x92\xc7\x00\x0a"])
def test_nesting_up_to_the_limit_of_the_parser_is_harmless(opening: bytes) -> None:
    decode_or_refuse(Body(opening * 1_000 + b"\xc0"))


def test_nested_bytes_of_extension_types_are_not_parsed_again_and_again() -> None:
    data = b"\xc0"
    for _ in range(500):
        data = msgpack.packb(msgpack.ExtType(8, data))
    with pytest.raises(DecodeError, match="has data of its own"):
        codec.decode(Body(data))


def alike(n: int) -> list[Any]:
    """As many different integers, all with one hash."""
    values = [i * sys.hash_info.modulus + (1 << 80) for i in range(n)]
    return [[tag(1), value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)] for value in values]


MANY_ALIKE = alike(2_000)
TABLES = {
    "a set": [tag(9), *MANY_ALIKE],
    "a frozenset": [tag(10), *MANY_ALIKE],
    "a set of tuples": [tag(9), *([tag(8), each, "x"] for each in MANY_ALIKE)],
    "a dict": [tag(12), *(part for each in MANY_ALIKE for part in (each, None))],
    "an ordered dict": [tag(13), None, *(part for each in MANY_ALIKE for part in (each, None))],
    "a counter": [tag(14), *(part for each in MANY_ALIKE for part in (each, 1))],
}


@pytest.mark.parametrize("form", TABLES.values(), ids=TABLES)
def test_keys_that_were_chosen_for_their_hash_are_a_decode_error(form: Any) -> None:
    with pytest.raises(DecodeError, match="2000 of 2000 keys have the same hash"):
        codec.decode(forged(form))


@pytest.mark.parametrize(
    "value",
    [set(range(50_000)), {(i, -i): i for i in range(50_000)}, {float(i) for i in range(-9_000, 9_000)}],
)
def test_tables_that_are_just_large_are_read(value: Any) -> None:
    assert codec.decode(codec.encode(value)) == value


SIZES = {
    "a list": b"\xdd\xff\xff\xff\xff",
    "a dict": b"\xdf\xff\xff\xff\xff",
    "bytes": b"\xc6\xff\xff\xff\xff",
    "text": b"\xdb\xff\xff\xff\xff",
    "an extension": b"\xc9\xff\xff\xff\xff\x08",
}


@pytest.mark.parametrize("opening", SIZES.values(), ids=SIZES)
def test_a_size_that_is_only_announced_costs_nothing(opening: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(Body(opening))


def test_many_nested_lists_that_announce_what_they_lack_cost_nothing() -> None:
    filler = b"\xc0" * 1_000_000
    header = b"\xdd".join([b""] + [struct.pack(">I", 900_000)] * 1_000) + filler
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            codec.decode(Body(header))
        assert tracemalloc.get_traced_memory()[1] < 10 * len(header)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [2**32 - 1, 10**6])
def test_a_frame_that_announces_more_than_it_has_costs_nothing(count: int) -> None:
    with pytest.raises(DecodeError):
        Body.from_frame(_PREFIX.pack(b"RMLb", 1, count, 0))
    with pytest.raises(DecodeError):
        Body.from_frame(_PREFIX.pack(b"RMLb", 1, 0, 2**63))
    with pytest.raises(DecodeError):
        Body.from_frame(_PREFIX.pack(b"RMLb", 1, 1, 2**64 - 1) + struct.pack("<Q", 1))


@register_dataclass
@dataclass
class Hungry:
    x: int

    def __post_init__(self) -> None:
        raise {1: MemoryError, 2: RecursionError, 3: AssertionError, 4: StopIteration}[self.x]("no")


@pytest.mark.parametrize("x", [1, 2, 3, 4, 5])
def test_a_class_that_breaks_while_it_is_made_is_a_decode_error(x: int) -> None:
    with pytest.raises(DecodeError):
        codec.decode(forged([tag(32), f"{__name__}:Hungry", "x", x]))


def test_the_error_stays_short_whatever_was_sent() -> None:
    for form in ([tag(34), "x" * 10**6, "y"], [tag(32), "z" * 10**6], [tag(64), "q" * 10**6, [], 0]):
        with pytest.raises(DecodeError) as caught:
            codec.decode(forged(form, b"x"))
        assert len(str(caught.value)) < 1_000


class Loud(NamedTuple):
    value: int

    def __repr__(self) -> str:
        raise AssertionError("somebody wants to see it")


LOUD = [tag(33), f"{__name__}:Loud", 1]
SHOWN = {
    "the number of a buffer": [tag(2), LOUD],
    "the name of an enum": [tag(34), LOUD],
    "a member of an enum": [tag(34), f"{__name__}:Colour", LOUD],
    "a dtype of numpy": [tag(64), LOUD, [1], 0],
    "a dtype of torch": [tag(80), LOUD, [1], 0],
    "a field": [tag(32), f"{__name__}:Report", LOUD, 1],
}


@pytest.mark.parametrize("form", SHOWN.values(), ids=SHOWN)
def test_an_error_does_not_show_what_a_class_would_have_to_show(form: Any) -> None:
    register_named_tuple(Loud)
    with pytest.raises(DecodeError, match="a Loud"):
        codec.decode(forged(form, b"x"))


class Colour(Enum):
    RED = 1


def test_every_tag_is_of_one_row() -> None:
    assert len({load_row(code).tag for code in TAGS[:-2]}) == len(TAGS) - 2
    with pytest.raises(DecodeError, match="type tag 99 is unknown"):
        load_row(99)


def test_codec_errors_are_one_family() -> None:
    assert issubclass(DecodeError, CodecError)

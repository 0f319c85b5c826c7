"""Our encoding of properties is pika's."""

from __future__ import annotations

import datetime as dt
import struct
from typing import Any

import pika
import pika.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.rabbitmq.properties import MAX_DEPTH, UNREADABLE, Properties, decode_properties

short = st.text(max_size=60)
values: Any = st.recursive(
    st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3),
    max_leaves=5,
)
headers = st.dictionaries(short | st.sampled_from(["id", "kind", "CC"]), values, max_size=6)
FIELDS = list(vars(pika.BasicProperties()))


@given(headers, short, short, st.booleans(), st.none() | st.integers(1, 100))
def test_what_is_encoded_is_what_pika_encodes(
    table: dict[str, Any], message: str, user: str, persistent: bool, expires_s: int | None
) -> None:
    ours = Properties(
        headers=table, message_id=message, user_id=user, persistent=persistent, expires_s=expires_s
    )
    expiration = None if expires_s is None else str(expires_s * 1000)
    mode = 2 if persistent else 1
    pikas = pika.BasicProperties(
        headers=table, message_id=message, user_id=user, delivery_mode=mode, expiration=expiration
    )
    assert b"".join(ours.encode()) == b"".join(pikas.encode())


texts = st.none() | short


@given(st.none() | headers, texts, texts, texts, texts, texts, st.none() | st.integers(1, 2))
def test_what_is_decoded_is_what_pika_decodes(
    table: Any, message: Any, user: Any, expiration: Any, kind: Any, reply_to: Any, mode: Any
) -> None:
    encoded = b"".join(
        pika.BasicProperties(
            headers=table, message_id=message, user_id=user, expiration=expiration, delivery_mode=mode,
            type=kind, reply_to=reply_to,
        ).encode()
    )  # fmt: skip
    ours, pikas = decode_properties(encoded), pika.BasicProperties().decode(encoded)
    assert {name: getattr(ours, name) for name in FIELDS} == {name: getattr(pikas, name) for name in FIELDS}


def test_bytes_that_are_no_text_stay_bytes() -> None:
    encoded = b"".join(Properties(headers={"k": "v"}, message_id="m", user_id="u").encode())
    damaged = encoded.replace(b"v", b"\xff")
    assert decode_properties(damaged).headers == {"k": b"\xff"}


def test_a_text_that_is_too_long_says_so() -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        Properties(headers={}, message_id="m" * 256, user_id="u").encode()


def with_table(table: bytes, kind: str | None = None) -> bytes:
    """Properties with these headers, a message id and a user; with a ``type`` they are not only our own."""
    encoded = b"".join(pika.BasicProperties(headers={}, message_id="m", user_id="u", type=kind).encode())
    return encoded[:2] + struct.pack(">I", len(table)) + table + encoded[6:]


def lists(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\1x" + value


BAD_TABLES = {
    "a time that no calendar has": b"\1xT" + struct.pack(">Q", 2**63),
    "a time after the year 9999": b"\1xT" + struct.pack(">Q", 300_000_000_000),
    "a fraction that is no number": b"\1xd" + struct.pack(">d", float("nan")),
    "a fraction without end": b"\1xf" + struct.pack(">f", float("inf")),
    "a type that there is not": b"\1x?",
    "lists in lists": lists(MAX_DEPTH + 1),
    "lists in lists without end": lists(5000),
    "a text beyond its table": b"\1xS" + struct.pack(">I", 3) + b"ab",
    "a list beyond its table": b"\1xA" + struct.pack(">I", 3) + b"t",
    "a name alone": b"\1x",
}


@pytest.mark.parametrize("kind", [None, "of another library"])
@pytest.mark.parametrize("table", BAD_TABLES.values(), ids=BAD_TABLES)
def test_headers_that_pika_cannot_read_are_noted_and_nothing_else_is_lost(
    table: bytes, kind: str | None
) -> None:
    properties = decode_properties(with_table(b"\1a" + b"t\1" + table, kind))
    assert set(properties.headers) == {UNREADABLE}
    assert (properties.message_id, properties.user_id, properties.type) == ("m", "u", kind)


def test_headers_of_a_sane_depth_are_read() -> None:
    properties = decode_properties(with_table(lists(MAX_DEPTH) + b"\1tT" + struct.pack(">Q", 86_400)))
    assert properties.headers["t"] == dt.datetime(1970, 1, 2, tzinfo=dt.timezone.utc)
    assert "[" * MAX_DEPTH + "None" in repr(properties.headers["x"])


@pytest.mark.parametrize("kind", [None, "of another library"])
def test_flags_that_a_broker_ignores_are_ignored(kind: str | None) -> None:
    encoded = with_table(b"\1xt\1", kind)
    for bits in (1, 2, 3):
        properties = decode_properties(bytes((encoded[0], encoded[1] | bits)) + encoded[2:])
        assert (properties.headers, properties.message_id, properties.type) == ({"x": True}, "m", kind)


def test_properties_that_are_cut_short_end_the_connection() -> None:
    for kind in (None, "of another library"):
        encoded = with_table(b"\1xt\1", kind)
        for size in (0, 1, 2, 5):
            with pytest.raises(pika.exceptions.InvalidFrameError):
                decode_properties(encoded[:size])

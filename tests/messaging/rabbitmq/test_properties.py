"""Our encoding of properties is pika's."""

from __future__ import annotations

from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.rabbitmq.properties import Properties, decode_properties

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

"""Message properties as bytes, and back, faster than pika does it; what is rare is left to pika.

Most headers are short texts that come again in every message between two roles: they are encoded once.

A broker passes on headers that pika cannot read: lists in lists in lists, times after the year 9999. pika
would end the connection, the broker would deliver the message again, and so on for ever. Here they are noted
as `UNREADABLE`, for the gate to turn away.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pika
import pika.data
import pika.exceptions

__all__ = ["UNREADABLE", "Properties", "decode_properties"]

#: stands alone in the place of headers that cannot be read; its value says why
UNREADABLE = "unreadable"
#: Of tables and lists in headers. The broker's own, on where a message died, has three levels.
MAX_DEPTH = 16

_HEADERS, _DELIVERY_MODE, _EXPIRATION, _MESSAGE_ID, _USER_ID = 1 << 13, 1 << 12, 1 << 8, 1 << 7, 1 << 4
_MEANT = 0xFFFC  # a broker ignores the two lowest bits; for pika, one says that further flags follow
_BEFORE_HEADERS = (1 << 15, 1 << 14)  # two short texts: type and encoding of the content
_KNOWN = _HEADERS | _DELIVERY_MODE | _EXPIRATION | _MESSAGE_ID | _USER_ID
_TEXT, _TABLE, _LIST = b"SFA"
_CUT_SHORT = (IndexError, struct.error)
#: of headers whose values hardly ever come again
_UNIQUE = frozenset(("id", "transfer", "seal"))

_flags = struct.Struct(">H")
_size = struct.Struct(">I")


class Properties(pika.BasicProperties):  # type: ignore[misc]  # pika ships no types
    """The properties that our messages have; pika's others are absent."""

    headers: Any
    content_type = content_encoding = priority = correlation_id = reply_to = timestamp = type = None
    app_id = cluster_id = headers = delivery_mode = expiration = message_id = user_id = None

    def __init__(
        self,
        *,
        headers: Mapping[str, Any],
        message_id: str,
        user_id: str,
        persistent: bool = False,
        expires_s: float | None = None,
    ) -> None:
        self.headers = headers
        self.message_id = message_id
        self.user_id = user_id
        self.delivery_mode = 2 if persistent else 1
        self.expiration = None if expires_s is None else str(int(expires_s * 1000))

    def encode(self) -> list[bytes]:
        flags = _HEADERS | _DELIVERY_MODE | _MESSAGE_ID | _USER_ID
        entries = [_entry(name, value) for name, value in self.headers.items()]
        pieces = [
            b"",
            _size.pack(sum(map(len, entries))),
            *entries,
            b"\2" if self.delivery_mode == 2 else b"\1",
        ]
        if self.expiration is not None:
            flags |= _EXPIRATION
            pieces.append(_short(self.expiration))
        pieces += (_short.__wrapped__(self.message_id), _short(self.user_id))
        pieces[0] = _flags.pack(flags)
        return pieces


def decode_properties(encoded: bytes) -> Any:
    """What pika makes of it, but for headers that it cannot read.

    Raises:
        pika.exceptions.InvalidFrameError: these are no properties.
    """
    try:
        flags = _flags.unpack_from(encoded)[0] & _MEANT
        return _few(encoded, flags) if not flags & ~_KNOWN else _all(_flags.pack(flags) + encoded[2:], flags)
    except _CUT_SHORT as e:
        raise pika.exceptions.InvalidFrameError("the properties of a message are cut short") from e


def _few(encoded: bytes, flags: int) -> Properties:
    """The properties that our messages have."""
    properties, offset = Properties.__new__(Properties), 2
    if flags & _HEADERS:
        properties.headers, offset = _headers(encoded, offset)
    if flags & _DELIVERY_MODE:
        properties.delivery_mode = encoded[offset]
        offset += 1
    for flag, name in ((_EXPIRATION, "expiration"), (_MESSAGE_ID, "message_id"), (_USER_ID, "user_id")):
        if flags & flag:
            end = offset + 1 + encoded[offset]
            setattr(properties, name, _text(encoded[offset + 1 : end]))
            offset = end
    return properties


def _all(encoded: bytes, flags: int) -> Any:
    if not flags & _HEADERS:
        return pika.BasicProperties().decode(encoded)
    start = 2
    for flag in _BEFORE_HEADERS:
        if flags & flag:
            start += 1 + encoded[start]
    headers, end = _headers(encoded, start)
    properties = pika.BasicProperties().decode(encoded[:start] + bytes(4) + encoded[end:])
    properties.headers = headers
    return properties


def _entry(name: str, value: Any) -> bytes:
    if type(value) is str:
        return _text_entry.__wrapped__(name, value) if name in _UNIQUE else _text_entry(name, value)
    pieces: list[bytes] = [_short(name)]
    pika.data.encode_value(pieces, value)
    return b"".join(pieces)


@lru_cache(4096)
def _text_entry(name: str, value: str) -> bytes:
    text = value.encode()
    return b"".join((_short(name), b"S", _size.pack(len(text)), text))


@lru_cache(1024)
def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"{text[:40]!r}... is longer than the 255 bytes that AMQP has for it")
    return bytes((len(encoded),)) + encoded


def _headers(encoded: bytes, start: int) -> tuple[dict[Any, Any], int]:
    (size,) = _size.unpack_from(encoded, start)
    end = start + 4 + size
    try:
        table, offset = _table(encoded, start, MAX_DEPTH)
    # a time beyond what datetime has is any of the next three, by platform and Python
    except (ValueError, OverflowError, OSError, pika.exceptions.AMQPError, *_CUT_SHORT) as e:
        return {UNREADABLE: f"{type(e).__name__}: {e}"[:200]}, end
    return (table, end) if offset == end else ({UNREADABLE: "they have another size than they say"}, end)


def _table(encoded: bytes, offset: int, depth: int) -> tuple[dict[Any, Any], int]:
    table: dict[Any, Any] = {}
    (size,) = _size.unpack_from(encoded, offset)
    offset += 4
    end = offset + size
    while offset < end:
        start = offset + 1
        offset = start + encoded[offset]
        name = _text(encoded[start:offset])
        if encoded[offset] == _TEXT:
            (size,) = _size.unpack_from(encoded, offset + 1)
            start = offset + 5
            offset = start + size
            table[name] = _text(encoded[start:offset])
        else:
            table[name], offset = _value(encoded, offset, depth)
    return table, offset


def _value(encoded: bytes, offset: int, depth: int) -> tuple[Any, int]:
    kind = encoded[offset]
    if kind not in (_TABLE, _LIST):
        return pika.data.decode_value(encoded, offset)  # type: ignore[no-any-return]  # pika ships no types
    if not depth:
        raise ValueError(f"they are nested deeper than {MAX_DEPTH} levels")
    if kind == _TABLE:
        return _table(encoded, offset + 1, depth - 1)
    (size,) = _size.unpack_from(encoded, offset + 1)
    offset += 5
    values, end = [], offset + size
    while offset < end:
        value, offset = _value(encoded, offset, depth - 1)
        values.append(value)
    return values, offset


def _text(encoded: bytes) -> str | bytes:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded

"""Writes ``corpus/``: small inputs from which the fuzzer sets out, and each that ever broke a promise.

``python -m tests.fuzz.seeds``. What a run finds is added to `found` by hand, shortened, under a name that
says what went wrong; so the corpus can always be made again when a format changes.
"""

from __future__ import annotations

import datetime as dt
import struct
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgpack
import numpy as np
import pika
import torch

from roleml.messaging.codec import Codec
from roleml.messaging.codec_rows import MANY_KEYS
from roleml.messaging.envelope import Answer, Envelope, Failure, FailureKind, Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.transfers import checksum
from roleml.messaging.rabbitmq.wire import headers_of
from roleml.messaging.signing import Seals
from tests.fuzz.targets import EXCHANGES, KEYS, SIGNED_S, Address, Phase, Report, Right

__all__ = ["CORPUS", "seeds"]

CORPUS = Path(__file__).parent / "corpus"

codec = Codec()
CALL = Envelope(Kind.SERVICE, "1", ("alice", "boss"), ("bob", "worker"), "who")
TASK = Envelope(Kind.TASK, "2", ("alice", "boss"), ("bob", "worker"), "work")
RESULT = Envelope(Kind.RESULT, "3", ("alice", "boss"), ("bob", "worker"), "who", answer=Answer.VALUE)
EVENT = Envelope(Kind.EVENT, "", ("alice", "boss"), ("", ""), "done", 7)

VALUES: dict[str, Any] = {
    "plain": [None, True, -1, 2**64 - 1, 0.5, "text", b"bytes"],
    "numbers": [2**80, -(2**70), 1j, Decimal("1.10"), float("nan")],
    "containers": [(1, (2,)), {1}, frozenset({(2,)}), deque([1, 2], 2), {(1,): {}}, Counter("aab")],
    "ordered": OrderedDict(a=1, b=(2,)),
    "moments": [
        dt.date(2026, 1, 2),
        dt.time(1, 2, 3, 4, fold=1),
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc),
        dt.timedelta(1, 2, 3),
        dt.timezone(dt.timedelta(hours=1), "x"),
    ],
    "classes": [Address("a", "b"), Report(0.5, Address("c", "d")), Phase.TRAIN, Right.READ | Right.WRITE],
    "bytes": [UUID(int=5), bytearray(b"x"), b"y" * 4097],
    "numpy": [np.arange(4, dtype="<i2").reshape(2, 2), np.float32(1), np.str_("a"), np.bytes_(b"b")],
    "dtypes": [np.dtype("<M8[s]"), np.dtype([("a", "<i4"), ("b", "<f8", (2,))]), np.dtype("V0")],
    "structs": [np.zeros(2, [("a", "<i4"), ("b", "?")]), np.datetime64(5, "s"), np.void(b"abc")],
    "torch": [torch.zeros(2, 2), torch.ones(3, dtype=torch.bfloat16), torch.Size([1]), torch.int8],
    "failure": Failure(FailureKind.FAILED, "text", "ValueError", "trace").parts(),
    "message": ({"loss": 0.5, "phase": "train"}, {"w": np.zeros(2, "<f4")}),
}
ARGS: dict[str, dict[str, Any]] = {
    "numbers": {"a": 1, "b": 1.0, "c": True, "d": -0.0, "e": 2**70, "f": float("nan")},
    "others": {"a": None, "b": "train", "c": [1], "d": (1,), "e": {}, "f": Decimal(1)},
    "arrays": {"a": np.zeros(2, "u1"), "b": np.float64(1), "c": np.zeros(1, "u1")},
}


def tag(code: int) -> msgpack.ExtType:
    return msgpack.ExtType(code, b"")


def forged(*form: Any) -> bytes:
    packed: bytes = msgpack.packb(list(form))
    return packed


def encoded(headers: Mapping[str, Any], user: str | None = "alice", **more: Any) -> bytes:
    return b"".join(pika.BasicProperties(headers=headers, user_id=user, **more).encode())


def with_table(table: bytes) -> bytes:
    """Properties whose headers are these bytes."""
    whole = encoded({})
    return whole[:2] + struct.pack(">I", len(table)) + table + whole[6:]


def delivery(exchange: str, key: str, content: bytes) -> bytes:
    return bytes((EXCHANGES.index(exchange), KEYS.index(key))) + content


def records(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(struct.pack(">HH", len(one), len(other)) + one + other for one, other in pairs)


def chunk(index: int, piece: bytes, crc: int | str, **more: Any) -> tuple[bytes, bytes]:
    headers = {"kind": "chunk", "from": "alice/", "transfer": "t", "index": index, "crc": crc}
    return encoded(headers | more), piece


def deep_lists(levels: int) -> bytes:
    value = b"V"
    for _ in range(levels):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x01x" + value


def starting_points() -> dict[str, dict[str, bytes]]:
    bodies = {name: codec.encode(value).snapshot() for name, value in VALUES.items()}
    plain = bodies["message"].to_frame()
    (sealed,) = Seals(b"another key, of no use", now=lambda: SIGNED_S).sealed([CALL], bodies["plain"])
    died = {
        "x-death": [
            {"queue": "q.alice.@will", "reason": "expired", "count": 1, "time": dt.datetime(2026, 1, 1)}
        ],
        "x-first-death-queue": "q.alice.@will",
    }
    lost = {"kind": "presence", "actor": "alice", "state": "lost", "boot": "b"}
    whole = plain[:20], plain[20:]
    return {
        "frame": {name: body.to_frame() for name, body in bodies.items()},
        "header": {name: body.header for name, body in bodies.items()},
        "properties": {
            "call": delivery(names.CALL, names.call_key(CALL), encoded(headers_of(CALL), message_id="m-1")),
            "task": delivery(
                names.CALL, names.call_key(TASK), encoded(headers_of(TASK) | {"crashes": 1}, delivery_mode=2)
            ),
            "result": delivery(names.CALL, names.call_key(RESULT), encoded(headers_of(RESULT))),
            "event": delivery("x.alice.boss.done", "", encoded(headers_of(EVENT) | {"a.loss": "n:0.5"})),
            "sealed": delivery(names.CALL, names.call_key(CALL), encoded(headers_of(sealed))),
            "presence": delivery(names.PRESENCE, "alice.ready", encoded(lost | {"state": "ready"})),
            "will": delivery(names.PRESENCE, "alice.lost", encoded(lost | died)),
            "of-another-library": delivery(
                names.CALL, "", encoded({"x": [1, {"y": None}]}, type="t", timestamp=5, priority=1)
            ),
        },
        "chunks": {
            "two": records(
                chunk(0, whole[0], checksum(whole[0]), total=len(plain), uses={"bob": 1}),
                chunk(1, whole[1], checksum(whole[1]), size=len(plain)),
            ),
            "right": records(chunk(0, b"abc", "right"), chunk(1, b"d", "right", size=4)),
            "gap": records(chunk(0, b"abc", "right"), chunk(2, b"d", "right", size=4)),
            "huge": records(chunk(0, b"abc", "right", total=2**40, uses={"bob": -5})),
        },
        "seal": {
            "sealed": records((encoded(headers_of(sealed)), bodies["plain"].to_frame())),
            "other-letters": records(
                (encoded(headers_of(CALL) | {"seal": "1.1.1.\N{SNOWMAN}"}), codec.encode(1).to_frame())
            ),
            "none": records((encoded(headers_of(CALL)), plain)),
            "junk": records((encoded(headers_of(CALL) | {"seal": "1.0.n.0"}), plain)),
            "pickle": records((encoded(headers_of(CALL)), Codec(allow_pickle=True).encode(range).to_frame())),
        },
        "conditions": {name: codec.encode(args).header for name, args in ARGS.items()},
    }


def found() -> dict[str, dict[str, bytes]]:
    """What broke a promise once. The ``slow`` ones are shortened; `test_codec_hostile` has them at length."""
    keys = [i * sys.hash_info.modulus + (1 << 80) for i in range(MANY_KEYS + 1)]
    alike = [[tag(1), key.to_bytes(key.bit_length() // 8 + 1, "big", signed=True)] for key in keys]
    return {
        "header": {
            "found-day-that-there-is-not": forged(tag(16), b"\x00\x00\x01\xff"),
            "slow-decimal-of-an-int": forged(tag(5), [tag(1), b"\x7f" * 100]),
            "found-tensor-that-ends-the-process": forged(tag(80), "torch.quint8", [4], 0),
            "found-tensor-for-a-number": forged(tag(2), [tag(80), "torch.int8", [4], 0]),
            "found-numpy-text-that-ends-in-nothing": forged(tag(67), "a\0"),
            "slow-keys-of-one-hash": forged(tag(9), *alike),
        },
        "properties": {
            "found-time-that-no-calendar-has": b"\0\0" + with_table(b"\x01xT" + struct.pack(">Q", 2**63)),
            "found-flags-that-mean-nothing": b"\0\0" + b"\x20\x11" + encoded({"x": True})[2:],
            "found-lists-in-lists": b"\0\0" + with_table(deep_lists(1500)),
        },
        "conditions": {
            "found-decimal-that-is-no-number": codec.encode({"a": Decimal("sNaN")}).header,
        },
    }


def seeds() -> dict[str, dict[str, bytes]]:
    """For each target the inputs by name."""
    return {target: each | found().get(target, {}) for target, each in starting_points().items()}


def main() -> None:
    for target, inputs in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()

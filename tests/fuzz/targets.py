"""What a stranger's bytes may do to us, one function for each place where we read them.

A target takes any bytes and returns ``None``. It raises `Violation`, or whatever escaped, when a promise is
broken: only the documented error leaves the reader; nothing received runs code; memory stays in proportion to
the input; what decodes, encodes again, to an equal value. `checked` adds what holds for all of them.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
import sys
import tracemalloc
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import pika.exceptions
import torch

from roleml.core.actor.conditions import OPERATORS, Condition, check_conditions
from roleml.messaging.codec import MAX_DEPTH, Body, Codec, register_dataclass, register_named_tuple
from roleml.messaging.codec_table import load_row
from roleml.messaging.envelope import Envelope, Failure
from roleml.messaging.exceptions import DecodeError, EncodeError
from roleml.messaging.filters import filter_of, passes, stamps_of
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.gate import Delivery, Gate, RejectedError
from roleml.messaging.rabbitmq.properties import decode_properties
from roleml.messaging.rabbitmq.transfers import TransferError, Transfers, checksum
from roleml.messaging.rabbitmq.uploads import Uploads
from roleml.messaging.rabbitmq.wire import MalformedError, envelope_of, headers_of
from roleml.messaging.signing import Seals

__all__ = ["TARGETS", "Violation", "checked"]

Target = Callable[[bytes], None]

#: A header of 4 KiB may announce lists in lists that it does not hold: see CHECKED_BYTES of the codec.
MEMORY_BYTES, MEMORY_FACTOR = 48 << 20, 1000


class Violation(AssertionError):
    """A promise was broken."""


# -- an application's classes -----------------------------------------------------------------------------


@register_named_tuple
class Address(NamedTuple):
    actor: str
    role: str


@register_dataclass
@dataclasses.dataclass
class Report:
    loss: float
    where: Any = None


class Phase(enum.Enum):
    TRAIN = "train"
    TEST = "test"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


# -- what holds for all -----------------------------------------------------------------------------------

_RUNS_CODE = frozenset(
    ("pickle.find_class", "exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork",
     "subprocess.Popen", "ctypes.dlopen", "socket.connect", "open", "os.remove", "os.rename")
)  # fmt: skip
_watching, _ran = [False], list[str]()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching[0] and event in _RUNS_CODE:
        _ran.append(f"{event} {arguments!r}"[:200])


@contextmanager
def _nothing_runs() -> Iterator[None]:
    if _audit not in _hooked:
        sys.addaudithook(_audit)
        _hooked.append(_audit)
    _ran.clear()
    _watching[0] = True
    try:
        yield
    finally:
        _watching[0] = False
    if _ran:
        raise Violation(f"bytes from the wire ran code: {_ran}")


_hooked: list[Any] = []


def checked(target: Target, data: bytes) -> None:
    """Run a target, and see that it runs no code and takes no more memory than the input deserves."""
    limit = MEMORY_BYTES + MEMORY_FACTOR * len(data)
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        with _nothing_runs():
            target(data)
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()
    if taken > limit:
        raise Violation(f"{len(data)} bytes took {taken} bytes of memory, more than {limit}")


# -- bodies -----------------------------------------------------------------------------------------------

codec = Codec()
for code in (64, 80, 127):  # numpy, torch and pickle are imported when the first of their values comes
    load_row(code)
codec.decode(codec.encode([np.zeros(1), torch.zeros(1)]).snapshot())  # and some of theirs with that


def frame(data: bytes) -> None:
    """A body as it comes: header and buffers."""
    try:
        body = Body.from_frame(data)
    except DecodeError:
        return
    if body.to_frame() != data:
        raise Violation("a frame that was read is written otherwise")
    _decode(body)


def header(data: bytes) -> None:
    """A header alone, and with a few buffers that it may ask for."""
    _decode(Body(data))
    _decode(Body(data, (memoryview(b"\x01\x02\x03\x04"), memoryview(bytes(16)))))


def _decode(body: Body) -> None:
    try:
        value = codec.decode(body)
    except DecodeError as e:
        if len(str(e)) > 1000:
            raise Violation(f"an error of {len(str(e))} characters") from e
        return
    try:
        again = codec.encode(value)
    except EncodeError as e:
        if f"deeper than {MAX_DEPTH} levels" not in str(e):
            raise Violation(f"what was decoded is not encoded: {e}") from e
        return
    copy = codec.decode(Body.from_frame(again.to_frame()))
    if described(copy) != described(value):
        raise Violation(f"{value!r:.200} comes back as {copy!r:.200}")
    with suppress(ValueError):
        Failure.of_parts(value)


def described(value: Any) -> Any:
    """A value as data that is equal only for values that are the same, NaN and -0.0 and all."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, enum.Enum):
        return name, str(value._name_)
    if isinstance(value, torch.Tensor):
        flat = value.contiguous().reshape(-1)
        return name, str(value.dtype), tuple(value.shape), bytes(flat.view(torch.uint8).numpy().data)
    if isinstance(value, np.ndarray | np.generic):
        return name, repr(value.dtype), value.shape, value.tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return name, [described(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if kind in (set, frozenset):
        return name, sorted(map(repr, map(described, value)))
    if kind is deque:
        return name, value.maxlen, [described(each) for each in value]
    if kind in (dict, OrderedDict, Counter):
        pairs = [(described(key), described(each)) for key, each in value.items()]
        return name, pairs, described(vars(value)) if kind is OrderedDict else None
    if kind is int:
        return name, hex(value)
    if kind is float:
        return name, struct.pack(">d", value)
    if kind is complex:
        return name, struct.pack(">dd", value.real, value.imag)
    if isinstance(value, list | tuple):
        return name, [described(each) for each in value]
    return name, repr(value)


# -- headers ----------------------------------------------------------------------------------------------

ME = "bob"
EXCHANGES = (
    names.CALL, names.PRESENCE, names.BOUNCE, "", "x.alice.boss.done", "x.mallory.boss.done",
)  # fmt: skip
KEYS = (
    "to.bob.worker.service.who", "to.bob.worker.task.work", "to.bob.@inbox", "alice.ready", "alice.lost", "",
)  # fmt: skip


def properties(data: bytes) -> None:
    """The properties of a message as the broker passes them on, and what the gate makes of them.

    Two bytes choose the exchange, the routing key, and whether identity is required.
    """
    if len(data) < 2:
        return
    exchange, key = EXCHANGES[data[0] % len(EXCHANGES)], KEYS[data[1] % len(KEYS)]
    try:
        found = decode_properties(data[2:])
    except pika.exceptions.InvalidFrameError:
        return
    headers = found.headers or {}
    delivery = Delivery(exchange, key, found.user_id, headers, 10)
    for identity in (True, False):
        try:
            envelope = Gate(ME, identity=identity).check(delivery)
        except RejectedError as e:
            if len(str(e)) > 1000:
                raise Violation(f"a rejection of {len(str(e))} characters") from e
            continue
        claimed = headers["actor" if headers.get("kind") == "presence" else "from"].partition("/")[0]
        put_back = found.user_id == ME and headers.get("kind") == "task"
        if identity and found.user_id != claimed and not put_back:
            raise Violation(f"user {found.user_id!r} passed for {claimed!r}")
        if envelope is not None:
            _envelope(envelope)
    with suppress(MalformedError):
        _envelope(envelope_of(headers))


def _envelope(envelope: Envelope) -> None:
    if envelope_of(headers_of(envelope)) != envelope:
        raise Violation(f"{envelope!r:.200} is not what its headers say")
    if len(names.inbox_key(envelope.source[0]).encode(errors="surrogatepass")) > 255:
        raise Violation("its sender cannot be answered")


# -- bodies in pieces -------------------------------------------------------------------------------------


def chunks(data: bytes) -> None:
    """Announcements of chunks, each of them properties and a piece; the last one ends the transfer.

    Both are preceded by their sizes in two bytes. The checksum is made right where a header asks for that.
    """
    transfers, uploads = Transfers(), Uploads({ME})
    received = 0
    for number, (encoded, piece) in enumerate(_records(data)):
        try:
            headers = decode_properties(encoded).headers or {}
        except pika.exceptions.InvalidFrameError:
            continue
        if headers.get("crc") == "right":
            headers = headers | {"crc": checksum(piece)}
        source = headers.get("from")
        source = source if isinstance(source, str) else "alice/"
        received += len(piece)
        with suppress(TransferError):
            transfers.take(source, headers, piece, number)
        with suppress(TransferError):
            for waiting in uploads.take(source, headers, piece):
                waiting()
        _arriving(transfers, received)
        _arriving(uploads, received)
        with suppress(TransferError):
            arrival = transfers.finish(source, headers)
            if len(arrival.data.frame()) != headers["size"]:
                raise Violation("a transfer of another size than was announced")
        size = headers.get("size")
        if isinstance(size, int):
            with suppress(TransferError):
                payload = uploads.use(str(headers.get("transfer")), source, size)
                if payload is not None and len(payload) != size:
                    raise Violation("an upload of another size than was announced")
            for waiting in uploads.fenced(str(headers.get("transfer")), source, size):
                waiting()
    transfers.give_up(source="alice/")
    uploads.give_up(source="alice/")


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + 4 <= len(data):
        first, second = struct.unpack_from(">HH", data, start)
        middle = start + 4 + first
        yield data[start + 4 : middle], data[middle : middle + second]
        start = middle + second


def _arriving(held: Transfers | Uploads, received: int) -> None:
    if sum(each.nbytes for each in held.arriving()) > received:
        raise Violation("more is held than has come")


# -- signatures -------------------------------------------------------------------------------------------

KEY = b"the fuzzer does not know this key"
SIGNED_S = 1_700_000_000.0
trusting = Codec(allow_pickle=True)


def seal(data: bytes) -> None:
    """Headers with a signature, and a body, in the hands of somebody who has no key; nothing is unpickled."""
    for encoded, content in _records(data):
        try:
            envelope = envelope_of(decode_properties(encoded).headers)
            body = Body.from_frame(content)
        except (pika.exceptions.InvalidFrameError, MalformedError, DecodeError):
            continue
        seals = Seals(KEY, now=lambda: SIGNED_S)
        try:
            seals.opener(trusting, envelope, body)()
        except DecodeError:
            continue
        if envelope.seal:
            raise Violation(f"a seal was forged: {envelope.seal!r}")


# -- conditions of events ---------------------------------------------------------------------------------

WANTED: tuple[Any, ...] = (0, 1, True, 0.5, -0.0, "train", "", None, 2**70, (1,), [1], float("nan"))


def conditions(data: bytes) -> None:
    """The args of an event, against conditions of all operators: what holds passes the broker's filter."""
    try:
        args = codec.decode(Body(data))
    except DecodeError:
        return
    if type(args) is not dict:
        args = {"x": args}
    if not all(type(name) is str for name in args):
        return
    stamps = stamps_of(args)
    for name in (*args, "missing"):
        for wanted in (*WANTED, *args.values()):
            for operator in OPERATORS:
                condition = Condition(name, operator, wanted)
                holds = check_conditions(args, [condition])
                if holds and condition.is_equality and not passes(stamps, [filter_of([(name, wanted)])]):
                    raise Violation(f"{name!r} equals {wanted!r:.100} and is held back: {stamps!r:.200}")


TARGETS: dict[str, Target] = {
    target.__name__: target for target in (frame, header, properties, chunks, seal, conditions)
}

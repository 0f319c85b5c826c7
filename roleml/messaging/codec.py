"""A value and what travels in its place: a small msgpack header beside the raw memory of its arrays.

Types that travel, and come back as the same type:

- None, bool, int of any size, float, complex, str, bytes, bytearray, Decimal, UUID
- date, time, datetime, timedelta, timezone (no ZoneInfo: which rules it names depends on the machine)
- list, tuple, set, frozenset, deque, dict, OrderedDict, Counter, with anything above or below inside
- numpy arrays, scalars and dtypes; torch tensors, sizes and dtypes
- enum members, registered dataclasses and named tuples (see `register_dataclass`, `register_named_tuple`)

These change: memoryview becomes bytes, views of a dict become lists, a numpy memmap becomes an array, a torch
Parameter becomes a plain tensor, and every tensor arrives detached and on the CPU. Other subclasses of the
types above do not travel, so that nothing is lost in silence: a defaultdict does not, `dict(it)` does.

An object that occurs twice is sent twice and arrives as two independent ones; one that contains itself is
refused. `Codec(allow_pickle=True)` sends everything else by pickle.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgpack

from roleml.messaging.codec_body import Body
from roleml.messaging.codec_classes import register_dataclass, register_named_tuple
from roleml.messaging.codec_refused import Refused
from roleml.messaging.codec_rows import Row, Unsupported, shown
from roleml.messaging.codec_table import PLAIN, find_row, load_row, pickle_row, row_of
from roleml.messaging.exceptions import DecodeError, EncodeError

__all__ = ["Body", "Codec", "register_dataclass", "register_named_tuple"]

MAX_DEPTH = 100  # of nesting when encoding; when decoding, msgpack's parser refuses more than 1,024
INLINE_BYTES = 4096  # bytes up to this size travel in the header
NO_PICKLE = (
    "a pickled object was received, which could run code here. If every peer is trusted, "
    "set allow_pickle: true in this actor's configuration; else the sender must send data"
)
CHECKED_BYTES = 4096  # a header up to this size cannot announce enough to hurt


class Codec:
    """Turns values into bodies and back. It keeps no state: one serves any number of threads.

    With `allow_pickle`, whatever the type table lacks travels by pickle (cloudpickle, if installed). This
    lets every peer run code in this process: set it where all of them are trusted.
    """

    def __init__(self, *, allow_pickle: bool = False) -> None:
        self.allow_pickle = allow_pickle

    def encode(self, value: Any) -> Body:
        """The body of a value; arrays are not copied, see `Body.snapshot`.

        Raises EncodeError, which names the path and type of what cannot travel and the ways out.
        """
        out = _Outgoing(self.allow_pickle)
        try:
            form = out.write(value)
            try:
                header = msgpack.packb(form, default=out.integer, strict_types=True)
            except UnicodeEncodeError:  # lone surrogates, as in undecodable file names; rare, and slower
                header = msgpack.packb(
                    form, default=out.integer, strict_types=True, unicode_errors="surrogatepass"
                )
        except Refused as refused:
            raise refused.explained(value) from refused.__cause__
        except (ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
            # too large for msgpack, changed by another thread meanwhile, or called with little stack left
            raise EncodeError(f"cannot encode a {type(value).__name__}: {error}") from error
        return Body(header, tuple(out.buffers), out.pickled)

    def decode(self, body: Body, *, refuse_pickle: str = "") -> Any:
        """A fresh value: nothing in it is shared with the body or with other decoded values.

        Raises DecodeError for any bytes that are not a value of the type table; runs none of them, imports
        no module they name, and allocates no more than in proportion to their size. `refuse_pickle` says why
        this body may hold no pickle though others may.
        """
        source = _Incoming(refuse_pickle if self.allow_pickle else NO_PICKLE, body.buffers)
        try:
            if len(body.header) > CHECKED_BYTES:
                _check_complete(body.header)
            value = msgpack.unpackb(
                body.header,
                ext_hook=source.tag,
                list_hook=source.array,
                strict_map_key=False,
                timestamp=1,  # msgpack has one of its own, which we never send: let it be a float
                unicode_errors="surrogatepass",
            )
            source.finish()
        except DecodeError:
            raise
        except Exception as error:  # a stranger's bytes must not choose which exception the receiver dies of
            raise DecodeError(
                f"the body is not a value: {type(error).__name__}: {str(error)[:200]}"
            ) from error
        return value


def _check_complete(header: bytes) -> None:
    """Raise if the header announces more than it holds.

    msgpack allocates a list when it reads its length, so a few kilobytes of nested lengths would reserve
    gigabytes before the parser finds nothing behind them. Skipping over them first allocates nothing.
    """
    parser = msgpack.Unpacker(max_buffer_size=len(header))
    parser.feed(header)
    parser.skip()


# -- encoding ---------------------------------------------------------------------------------------------


class _Outgoing:
    """One value on its way out; see codec_rows.Encoding."""

    __slots__ = ("_allow_pickle", "_depth", "buffers", "pickled")

    def __init__(self, allow_pickle: bool) -> None:
        self.buffers: list[memoryview] = []
        self.pickled = False
        self._allow_pickle = allow_pickle
        self._depth = 0

    def write(self, value: Any) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return value
        if self._depth == MAX_DEPTH:
            raise Refused(value, f"is nested deeper than {MAX_DEPTH} levels, or contains itself")
        self._depth += 1
        native = _NATIVE.get(kind)
        form = native(self, value) if native else self.row(find_row(kind), value)
        self._depth -= 1
        return form

    def row(self, row: Row | None, value: Any) -> list[Any]:
        try:
            if row is None:
                raise Unsupported("")
            return [row.marker, *row.parts(value, self)]
        except Unsupported as unsupported:
            reason = str(unsupported)
        if not self._allow_pickle:
            raise Refused(value, reason)
        pickle = pickle_row()
        self.pickled = True
        try:
            return [pickle.marker, *pickle.parts(value, self)]
        except Unsupported as unsupported:
            raise Refused(value, str(unsupported)) from unsupported.__cause__

    def mapping(self, value: dict[Any, Any]) -> Any:
        if not PLAIN.issuperset(map(type, value)):
            return self.row(row_of(dict), value)
        if PLAIN.issuperset(map(type, value.values())):
            return value
        return {key: item if type(item) in PLAIN else self.write(item) for key, item in value.items()}

    def octets(self, value: bytes) -> Any:
        return value if len(value) <= INLINE_BYTES else self.row(row_of(bytes), value)

    def items(self, values: Collection[Any]) -> list[Any]:
        if PLAIN.issuperset(map(type, values)):
            return list(values)
        return [item if type(item) in PLAIN else self.write(item) for item in values]

    def pairs(self, mapping: Mapping[Any, Any]) -> list[Any]:
        return [self.write(part) for pair in mapping.items() for part in pair]

    def buffer(self, memory: memoryview) -> int:
        self.buffers.append(memory)
        return len(self.buffers) - 1

    def blob(self, data: bytes | bytearray | memoryview) -> bytes | int:
        return bytes(data) if len(data) <= INLINE_BYTES else self.buffer(memoryview(data))

    def integer(self, value: Any) -> list[Any]:
        """What msgpack asks for when an int is too large for it."""
        if type(value) is not int:
            raise TypeError(f"a {type(value).__name__} appeared while it was being encoded")
        return self.row(row_of(int), value)


# Values that need no row of their own, because msgpack can write what these return.
_NATIVE: dict[type[Any], Callable[[_Outgoing, Any], Any]] = {
    dict: _Outgoing.mapping,
    list: _Outgoing.items,
    bytes: _Outgoing.octets,
    memoryview: lambda out, view: out.octets(view.tobytes()),
    **{
        type(view): _Outgoing.items
        for mapping in (dict[Any, Any](), OrderedDict[Any, Any]())
        for view in (mapping.keys(), mapping.values(), mapping.items())
    },
}


# -- decoding ---------------------------------------------------------------------------------------------


class _Incoming:
    """One body on its way in; see codec_rows.Decoding."""

    __slots__ = ("_buffers", "_open_tags", "refuse_pickle")

    def __init__(self, refuse_pickle: str, buffers: tuple[memoryview, ...]) -> None:
        self.refuse_pickle = refuse_pickle
        self._buffers: list[memoryview | None] = list(buffers)
        self._open_tags = 0

    def tag(self, code: int, data: bytes) -> Row:
        if data:
            raise DecodeError(f"type tag {code} has data of its own")
        self._open_tags += 1
        return load_row(code)

    def array(self, parts: list[Any]) -> Any:
        if parts and type(parts[0]) is Row:
            self._open_tags -= 1
            return parts[0].value(parts[1:], self)
        return parts

    def buffer(self, index: Any) -> memoryview:
        if type(index) is not int or not 0 <= index < len(self._buffers):
            raise DecodeError(f"there is no buffer {shown(index)} among {len(self._buffers)}")
        memory = self._buffers[index]
        if memory is None:
            raise DecodeError(f"buffer {index} is used twice")
        self._buffers[index] = None
        return memory

    def blob(self, part: Any) -> bytes | memoryview:
        return part if type(part) is bytes else self.buffer(part)

    def finish(self) -> None:
        """Raise if something was sent that has no place in the value."""
        if self._open_tags:
            raise DecodeError("a type tag stands where a value should be")
        if unused := sum(buffer is not None for buffer in self._buffers):
            raise DecodeError(f"{unused} of {len(self._buffers)} buffers belong to no value")

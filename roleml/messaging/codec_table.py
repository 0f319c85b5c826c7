"""The types that travel, one row each: to add one, add a row. Heavy packages have a file of their own."""

from __future__ import annotations

import datetime as dt
import importlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from roleml.messaging.codec_classes import CLASS_ROWS, row_of_class
from roleml.messaging.codec_rows import Decoding, Encoding, Row, Unsupported, hashable, paired
from roleml.messaging.exceptions import DecodeError

__all__ = ["PLAIN", "find_row", "load_row", "pickle_row", "row_of"]


def _state_dict_parts(value: OrderedDict[Any, Any], out: Encoding) -> Iterable[Any]:
    attributes = vars(value)
    # torch notes the versions of a state dict in the one, OrderedDict[K, V]() its arguments in the other
    if foreign := attributes.keys() - {"_metadata", "__orig_class__"}:
        raise Unsupported(f"it has attributes of its own: {', '.join(foreign)}")
    return [out.write(attributes.get("_metadata")), *out.pairs(value)]


def _state_dict(parts: list[Any], _: Decoding) -> OrderedDict[Any, Any]:
    value: OrderedDict[Any, Any] = OrderedDict(paired(parts[1:]))
    if parts[0] is not None:
        vars(value)["_metadata"] = parts[0]
    return value


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _uuid(data: bytes | memoryview) -> UUID:
    return UUID(bytes=bytes(data))


def _decimal(text: Any) -> Decimal:
    if type(text) is not str:  # of an int, it would take steps in the square of its digits
        raise DecodeError("a decimal is not a text")
    return Decimal(text)


def _date(year: Any, month: Any, day: Any) -> dt.date:
    return dt.date(year, month, day)  # with one argument, pickle's, it would make days that there are not


def _deque_parts(value: deque[Any], out: Encoding) -> Iterable[Any]:
    return [value.maxlen, *out.items(value)]


def _day(value: dt.date) -> list[Any]:
    return [value.year, value.month, value.day]


def _clock(value: dt.time | dt.datetime, out: Encoding) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, out.write(value.tzinfo), value.fold]


def _moment(value: dt.datetime, out: Encoding) -> list[Any]:
    return _day(value) + _clock(value, out)


# What msgpack writes by itself; an int of more than 64 bits it hands back, for the row below.
PLAIN = frozenset({type(None), bool, int, float, str})

# Tags are for ever: a type that is retired leaves a gap.
# fmt: off
ROWS = (
    #  tag  type           parts on the wire                     value from parts
    Row(1,  int,           lambda v, _: [_int_bytes(v)],         lambda p, _: _int(*p)),
    Row(2,  bytes,         lambda v, out: [out.blob(v)],         lambda p, src: bytes(src.blob(*p))),
    Row(3,  bytearray,     lambda v, out: [out.blob(v)],         lambda p, src: bytearray(src.blob(*p))),
    Row(4,  complex,       lambda v, _: [v.real, v.imag],        lambda p, _: complex(*p)),
    Row(5,  Decimal,       lambda v, _: [str(v)],                lambda p, _: _decimal(*p)),
    Row(6,  UUID,          lambda v, _: [v.bytes],               lambda p, src: _uuid(src.blob(*p))),
    # containers; msgpack has lists and, as long as the keys are plain, dicts
    Row(8,  tuple,         lambda v, out: out.items(v),          lambda p, _: tuple(p)),
    Row(9,  set,           lambda v, out: out.items(v),          lambda p, _: set(hashable(p))),
    Row(10, frozenset,     lambda v, out: out.items(v),          lambda p, _: frozenset(hashable(p))),
    Row(11, deque,         _deque_parts,                         lambda p, _: deque(p[1:], p[0])),
    Row(12, dict,          lambda v, out: out.pairs(v),          lambda p, _: dict(paired(p))),
    Row(13, OrderedDict,   _state_dict_parts,                    _state_dict),
    Row(14, Counter,       lambda v, out: out.pairs(v),          lambda p, _: Counter(dict(paired(p)))),
    # moments; their tzinfo is a value of its own
    Row(16, dt.date,       lambda v, _: _day(v),                 lambda p, _: _date(*p)),
    Row(17, dt.time,       _clock,                               lambda p, _: dt.time(*p[:5], fold=p[5])),
    Row(18, dt.datetime,   _moment,                              lambda p, _: dt.datetime(*p[:8], fold=p[8])),
    Row(19, dt.timedelta,  lambda v, _: [v.days, v.seconds, v.microseconds], lambda p, _: dt.timedelta(*p)),
    Row(20, dt.timezone,   lambda v, out: out.items(v.__getinitargs__()), lambda p, _: dt.timezone(*p)),
    # an application's classes
    *CLASS_ROWS,
)
# fmt: on


class _Package(NamedTuple):
    """Rows that are loaded when a value of that package is sent or received."""

    name: str  # root module of the types, and the extra that installs it
    tags: range
    rows: str


_NUMPY = _Package("numpy", range(64, 80), "roleml.messaging.codec_numpy")
_TORCH = _Package("torch", range(80, 96), "roleml.messaging.codec_torch")
_PICKLE = _Package("pickle", range(127, 128), "roleml.messaging.codec_pickle")

_row_of_type: dict[type[Any], Row] = {row.type: row for row in ROWS if row not in CLASS_ROWS}
_row_of_tag: dict[int, Row] = {row.tag: row for row in ROWS}


def row_of(kind: type[Any]) -> Row:
    """The row of a type of Python's own."""
    return _row_of_type[kind]


def find_row(kind: type[Any]) -> Row | None:
    """The row that carries values of exactly this type."""
    if row := _row_of_type.get(kind) or row_of_class(kind):
        return row
    root = str(getattr(kind, "__module__", "")).partition(".")[0]
    for package in (_NUMPY, _TORCH):
        if package.name == root:
            row = importlib.import_module(package.rows).row_of_type(kind)
            if row is not None:
                _row_of_type[kind] = row
    return row


def load_row(tag: int) -> Row:
    """The row with this tag. Raises DecodeError if there is none, or if its package is not installed."""
    if row := _row_of_tag.get(tag):
        return row
    for package in (_NUMPY, _TORCH, _PICKLE):
        if tag in package.tags:
            try:
                rows = importlib.import_module(package.rows).ROWS
            except ImportError as error:
                raise DecodeError(
                    f"a {package.name} value was received, but {error}: pip install 'roleml[{package.name}]'"
                ) from error
            _row_of_tag.update({row.tag: row for row in rows})
    try:
        return _row_of_tag[tag]
    except KeyError:
        raise DecodeError(f"type tag {tag} is unknown: sent by a newer RoleML, or damaged") from None


def pickle_row() -> Row:
    """The row that carries everything, for those who allow it."""
    return load_row(_PICKLE.tags[0])

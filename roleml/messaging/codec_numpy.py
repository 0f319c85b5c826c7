"""How numpy travels: raw memory beside a description of its dtype that holds data only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from roleml.messaging.codec_rows import Decoding, Encoding, Row, Unsupported, checked_shape, shown
from roleml.messaging.exceptions import DecodeError

__all__ = ["ROWS", "row_of_type"]

# byte order, kind, size, unit of time: everything but objects
_SIMPLE = re.compile(r"[<>|][biufcmMSUV]\d{1,10}(\[\d{0,10}[A-Za-z]{1,7}\])?")


def row_of_type(kind: type[Any]) -> Row | None:
    """The row for a numpy type. Subclasses of arrays have none, except memmap, whose data is all there is."""
    if kind is np.ndarray or kind is np.memmap:
        return ARRAY
    if kind is np.str_:
        return STRING
    if kind is np.bytes_:
        return BYTES
    if issubclass(kind, np.dtype):
        return DTYPE
    if issubclass(kind, np.generic) and kind is not np.record:
        return SCALAR
    return None


def _array_parts(value: np.ndarray[Any, Any], out: Encoding) -> Iterable[Any]:
    description = _describe(value.dtype)
    if not value.dtype.itemsize:
        raise Unsupported("its items have no size")
    flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)  # no copy, if it is contiguous already
    return [description, list(value.shape), out.buffer(flat.data)]


def _array(parts: list[Any], source: Decoding) -> np.ndarray[Any, Any]:
    description, shape, index = parts
    dtype, buffer = _dtype(description), source.buffer(index)
    value: np.ndarray[Any, Any] = np.empty(checked_shape(shape, dtype.itemsize, buffer), dtype)
    value.reshape(-1).view(np.uint8).data[:] = buffer
    return value


def _scalar(parts: list[Any], _: Decoding) -> Any:
    description, data = parts
    dtype = _dtype(description)
    if dtype.itemsize != len(data):
        raise DecodeError(f"a numpy scalar of {len(data)} bytes cannot be a {dtype}")
    return np.ndarray((), dtype, data).copy()[()]


def _string(parts: list[Any], _: Decoding) -> Any:
    (text,) = parts
    if type(text) is not str:
        raise DecodeError("a numpy string has no text")
    return np.str_(text)


# -- dtypes -----------------------------------------------------------------------------------------------


def _describe(dtype: np.dtype[Any]) -> str | list[Any]:
    """The dtype in lists and strings; unlike numpy's own descriptions it keeps offsets and alignment."""
    if dtype.metadata:
        raise Unsupported("its dtype has metadata")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ["array", _describe(base), list(shape)]
    if dtype.names is None:
        code = str(dtype.str)
        if not _SIMPLE.fullmatch(code) or np.dtype(code) != dtype:
            raise Unsupported(f"its dtype {dtype} is more than plain memory")
        return code
    fields: list[Any] = [dtype.fields[name] for name in dtype.names] if dtype.fields else []
    if dtype.type is not np.void or any(len(field) > 2 for field in fields):
        raise Unsupported("its dtype is a record, or has titles")
    formats, offsets = [_describe(field[0]) for field in fields], [field[1] for field in fields]
    return ["struct", list(dtype.names), formats, offsets, dtype.itemsize, dtype.isalignedstruct]


def _dtype(description: Any) -> np.dtype[Any]:
    """What `_describe` described. Only ever given to numpy in forms that cannot name an object or a class."""
    match description:
        case str() if _SIMPLE.fullmatch(description):
            return np.dtype(description)
        case ["array", base, list(shape)]:
            return np.dtype((_dtype(base), tuple(shape)))
        case ["struct", list(names), list(formats), list(offsets), int(itemsize), bool(aligned)]:
            spec: Any = {"names": names, "formats": [_dtype(f) for f in formats], "offsets": offsets}
            spec["itemsize"] = itemsize
            dtype: np.dtype[Any] = np.dtype(spec, align=aligned)
            return dtype
    raise DecodeError(f"numpy has no dtype {shown(description)}, or it does not travel")


ARRAY = Row(64, np.ndarray, _array_parts, _array)
SCALAR = Row(65, np.generic, lambda v, _: [_describe(v.dtype), v.tobytes()], _scalar)
DTYPE = Row(66, np.dtype, lambda v, _: [_describe(v)], lambda p, _: _dtype(*p))
STRING = Row(67, np.str_, lambda v, _: [str.__str__(v)], _string)  # str(v) loses NULs at its end
BYTES = Row(68, np.bytes_, lambda v, out: [out.blob(bytes(v))], lambda p, src: np.bytes_(bytes(src.blob(*p))))

ROWS = (ARRAY, SCALAR, DTYPE, STRING, BYTES)

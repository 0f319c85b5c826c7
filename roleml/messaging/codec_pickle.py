"""How everything else travels, between actors that trust each other with running code."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

from roleml.messaging.codec_rows import Decoding, Encoding, Row, Unsupported
from roleml.messaging.exceptions import DecodeError

__all__ = ["ROWS"]

try:
    from cloudpickle import dumps as _dumps  # also takes lambdas, and the classes of a script

    _HINT = ""
except ImportError:
    from pickle import dumps as _dumps

    _HINT = "; pip install 'roleml[pickle]' adds cloudpickle, which also takes lambdas and local classes"


def _parts(value: Any, out: Encoding) -> Iterable[Any]:
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = _dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
    except Exception as error:  # any class may raise anything from its __reduce__
        raise Unsupported(f"pickle cannot take it either: {error}{_HINT}") from error
    return [out.blob(data), *map(out.buffer, views)]


def _value(parts: list[Any], source: Decoding) -> Any:
    if source.refuse_pickle:
        raise DecodeError(source.refuse_pickle)
    data = source.blob(parts[0])
    buffers = [bytearray(source.buffer(index)) for index in parts[1:]]
    try:
        return pickle.loads(data, buffers=buffers)
    except ImportError as error:
        hint = ": pip install 'roleml[pickle]'" if error.name and error.name.startswith("cloudpickle") else ""
        raise DecodeError(f"a pickled object needs a module that is not here: {error}{hint}") from error


ROWS = (Row(127, object, _parts, _value),)

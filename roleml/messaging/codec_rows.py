"""What one row of the codec's type table is, and what it may ask of the codec.

A value that msgpack does not know travels as a msgpack array ``[ext(tag, ''), part, part, ...]``: its row's
tag, and parts that are again values. The parser meets the parts before the whole and keeps its own stack, so
decoding calls `Row.value` from the leaves up and never recurses, however deeply a hostile sender nests.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgpack import ExtType

from roleml.messaging.exceptions import DecodeError

__all__ = ["Decoding", "Encoding", "Row", "Unsupported", "checked_shape", "hashable", "paired", "shown"]


#: A table of this many keys is soon made whatever they are; in a larger one, this many may have one hash.
MANY_KEYS, MAX_ALIKE = 1000, 100


class Unsupported(Exception):
    """A row cannot carry this one value of its type; the text says why."""


class Encoding(Protocol):
    """One value on its way out. Parts are made with these, so that every depth obeys the same rules."""

    def write(self, value: Any) -> Any:
        """The msgpack form of any value that travels."""

    def items(self, values: Collection[Any]) -> list[Any]:
        """The msgpack form of each."""

    def pairs(self, mapping: Mapping[Any, Any]) -> list[Any]:
        """The msgpack form of key, value, key, value; `paired` undoes it."""

    def buffer(self, memory: memoryview) -> int:
        """Send flat memory beside the header, uncopied; returns the number under which it is found."""

    def blob(self, data: bytes | bytearray | memoryview) -> bytes | int:
        """Send bytes: in the header when they are few, else as a buffer."""


class Decoding(Protocol):
    """One body on its way in. Everything read from it is a stranger's claim."""

    @property
    def refuse_pickle(self) -> str:
        """Why code from the wire is not permitted; empty where it is."""

    def buffer(self, index: Any) -> memoryview:
        """The buffer of that number. Each can be had once: a small header cannot ask for many copies."""

    def blob(self, part: Any) -> bytes | memoryview:
        """What `Encoding.blob` sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One type that travels.

    `parts` gives the msgpack forms that follow the tag, or raises Unsupported. `value` makes a fresh, mutable
    value of them; whatever it raises becomes a DecodeError, and it must not allocate on a part's say-so.
    """

    tag: int
    type: type[Any]
    parts: Callable[[Any, Encoding], Iterable[Any]]
    value: Callable[[list[Any], Decoding], Any]
    marker: ExtType = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "marker", ExtType(self.tag, b""))


def shown(part: Any) -> str:
    """A part of a stranger's for an error: a text or a number. To show anything else could take long, and run
    code of the classes in it."""
    if type(part) is str:
        return part[:100]
    return str(part) if type(part) is int and abs(part) < 1 << 64 else f"a {type(part).__name__}"


def paired(parts: list[Any]) -> Iterable[tuple[Any, Any]]:
    """The (key, value) pairs of a list that alternates between the two."""
    if len(parts) % 2:
        raise DecodeError("a mapping has a key without a value")
    return zip(hashable(parts[::2]), parts[1::2], strict=True)


def hashable(keys: list[Any]) -> list[Any]:
    """The keys, once it is known that a table of them is soon made.

    Integers of a stranger's choice, and tuples of them, may all have one hash, and a table of n such keys
    takes n² steps.
    """
    if len(keys) > MANY_KEYS:
        ((_, alike),) = Counter(map(hash, keys)).most_common(1)
        if alike > MAX_ALIKE:
            raise DecodeError(f"{alike} of {len(keys)} keys have the same hash")
    return keys


def checked_shape(shape: Any, itemsize: int, buffer: memoryview) -> tuple[int, ...]:
    """The shape, once it is known to describe exactly this buffer; only then is it safe to allocate."""
    if type(shape) is not list or len(shape) > 64:
        raise DecodeError("the shape of an array is not a short list")
    if not all(type(n) is int and 0 <= n <= sys.maxsize for n in shape):
        raise DecodeError("the shape of an array is not made of sizes")
    if itemsize < 1 or itemsize * math.prod(shape) != buffer.nbytes:
        raise DecodeError(f"an array of shape {tuple(shape)} does not fill {buffer.nbytes} bytes")
    return tuple(shape)

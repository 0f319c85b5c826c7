"""What a broker can judge of an event: equality of short scalars, as text that both sides write alike.

A *stamp* is one value of an event in canonical form; a *filter* is a set of stamps that an event must have. A
filter lets through all that Python's ``==`` would, and is only ever a first sieve: whoever subscribed checks
again. A value that has no stamp might equal anything, so an event with one passes every filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["OPAQUE", "Filter", "Filters", "Stamps", "filter_of", "passes", "stamps_of"]

Stamps = Mapping[str, str]
#: names and stamps that must all be there; the empty one lets everything through
Filter = frozenset[tuple[str, str]]
#: an event has to pass one of them; ``None``: every event passes
Filters = frozenset[Filter] | None

#: the stamp of an event that has values without a stamp; not a name that an argument can have
OPAQUE = ""

MAX_STAMP_BYTES = 256
MAX_NAME_BYTES = 100
#: An event with more stamps than a message's headers should hold has just the one.
MAX_STAMPS, MAX_STAMPS_CHARS = 32, 4096
_MAX_INT = 1 << 63


def stamp(value: Any) -> str | None:
    """The canonical form of a value, the same for all values that are equal; ``None``: it has none."""
    kind = type(value)
    if kind is str:
        return f"s:{value}" if len(value.encode(errors="replace")) <= MAX_STAMP_BYTES else None
    if value is None:
        return "z:"
    if kind not in (bool, int, float) or value != value:
        return None
    if kind is float and not value.is_integer():
        return f"n:{value!r}"
    return f"n:{int(value)}" if abs(value) < _MAX_INT else None


def stamps_of(args: Mapping[str, Any]) -> dict[str, str]:
    """The stamps of an event. One without a stamp for each of its values has the stamp ``OPAQUE``."""
    stamps: dict[str, str] = {}
    for name, value in args.items():
        text = stamp(value)
        if text is not None and _is_short(name):
            stamps[name] = text
        elif not _unequal_to_all(value):
            stamps[OPAQUE] = "1"
    if len(stamps) > MAX_STAMPS or sum(map(len, stamps.values())) > MAX_STAMPS_CHARS:
        return {OPAQUE: "1"}
    return stamps


def filter_of(equalities: Iterable[tuple[str, Any]]) -> Filter:
    """The filter for conditions ``name == value``; those that have no stamp are left to the subscriber."""
    return frozenset(
        (name, text) for name, value in equalities if (text := stamp(value)) is not None and _is_short(name)
    )


def passes(stamps: Stamps, filters: Iterable[Filter]) -> bool:
    """Whether an event passes at least one of the filters."""
    return OPAQUE in stamps or any(all(stamps.get(name) == text for name, text in each) for each in filters)


def _is_short(name: str) -> bool:
    return 0 < len(name.encode(errors="replace")) <= MAX_NAME_BYTES


def _unequal_to_all(value: Any) -> bool:
    return type(value) is float and value != value

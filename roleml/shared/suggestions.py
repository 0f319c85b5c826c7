"""The "did you mean" part of an error message."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was probably meant to be, or None if none comes close.

    Letter case and the choice between `_` and `-` do not count as differences.
    """
    plain: dict[str, str] = {}
    for candidate in candidates:
        plain.setdefault(_plain(candidate), candidate)
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str], *, list_all_up_to: int = 8) -> str:
    """The end of an error message: `; did you mean 'x'?`, else the choices if they are few, else nothing."""
    names = sorted(set(candidates))
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    if 0 < len(names) <= list_all_up_to:
        return f"; known are {', '.join(map(repr, names))}"
    return ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")

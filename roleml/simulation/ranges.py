"""Kinds of configured values that are two numbers: a range to draw from, and an interval of time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from roleml.core.builders.errors import Problems, WrongTypeError
from roleml.core.builders.schema import Number, shown

__all__ = ["Interval", "NumberOrRange", "drawn"]

Path = tuple[Any, ...]


def drawn(value: float | Sequence[float], draws: random.Random) -> float:
    """The number itself, or one of its range, all of which are equally likely."""
    if isinstance(value, int | float):
        return float(value)
    low, high = value
    return draws.uniform(low, high)


@dataclass(frozen=True, eq=False, repr=False)
class NumberOrRange:
    """A number, or ``[low, high]``."""

    number: Number

    def accepts(self, value: Any) -> bool:
        return self.number.accepts(value) or _is_list(value)

    def expected(self) -> str:
        return f"{self.number.expected()} or a range [low, high] of them"

    def check(self, value: Any, path: Path, problems: Problems) -> None:
        if not _is_list(value):
            if self.number.accepts(value):
                self.number.check(value, path, problems)
            else:
                problems.add(
                    path, f"expected {self.expected()}, not {shown(value)}", WrongTypeError, at_value=True
                )
        elif len(value) != 2:
            problems.add(path, f"a range is [low, high], not {shown(value)}", WrongTypeError, at_value=True)
        else:
            for position, each in enumerate(value):
                self.number.check(each, (*path, position), problems)
            if all(self.number.accepts(each) for each in value) and value[0] > value[1]:
                problems.add(path, f"a range is [low, high], and {value[0]:g} > {value[1]:g}", at_value=True)

    def schema(self) -> dict[str, Any]:
        item = self.number.schema()
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 2, "maxItems": 2}]}


@dataclass(frozen=True, eq=False, repr=False)
class Interval:
    """``[begin, end]`` in seconds, where an end of null is never."""

    number: Number

    def accepts(self, value: Any) -> bool:
        return _is_list(value)

    def expected(self) -> str:
        return "[begin, end] in seconds"

    def check(self, value: Any, path: Path, problems: Problems) -> None:
        if not _is_list(value) or len(value) != 2:
            problems.add(
                path, f"expected {self.expected()}, not {shown(value)}", WrongTypeError, at_value=True
            )
            return
        begin, end = value
        self.number.check(begin, (*path, 0), problems)
        if end is None:
            return
        self.number.check(end, (*path, 1), problems)
        if self.number.accepts(begin) and self.number.accepts(end) and end <= begin:
            problems.add(path, f"the interval ends at {end:g}, before it begins", at_value=True)

    def schema(self) -> dict[str, Any]:
        end = {"anyOf": [self.number.schema(), {"type": "null"}]}
        return {"type": "array", "prefixItems": [self.number.schema(), end], "minItems": 2, "maxItems": 2}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)

"""Patterns of actor names, and values that differ from actor to actor."""

from __future__ import annotations

import copy
import itertools
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["apply_templates", "detect_templates", "match_actors"]

#: Makes the value of a template for one actor after the other.
Producer = Callable[[], Any]

_TEMPLATE = re.compile(r"\$([race])\[(.*)]|([$@~^])\[(.*)]", re.DOTALL)
#: another way to write ``$c[..]`` and so on
_ALIASES = {"$": "c", "@": "a", "~": "e", "^": "r"}
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def match_actors(actors: Iterable[str], pattern: str) -> list[str]:
    """The actors whose whole name matches a regular expression, in their order; the empty one matches all.

    Raises:
        TypeError: ``actors`` is a single text.
        ValueError: the pattern is no regular expression.
    """
    if isinstance(actors, str):
        raise TypeError(f"actors is a collection of names, not the text {actors!r}")
    if not pattern:
        return list(actors)
    try:
        compiled = re.compile(pattern)
    except re.error as e:
        raise ValueError(f"{pattern!r} is no regular expression: {e}") from e
    return [actor for actor in actors if compiled.fullmatch(actor)]


def detect_templates(
    item: Any, save: dict[tuple[Any, ...], Producer] | None = None, path: tuple[Any, ...] = ()
) -> dict[tuple[Any, ...], Producer]:
    """What makes the values of the templates within ``item``, by the path to each; filled into ``save``.

    A path leads through keys and positions, such as ``('c', 2)``. Keys are no templates.

    Raises:
        ValueError: a template is malformed.
    """
    found = {} if save is None else save
    if isinstance(item, Mapping):
        for key, value in item.items():
            detect_templates(value, found, (*path, key))
    elif isinstance(item, Sequence) and not isinstance(item, str | bytes):
        for position, value in enumerate(item):
            detect_templates(value, found, (*path, position))
    elif _is_template(item):
        found[path] = _build_template_value_producer(item)
    return found


def apply_templates(item: Any, producers: Mapping[tuple[Any, ...], Producer]) -> Any:
    """A copy of ``item`` with the next value in the place of each template."""
    result = copy.deepcopy(item)
    for path, produce in producers.items():
        if not path:
            result = produce()
            continue
        place = result
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = produce()
    return result


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and _TEMPLATE.fullmatch(value) is not None


def _build_template_value_producer(text: str) -> Producer:
    """What makes the values of one template.

    ========================  ==================================================================
    ``$c[1-3,7]``             the next of 1, 2, 3, 7, beginning again after the last
    ``$a[4-20,99]``           the list of all of them, the same for every actor
    ``$e[1-10, 4-5, 8]``      the next of the first range without the others
    ``$r[4, 11]``             a random integer of 4 to 11, both included
    ``$r[4, 22, 2]``          the same of 4, 6, ... 22
    ``$r[4, 99, 1, 10]``      a list of 10 different ones; fewer than 0: a single one
    ========================  ==================================================================

    Randomness comes from the module ``random``.

    Raises:
        ValueError: the template is malformed.
    """
    match = _TEMPLATE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid template {text!r}: expected such as '$c[1-10]'")
    kind, content = (match[1], match[2]) if match[1] else (_ALIASES[match[3]], match[4])
    parts = [part.strip() for part in content.split(",")]
    try:
        if kind == "r":
            return _random(*map(_number, parts))
        ranges = [_range(part) for part in parts]
    except ValueError as e:
        raise ValueError(f"invalid template {text!r}: {e}") from None
    if kind == "e":
        excluded = set().union(*ranges[1:])
        values = [value for value in ranges[0] if value not in excluded]
        if not values:
            raise ValueError(f"invalid template {text!r}: nothing is left of the first range")
        return itertools.cycle(values).__next__
    union = sorted(set().union(*ranges))
    return (lambda: list(union)) if kind == "a" else itertools.cycle(union).__next__


def _range(text: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a number, or a range such as 1-10, not {text!r}")
    low = int(match[1])
    high = low if match[2] is None else int(match[2])
    if high < low:
        raise ValueError(f"the range {text} ends before it begins")
    return range(low, high + 1)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected an integer, not {text!r}") from None


def _random(*numbers: int) -> Producer:
    if not 2 <= len(numbers) <= 4:
        raise ValueError("expected from, to, and perhaps step and count")
    low, high, step, count = (*numbers, 1, -1)[:4] if len(numbers) < 3 else (*numbers, -1)[:4]
    if step == 0:
        raise ValueError("a step of 0 leads nowhere")
    choices = range(low, high + 1, step) if step > 0 else range(low, high - 1, step)
    if not choices:
        raise ValueError(f"there is nothing from {low} to {high}")
    if count == 0:
        raise ValueError("a count of 0 chooses nothing")
    if count < 0:
        return lambda: random.choice(choices)
    if count > len(choices):
        raise ValueError(f"{count} different ones of only {len(choices)}")
    return lambda: random.sample(choices, count)

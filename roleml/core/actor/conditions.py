"""Event conditions: which messages a subscriber wants, judged by their args.

A condition is ``name`` or ``name__operator`` with a literal: ``{'loss__lt': 0.5, 'phase': 'train'}``. All of
them must hold. A name that is missing from the args does not, nor a comparison that the types do not allow.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roleml.core.role.channels import attribute
from roleml.shared.suggestions import did_you_mean

__all__ = ["OPERATORS", "Condition", "check_conditions", "parse_condition", "parse_conditions"]

#: operator -> test of (value in the message, value in the condition)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "": operator.eq,
    "eq": operator.eq,
    "==": operator.eq,
    "gt": operator.gt,
    ">": operator.gt,
    "ge": operator.ge,
    ">=": operator.ge,
    "lt": operator.lt,
    "<": operator.lt,
    "le": operator.le,
    "<=": operator.le,
    "contains": operator.contains,
}


@dataclass(frozen=True)
class Condition:
    name: str
    operator: str
    value: Any

    @property
    def is_equality(self) -> bool:
        return OPERATORS[self.operator] is operator.eq

    def holds(self, args: Mapping[str, Any]) -> bool:
        if self.name not in args:
            return False
        try:
            return bool(OPERATORS[self.operator](args[self.name], self.value))
        # unordered types; arrays and tensors, which have no single truth; decimals that are no numbers
        except (TypeError, ValueError, RuntimeError, ArithmeticError):
            return False


def parse_condition(key: str, value: Any) -> Condition:
    """One condition. A key with more than one ``__`` tests its first part for equality.

    Raises:
        ValueError: the operator is unknown.
        TypeError: the key is not a name, or the value stands for an attribute, which is for declarations.
    """
    if not isinstance(key, str):
        raise TypeError(f"the key of a condition is a name or name__operator, not {key!r}")
    if isinstance(value, attribute):
        raise TypeError(
            f"in the condition {key!r}, attribute({value.name!r}) is for @EventHandler; here, give the value "
            f"itself: self.{value.name}"
        )
    parts = key.split("__")
    name, op = (parts[0], parts[1]) if len(parts) == 2 else (parts[0], "eq")
    if op not in OPERATORS:
        raise ValueError(
            f"unknown operator {op!r} in the condition {key!r}{did_you_mean(op, OPERATORS)}; "
            f"operators: {', '.join(name for name in OPERATORS if name)}"
        )
    return Condition(name, op, value)


_CACHE_SIZE = 256
_cache: OrderedDict[int, tuple[Mapping[str, Any], list[tuple[str, Any]], tuple[Condition, ...]]] = (
    OrderedDict()
)


def parse_conditions(conditions: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """All conditions of a mapping; the same object again for the same, unchanged mapping.

    Raises:
        ValueError: an operator is unknown.
        TypeError: they do not map names to values.
    """
    if not conditions:
        return ()
    if not isinstance(conditions, Mapping):
        raise TypeError(
            f"conditions map names to values, such as {{'loss__lt': 0.5}}; these are {conditions!r}"
        )
    items = list(conditions.items())
    known = _cache.get(id(conditions))
    if known is not None and known[0] is conditions and known[1] == items:
        return known[2]
    parsed = tuple(parse_condition(key, value) for key, value in items)
    _cache[id(conditions)] = (conditions, items, parsed)  # holds the mapping, so that its id stays its own
    while len(_cache) > _CACHE_SIZE:
        _cache.popitem(last=False)
    return parsed


def check_conditions(args: Mapping[str, Any], conditions: Iterable[Condition]) -> bool:
    """Whether every condition holds for these args. No conditions: always."""
    return all(condition.holds(args) for condition in conditions)

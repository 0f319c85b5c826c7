"""Conditions that no message can meet."""

from __future__ import annotations

from collections.abc import Sequence

from roleml.core.actor.conditions import Condition

__all__ = ["never"]


def never(conditions: Sequence[Condition]) -> str | None:
    """Why no message can meet all of these conditions, if that is so."""
    by_name: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_name.setdefault(condition.name, []).append(condition)
    for name, several in by_name.items():
        equal = [each.value for each in several if each.is_equality]
        if any(value != equal[0] for value in equal):
            return f"{name} cannot be both {equal[0]!r} and {next(v for v in equal if v != equal[0])!r}"
        for value in equal[:1]:
            for each in several:
                if not each.holds({name: value}):
                    return f"{name} cannot be {value!r} and {each.operator} {each.value!r}"
        low = [each for each in several if each.operator in ("gt", ">", "ge", ">=")]
        high = [each for each in several if each.operator in ("lt", "<", "le", "<=")]
        for below in low:
            for above in high:
                if _apart(below, above):
                    bounds = f"{below.operator} {below.value!r} and {above.operator} {above.value!r}"
                    return f"{name} cannot be {bounds}"
    return None


def _apart(below: Condition, above: Condition) -> bool:
    numbers = isinstance(below.value, int | float) and isinstance(above.value, int | float)
    if not numbers:
        return False
    both_may_be_equal = below.operator in ("ge", ">=") and above.operator in ("le", "<=")
    return bool(below.value > above.value or (below.value == above.value and not both_may_be_equal))

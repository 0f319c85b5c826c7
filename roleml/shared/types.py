"""`isinstance` questions about whatever a declaration may name as a type.

Besides classes these are unions, `Any`, `typing.Callable`, parametrised generics (their parameters are not
checked) and runtime-checkable protocols.
"""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

__all__ = ["is_instance", "is_subclass", "is_type", "type_name"]

_UNIONS = (Union, types.UnionType)


def is_type(value: Any) -> bool:
    """Whether `value` can be used as the second argument of `is_instance`."""
    if value is Any or isinstance(value, type):
        return True
    if isinstance(value, tuple):
        return all(map(is_type, value))
    return get_origin(value) is not None


def is_instance(value: Any, expected: Any) -> bool:
    """Like `isinstance`, for everything `is_type` accepts.

    A type that gives no answer at run time (a type variable, a protocol that is not runtime-checkable)
    counts as satisfied.
    """
    if expected is Any or expected is object:
        return True
    if isinstance(expected, tuple) or get_origin(expected) in _UNIONS:
        members = expected if isinstance(expected, tuple) else get_args(expected)
        return any(is_instance(value, member) for member in members)
    if expected is None:
        return value is None
    try:
        return isinstance(value, _runtime_class(expected))
    except TypeError:
        return True


def is_subclass(cls: Any, expected: Any) -> bool | None:
    """Like `issubclass`; None where there is no answer (protocols with data members, a non-class)."""
    if expected is Any or expected is object:
        return True
    if isinstance(expected, tuple) or get_origin(expected) in _UNIONS:
        members = expected if isinstance(expected, tuple) else get_args(expected)
        answers = [is_subclass(cls, member) for member in members]
        return True if True in answers else (None if None in answers else False)
    if get_origin(cls) in _UNIONS:
        answers = [is_subclass(member, expected) for member in get_args(cls)]
        return False if False in answers else (None if None in answers else True)
    try:
        return issubclass(_runtime_class(cls), _runtime_class(expected))
    except TypeError:
        return None


def type_name(expected: Any) -> str:
    """A name for error messages, also for the types that carry none."""
    if isinstance(expected, tuple):
        return " | ".join(map(type_name, expected))
    if isinstance(expected, type) and get_origin(expected) is None:
        module = expected.__module__
        return expected.__qualname__ if module == "builtins" else f"{module}.{expected.__qualname__}"
    return repr(expected)


def _runtime_class(expected: Any) -> Any:
    return get_origin(expected) or expected

"""What the sender of a value that cannot travel is told: where it is, what it is, and what to do."""

from __future__ import annotations

import dataclasses
from collections import defaultdict, deque
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from roleml.messaging.exceptions import EncodeError

__all__ = ["Refused"]


class Refused(Exception):
    """Encoding met a value that cannot travel."""

    def __init__(self, value: object, reason: str = "") -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason

    def explained(self, root: object) -> EncodeError:
        """The error for who sent `root`. Only now the path is looked for: encoding does not pay for it."""
        kind = type(self.value)
        type_name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        path = _path(root, self.value)
        return EncodeError(
            f"cannot send {path or 'a value'} of type {type_name}{': ' if self.reason else ''}{self.reason}. "
            f"Ways out: {_conversion(self.value)}; or decorate its class with @register_dataclass or "
            "@register_named_tuple; or, where every peer is trusted with running code here, set "
            "allow_pickle: true in the configuration of both actors",
            path=path,
            type_name=type_name,
        )


def _conversion(value: object) -> str:
    if isinstance(value, defaultdict):
        return "send dict(...) of it"
    if callable(value) and not dataclasses.is_dataclass(value):
        return "send its name or its parameters instead of the code"
    return (
        "convert it to data (numbers, text, bytes, lists, tuples, sets, dicts, numpy arrays, torch tensors)"
    )


def _path(root: object, target: object) -> str:
    """Where the target sits inside of root, as in ``payloads['update'].layers[2]``."""
    seen = {id(root)}
    pending = [("", root)]
    while pending:
        path, value = pending.pop()
        if value is target:
            return path
        for step, child in _children(value):
            if id(child) not in seen:
                seen.add(id(child))
                pending.append((path + step if path else _first(step), child))
    return ""


def _first(step: str) -> str:
    """The parts of a message are known by their names: ``payloads``, not ``['payloads']``."""
    name = step[2:-2]
    return name if name.isidentifier() and step == f"['{name}']" else step


_SEQUENCES = (list, tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
        yield from ((f".keys()[{place}]", key) for place, key in enumerate(value))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from ((f".{name}", item) for name, item in zip(value._fields, value, strict=False))
    elif isinstance(value, _SEQUENCES):
        yield from ((f"[{place}]", item) for place, item in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (
            (f".{field.name}", getattr(value, field.name, None)) for field in dataclasses.fields(value)
        )
    elif hasattr(value, "tzinfo"):
        yield ".tzinfo", value.tzinfo

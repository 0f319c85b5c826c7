"""What the sender of a value that cannot travel is told: where it is, what it is, and what to do."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
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
            f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
        )
        path = _path(root, self.value) or "the value"
        return EncodeError(
            f"{path} is a {type_name}, which cannot be sent{f': {self.reason}' if self.reason else ''}. "
            f"Either {_conversion(self.value)}; or decorate its class with @register_dataclass (or "
            "@register_named_tuple); or, if every peer is trusted with running code here, set allow_pickle: true "
            "in the configuration of both actors",
            path=path,
            type_name=type_name,
        )


def _conversion(value: object) -> str:
    if isinstance(value, defaultdict):
        return "send dict(...) of it"
    if callable(value):
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
                pending.append((path + step if path or step[:2] != "['" else step[2:-2], child))
    return ""


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
        yield from ((f".keys()[{place}]", key) for place, key in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (declared.name for declared in dataclasses.fields(value))
        yield from ((f".{name}", getattr(value, name, None)) for name in fields)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from ((f".{name}", item) for name, item in zip(value._fields, value))
    elif hasattr(value, "tzinfo"):
        yield ".tzinfo", value.tzinfo
    elif (
        hasattr(value, "__iter__")
        and not isinstance(value, (str, bytes, bytearray))
        and hasattr(value, "__len__")
    ):
        if type(value).__module__ in ("builtins", "collections"):
            yield from ((f"[{place}]", item) for place, item in enumerate(value))

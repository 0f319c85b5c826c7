"""The classes of an application that travel: registered dataclasses and named tuples, and enums.

Nothing is imported for the wire's sake. A class is named ``module:qualname``; data classes are found in the
registry below, enums among the modules that are already imported, by plain dictionary look-ups.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import operator
import sys
from collections.abc import Iterable
from enum import Enum, Flag
from types import ModuleType
from typing import Any, TypeVar

from roleml.messaging.codec_rows import Decoding, Encoding, Row, Unsupported, paired, shown
from roleml.messaging.exceptions import DecodeError

__all__ = ["CLASS_ROWS", "register_dataclass", "register_named_tuple", "row_of_class"]

C = TypeVar("C", bound=type[Any])

# Registering a name again replaces it: a notebook cell is run more than once.
_class_of_name: dict[str, type[Any]] = {}
_row_of_class: dict[type[Any], Row] = {}


def register_dataclass(cls: C) -> C:
    """Let instances of this dataclass travel; use it as a decorator above ``@dataclass``.

    All fields travel, by name, `init=False` ones too; attributes that are not fields do not. The receiver
    must have registered a class of the same module and name. There the constructor runs, so `__post_init__`
    may reject values, and then every field is set to what was sent. Fields unknown to the receiver are an
    error, missing ones take their default. Subclasses are registered on their own.

    Raises TypeError for something else than a dataclass, or one that cannot be made of its fields alone.
    """
    if "__dataclass_fields__" not in vars(cls):
        raise TypeError(f"register_dataclass needs a dataclass, got {cls!r}; put it above @dataclass")
    fields = {field.name for field in dataclasses.fields(cls)}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.name not in fields and parameter.default is parameter.empty:
            raise TypeError(
                f"{cls.__qualname__} cannot travel: it is made with {parameter.name!r}, which no field keeps"
            )
    return _register(cls, DATACLASS)


def register_named_tuple(cls: C) -> C:
    """Let instances of this named tuple class travel; use it as a decorator.

    The receiver must have registered a class of the same module, name and number of fields.
    Raises TypeError for something else than a named tuple.
    """
    if not (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        raise TypeError(f"register_named_tuple needs a named tuple class, got {cls!r}")
    return _register(cls, NAMED_TUPLE)


def row_of_class(kind: type[Any]) -> Row | None:
    """The row for an application's class, if it has one."""
    return _row_of_class.get(kind) or (ENUM if issubclass(kind, Enum) else None)


def _register(cls: C, row: Row) -> C:
    name = _wire_name(cls)
    _row_of_class.pop(_class_of_name.get(name, cls), None)
    _class_of_name[name] = cls
    _row_of_class[cls] = row
    return cls


def _wire_name(cls: type[Any]) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: Any, row: Row) -> type[Any]:
    if type(name) is not str:
        raise DecodeError("the name of a class is not a string")
    cls = _class_of_name.get(name)
    if cls is not None and _row_of_class[cls] is row:
        return cls
    close = difflib.get_close_matches(name[:200], _class_of_name, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DecodeError(f"{name[:200]} is not registered here: import and decorate its class first{hint}")


# -- dataclasses ------------------------------------------------------------------------------------------


def _dataclass_parts(value: Any, out: Encoding) -> Iterable[Any]:
    try:
        state = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    except AttributeError as error:
        raise Unsupported(f"one of its fields was never set: {error}") from None
    return [_wire_name(type(value)), *out.pairs(state)]


def _dataclass_value(parts: list[Any], _: Decoding) -> Any:
    cls = _class(parts[0], DATACLASS)
    sent = dict(paired(parts[1:]))
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := sent.keys() - fields.keys():
        raise DecodeError(
            f"{_wire_name(cls)} has no field {shown(unknown.pop())!r}; it has {', '.join(fields)}"
        )
    try:
        value = cls(**{name: part for name, part in sent.items() if fields[name].init})
    except Exception as error:  # __post_init__ is the application's, and refuses in its own way
        raise DecodeError(f"{_wire_name(cls)} rejects what was sent: {error}") from error
    for name, part in sent.items():
        object.__setattr__(
            value, name, part
        )  # works for frozen classes, and undoes what __post_init__ changed
    return value


# -- named tuples -----------------------------------------------------------------------------------------


def _named_tuple_parts(value: Any, out: Encoding) -> Iterable[Any]:
    return [_wire_name(type(value)), *out.items(value)]


def _named_tuple_value(parts: list[Any], _: Decoding) -> Any:
    cls: Any = _class(parts[0], NAMED_TUPLE)
    if len(parts) - 1 != len(cls._fields):
        raise DecodeError(
            f"{_wire_name(cls)} has the fields {', '.join(cls._fields)}; got {len(parts) - 1} values"
        )
    return cls._make(parts[1:])


# -- enums ------------------------------------------------------------------------------------------------


def _enum_parts(value: Enum, _: Encoding) -> Iterable[Any]:
    name = _wire_name(type(value))
    if _find_enum(name) is not type(value):
        raise Unsupported("an enum must be reachable by name in its module")
    return [name, *_member_names(value)]


def _member_names(value: Enum) -> list[str]:
    """The member's name; for a Flag, names that give it when combined."""
    members = type(value).__members__
    if members.get(value._name_) is value:
        return [value._name_]
    rest, names = value._value_, []
    for name, member in members.items():
        if member._value_ & rest and member._value_ & value._value_ == member._value_:
            names.append(name)
            rest &= ~member._value_
    if rest:
        raise Unsupported(f"its bits {rest:#x} have no name")
    return names


def _enum_value(parts: list[Any], _: Decoding) -> Enum:
    cls = _find_enum(parts[0])
    if cls is None:
        raise DecodeError(f"there is no enum {shown(parts[0])} in the modules that are imported here")
    members = cls.__members__
    if unknown := [name for name in parts[1:] if name not in members]:
        raise DecodeError(f"{parts[0]} has no member {shown(unknown[0])}; it has {', '.join(members)[:300]}")
    if len(parts) == 2:
        return members[parts[1]]
    if not issubclass(cls, Flag):
        raise DecodeError(f"{parts[0]} is not a Flag and cannot be combined")
    return functools.reduce(operator.or_, (members[name] for name in parts[1:]), cls(0))


def _find_enum(name: Any) -> type[Enum] | None:
    """Look up ``module:qualname`` in what is imported, past every hook that could run code."""
    if type(name) is not str:
        return None
    module_name, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module_name)
    if not issubclass(type(found), ModuleType):
        return None
    namespace = object.__getattribute__(found, "__dict__")  # a lazy module would import itself on getattr
    for part in qualname.split("."):
        found = namespace.get(part)
        if not issubclass(type(found), type):
            return None
        namespace = type.__getattribute__(found, "__dict__")
    return found if issubclass(found, Enum) else None


DATACLASS = Row(32, object, _dataclass_parts, _dataclass_value)
NAMED_TUPLE = Row(33, tuple, _named_tuple_parts, _named_tuple_value)
ENUM = Row(34, Enum, _enum_parts, _enum_value)

CLASS_ROWS = (DATACLASS, NAMED_TUPLE, ENUM)

"""The kinds of values in a configuration. Each can check a value, and describe itself as JSON Schema."""

from __future__ import annotations

import datetime
import enum
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from roleml.core.builders.errors import (
    MissingKeyError,
    Problems,
    UnknownChoiceError,
    UnknownKeyError,
    WrongTypeError,
)
from roleml.shared.suggestions import did_you_mean

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = [
    "Anything",
    "Choice",
    "DottedName",
    "Either",
    "Field",
    "Flag",
    "Integer",
    "Kind",
    "ListOf",
    "MappingOf",
    "Name",
    "Number",
    "Path",
    "Record",
    "Text",
]

JSON = dict[str, Any]

_DOTTED = re.compile(r"[^.\s]+(\.[^.\s]+)+")


class Kind(Protocol):
    """A kind of value."""

    def accepts(self, value: Any) -> bool:
        """Whether `value` is meant to be of this kind, whatever is wrong inside of it."""

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        """Add all that is wrong with `value`, which is found at `path`."""

    def expected(self) -> str:
        """What a value of this kind is, for an error message: "an integer"."""

    def schema(self) -> JSON:
        """The JSON Schema of the plain values of this kind (those that can be written in a file)."""


class _Simple:
    """A kind without parts."""

    def accepts(self, value: Any) -> bool:
        raise NotImplementedError

    def expected(self) -> str:
        raise NotImplementedError

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if not self.accepts(value):
            text = f"expected {self.expected()}, not {shown(value)}{self.instead(value)}"
            problems.add(path, text, WrongTypeError, at_value=True)

    def instead(self, value: Any) -> str:
        """What to write instead of a wrong value, as the end of an error message."""
        if isinstance(value, str) and value.startswith("!include "):
            return "; write it without quotes"
        return ""


class _Textual(_Simple):
    """A kind of text, for which YAML may have taken something else."""

    def instead(self, value: Any) -> str:
        if isinstance(value, bool):
            return "; YAML reads yes, no, on and off like true and false: put it in quotes"
        if isinstance(value, int | float | datetime.date):
            return "; put it in quotes"
        return super().instead(value)


class Anything(_Simple):
    def accepts(self, value: Any) -> bool:
        return True

    def expected(self) -> str:
        return "any value"

    def schema(self) -> JSON:
        return {}


@dataclass(frozen=True, eq=False, repr=False)
class Text(_Textual):
    what: str = "a text"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)

    def expected(self) -> str:
        return self.what

    def schema(self) -> JSON:
        return {"type": "string"}


class Path(_Textual):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, str | os.PathLike)

    def expected(self) -> str:
        return "a path"

    def schema(self) -> JSON:
        return {"type": "string"}


class Flag(_Simple):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)

    def expected(self) -> str:
        return "true or false"

    def schema(self) -> JSON:
        return {"type": "boolean"}


class Integer(_Simple):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def expected(self) -> str:
        return "an integer"

    def schema(self) -> JSON:
        return {"type": "integer"}


@dataclass(frozen=True, eq=False, repr=False)
class Number(_Simple):
    """A number, an integer included, that is at least ``minimum``, or above it."""

    what: str = "a number"
    minimum: float = -math.inf
    above: bool = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def expected(self) -> str:
        if self.minimum == -math.inf:
            return self.what
        return f"{self.what} {'above' if self.above else 'of at least'} {self.minimum:g}"

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        super().check(value, path, problems)
        if self.accepts(value) and not (value > self.minimum if self.above else value >= self.minimum):
            problems.add(path, f"expected {self.expected()}, not {shown(value)}", at_value=True)

    def schema(self) -> JSON:
        if self.minimum == -math.inf:
            return {"type": "number"}
        return {"type": "number", "exclusiveMinimum" if self.above else "minimum": self.minimum}


@dataclass(frozen=True, eq=False, repr=False)
class Name(_Textual):
    """A text that `verify` returns or raises ValueError for."""

    what: str
    verify: Callable[[str], object]
    pattern: str = ""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)

    def expected(self) -> str:
        return self.what

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if not self.accepts(value):
            super().check(value, path, problems)
            return
        try:
            self.verify(value)
        except ValueError as error:
            problems.add(path, str(error), at_value=True)

    def schema(self) -> JSON:
        return {"type": "string", **({"pattern": self.pattern} if self.pattern else {})}


@dataclass(frozen=True, eq=False, repr=False)
class DottedName(_Simple):
    """The dotted name of an object, one of a few aliases, or (from Python) the object itself."""

    what: str = "a class"
    aliases: tuple[str, ...] = ()
    is_object: Callable[[Any], bool] = lambda value: True

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) or self._is_other_object(value)

    def expected(self) -> str:
        aliases = f", one of {', '.join(map(repr, self.aliases))}" if self.aliases else ""
        return f"{self.what} or its dotted name{aliases}"

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if not isinstance(value, str):
            super().check(value, path, problems)
        elif not _DOTTED.fullmatch(value) and not self.aliases:
            problems.add(
                path, f"expected a dotted name such as 'package.module.Name', not {value!r}", at_value=True
            )

    def schema(self) -> JSON:
        name: JSON = {"type": "string", "pattern": f"^{_DOTTED.pattern}$"}
        # further aliases can be registered, so the known ones are offered without excluding others
        return {"anyOf": [{"enum": list(self.aliases)}, {"type": "string"}]} if self.aliases else name

    def _is_other_object(self, value: Any) -> bool:
        return not isinstance(value, Mapping | list | int | float | bool | None) and self.is_object(value)


@dataclass(frozen=True, eq=False, repr=False)
class Choice(_Simple):
    """One of a few names in any letter case, or (from Python) a member of `members`."""

    names: tuple[str, ...]
    members: type[enum.Enum] | None = None
    kind_of_error: type[Any] = UnknownChoiceError
    numbers: bool = False

    def accepts(self, value: Any) -> bool:
        if self.members is not None and isinstance(value, self.members):
            return True
        return isinstance(value, str) or (
            self.numbers and isinstance(value, int) and not isinstance(value, bool)
        )

    def expected(self) -> str:
        return "one of " + ", ".join(self.names)

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if not self.accepts(value):
            super().check(value, path, problems)
        elif isinstance(value, str) and value.lower() not in {name.lower() for name in self.names}:
            hint = did_you_mean(value, self.names, list_all_up_to=0)
            problems.add(
                path, f"expected {self.expected()}, not {value!r}{hint}", self.kind_of_error, at_value=True
            )

    def schema(self) -> JSON:
        def any_case(name: str) -> str:
            return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else re.escape(c) for c in name)

        options: list[JSON] = [{"enum": list(self.names)}]
        options.append({"type": "string", "pattern": f"^({'|'.join(map(any_case, self.names))})$"})
        if self.numbers:
            options.append({"type": "integer"})
        return {"anyOf": options}


@dataclass(frozen=True, eq=False, repr=False)
class ListOf(_Simple):
    item: Kind
    what: str
    or_single: bool = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)

    def expected(self) -> str:
        return f"a list of {self.what}"

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if self.or_single and self.item.accepts(value):
            self.item.check(value, path, problems)
        elif self.accepts(value) or (
            self.or_single and isinstance(value, Iterable) and not isinstance(value, Mapping)
        ):
            for position, item in enumerate(value):
                self.item.check(item, (*path, position), problems)
        else:
            super().check(value, path, problems)

    def instead(self, value: Any) -> str:
        return super().instead(value) or (f"; write [{value}]" if isinstance(value, str) else "")

    def schema(self) -> JSON:
        several: JSON = {"type": "array", "items": self.item.schema()}
        return {"anyOf": [several, self.item.schema()]} if self.or_single else several


@dataclass(frozen=True, eq=False, repr=False)
class MappingOf(_Simple):
    key: Kind
    value: Kind
    what: str

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def expected(self) -> str:
        return f"a mapping of {self.what}"

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if not self.accepts(value):
            super().check(value, path, problems)
            return
        for key, item in value.items():
            self.key.check(key, (*path, key), problems.at_keys())
            self.value.check(item, (*path, key), problems)

    def instead(self, value: Any) -> str:
        return super().instead(value) or _as_mapping(value)

    def schema(self) -> JSON:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.value.schema(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Either:
    """The first of several kinds that the value seems to be meant as decides what is wrong with it."""

    kinds: tuple[Kind, ...]

    def accepts(self, value: Any) -> bool:
        return any(kind.accepts(value) for kind in self.kinds)

    def expected(self) -> str:
        return " or ".join(kind.expected() for kind in self.kinds)

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        for kind in self.kinds:
            if kind.accepts(value):
                kind.check(value, path, problems)
                return
        problems.add(path, f"expected {self.expected()}, not {shown(value)}", WrongTypeError, at_value=True)

    def schema(self) -> JSON:
        return {"anyOf": [kind.schema() for kind in self.kinds]}


@dataclass(frozen=True, eq=False, repr=False)
class Field:
    """One key of a `Record`."""

    kind: Kind
    description: str
    default: Any = None
    required: bool = False
    #: accepted for the sake of older configurations, without effect
    ignored: bool = False

    def schema(self) -> JSON:
        value = self.kind.schema()
        # an optional key without a value means its default
        described: JSON = value if self.required or not value else {"anyOf": [value, {"type": "null"}]}
        described = {**described, "description": self.description}
        if self.default is not None:
            described["default"] = self.default
        if self.ignored:
            described["deprecated"] = True
        return described


@dataclass(frozen=True, eq=False, repr=False)
class Record(_Simple):
    """A mapping with known keys, of which the optional ones may be null. Its schema is a definition."""

    name: str
    what: str
    fields: Mapping[str, Field]

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def expected(self) -> str:
        some = self.usual if len(self.usual) < 6 else [*self.usual[:4], "..."]
        return f"{self.what} (a mapping with the keys {', '.join(some)})"

    def instead(self, value: Any) -> str:
        if isinstance(value, str) and _DOTTED.fullmatch(value) and "class" in self.fields:
            return f"; write {{class: {value}}}"
        return super().instead(value) or _as_mapping(value)

    @property
    def usual(self) -> list[str]:
        """The keys that have an effect."""
        return [name for name, description in self.fields.items() if not description.ignored]

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        if not self.accepts(value):
            super().check(value, path, problems)
            return
        for name, described in self.fields.items():
            if described.required and name not in value:
                problems.add(
                    path, f"{self.what} needs the key {name!r} ({described.description})", MissingKeyError
                )
        for key, item in value.items():
            if key in self.fields:
                if item is not None or self.fields[key].required:
                    self.fields[key].kind.check(item, (*path, key), problems)
            else:
                hint = did_you_mean(str(key), self.fields, list_all_up_to=20)
                problems.add((*path, key), f"unknown key {key!r} of {self.what}{hint}", UnknownKeyError)

    def schema(self) -> JSON:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> JSON:
        """The schema itself, to be put under `$defs`."""
        required = [name for name, described in self.fields.items() if described.required]
        return {
            "type": "object",
            "description": self.what,
            "properties": {name: described.schema() for name, described in self.fields.items()},
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }


def _as_mapping(value: Any) -> str:
    return "; write each entry as 'key: value', without a '-' before it" if isinstance(value, list) else ""


def shown(value: Any) -> str:
    """A value in an error message, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, datetime.date):
        return value.isoformat()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

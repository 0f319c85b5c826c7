"""From what a configuration says about an element to its implementation."""

from __future__ import annotations

import enum
import json
import pickle
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, cast

from roleml.core.builders.arguments import check_arguments
from roleml.core.builders.errors import ConfigError, Problems, WrongTypeError
from roleml.core.builders.resolve import MISSING, resolve
from roleml.core.builders.spec import (
    ELEMENT_IMPLEMENTATION,
    ElementImplementationSpec,
    ParsedElementImplementationSpec,
)
from roleml.core.role.elements import ConstructStrategy, ElementImplementation, InitializeStrategy
from roleml.shared.importing import load
from roleml.shared.suggestions import did_you_mean
from roleml.shared.types import is_type

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = [
    "ElementImplementationSpec",
    "ParsedElementImplementationSpec",
    "get_registered_deserializer",
    "get_registered_initializer",
    "get_registered_serializer",
    "load_element_impl_spec",
    "parse_descriptors",
    "parse_element_impl",
    "register_deserializer",
    "register_initializer",
    "register_serializer",
]

Function = Callable[..., Any]
Getter = Callable[[], Function]


class _Aliases:
    """The short names of one kind of functions. Extended by applications, for the whole process."""

    def __init__(self, kind: str, getters: Mapping[str, Getter]) -> None:
        self.kind = kind
        self.getters = dict(getters)

    def register(self, name: str, getter: Getter) -> None:
        self.getters[name] = getter

    def get(self, name: str) -> Function:
        getter = self.getters.get(name)
        if getter is None:
            raise RuntimeError(f"no {self.kind} is registered as {name!r}{did_you_mean(name, self.getters)}")
        return getter()


def _initialize_itself(obj: Any) -> Any:
    return obj.initialize()


def _serialize_itself(obj: Any, file: IO[Any]) -> Any:
    return obj.serialize(file)


_initializers = _Aliases("initializer", {"self": lambda: _initialize_itself})
_serializers = _Aliases(
    "serializer",
    {"self": lambda: _serialize_itself, "pickle": lambda: pickle.dump, "json": lambda: json.dump},
)
_deserializers = _Aliases("deserializer", {"pickle": lambda: pickle.load, "json": lambda: json.load})


def register_initializer(name: str, getter: Getter) -> None:
    """Let configurations say `initializer: name` for the function `f(obj)` that `getter()` returns."""
    _initializers.register(name, getter)


def register_serializer(name: str, getter: Getter) -> None:
    """Let configurations say `serializer: name` for the function `f(obj, file)` that `getter()` returns."""
    _serializers.register(name, getter)


def register_deserializer(name: str, getter: Getter) -> None:
    """Let configurations say `deserializer: name` for the function `f(file)` that `getter()` returns."""
    _deserializers.register(name, getter)


def get_registered_initializer(name: str) -> Function:
    """The initializer registered as `name`. Raises RuntimeError if there is none."""
    return _initializers.get(name)


def get_registered_serializer(name: str) -> Function:
    """The serializer registered as `name`. Raises RuntimeError if there is none."""
    return _serializers.get(name)


def get_registered_deserializer(name: str) -> Function:
    """The deserializer registered as `name`. Raises RuntimeError if there is none."""
    return _deserializers.get(name)


def load_element_impl_spec(spec: ElementImplementationSpec | Mapping[str, Any]) -> ElementImplementation:
    """The implementation that `spec` describes. Raises as `parse_descriptors`."""
    return _implementation(parse_descriptors(spec))


def parse_descriptors(
    spec: ElementImplementationSpec | Mapping[str, Any],
) -> ParsedElementImplementationSpec:
    """A copy of `spec` in which every name is replaced by what it names.

    Raises:
        ConfigError: a value that is not possible. It is also a TypeError for an unknown key or a value of
            another type, a KeyError for an unknown strategy, a ModuleNotFoundError or AttributeError for a
            name that leads nowhere.
    """
    problems = Problems()
    parsed = _parse(spec, (), problems)
    problems.raise_if_any()
    return cast("ParsedElementImplementationSpec", parsed)


def parse_element_impl(spec: Any, path: KeyPath, problems: Problems) -> ElementImplementation | None:
    """Like `load_element_impl_spec`, with problems noted instead of raised; None if there are any."""
    before = len(problems)
    parsed = _parse(spec, path, problems)
    return _implementation(parsed) if len(problems) == before else None


def _implementation(parsed: Mapping[str, Any]) -> ElementImplementation:
    fields = {"cls" if key == "class" else key: value for key, value in parsed.items()}
    if fields.get("serializer") is json.dump:  # which writes text whatever the declaration says
        fields.setdefault("serializer_mode", "text")
    return ElementImplementation(**fields)


def _parse(spec: Any, path: KeyPath, problems: Problems) -> dict[str, Any]:
    before = len(problems)
    ELEMENT_IMPLEMENTATION.check(spec, path, problems)
    if len(problems) > before:
        return {}
    parsed = {}
    for key, value in spec.items():
        if value is not None:
            parse = _PARSERS.get(key)
            found = value if parse is None else parse(value, (*path, key), problems)
            if found is not MISSING:
                parsed[key] = found
    if parsed.get("serializer") is json.dump and parsed.get("serializer_mode") == "binary":
        text = "the serializer 'json' writes text, so its 'serializer_mode' must be 'text'"
        problems.add((*path, "serializer_mode"), text, WrongTypeError, at_value=True)
    return parsed


def _parse_class(value: Any, path: KeyPath, problems: Problems) -> Any:
    found = resolve(value, path, problems)
    if found is not MISSING and not is_type(found):
        problems.add(path, f"{value!r} is not a class", WrongTypeError, at_value=True)
        return MISSING
    return found


def _parse_constructor(value: Any, path: KeyPath, problems: Problems) -> Any:
    if not isinstance(value, Mapping):
        return _parse_function(value, path, problems)
    factory = _parse_function(value["type"], (*path, "type"), problems)
    if factory is MISSING:
        return MISSING
    before = len(problems)
    options = value.get("options") or {}
    name = getattr(factory, "__qualname__", None) or repr(factory)
    check_arguments(
        factory,
        options,
        (*path, "options"),
        problems,
        of=name,
        needed_at=None if options else path,
    )
    if len(problems) > before:
        return MISSING
    try:
        return load({**value, "type": factory}, Callable)
    except TypeError as error:
        problems.add(path, str(error), WrongTypeError, cause=error)
    except Exception as error:  # noqa: BLE001  # the factory's own code: one failure must not hide other problems
        text = f"{name} failed with {type(error).__name__}: {error}"
        problems.add(path, text, ConfigError, cause=error)
    return MISSING


def _parse_function(value: Any, path: KeyPath, problems: Problems) -> Any:
    found = resolve(value, path, problems)
    if found is not MISSING and not callable(found):
        problems.add(path, f"{value!r} cannot be called", WrongTypeError, at_value=True)
        return MISSING
    return found


def _parse_aliased(aliases: _Aliases) -> Callable[[Any, KeyPath, Problems], Any]:
    def parse(value: Any, path: KeyPath, problems: Problems) -> Any:
        if isinstance(value, str) and value in aliases.getters:
            return aliases.get(value)
        if isinstance(value, str) and "." not in value:
            hint = did_you_mean(value, aliases.getters)
            text = f"{value!r} is neither a registered {aliases.kind} nor a dotted name{hint}"
            problems.add(path, text, ConfigError, at_value=True)
            return MISSING
        return _parse_function(value, path, problems)

    return parse


def _parse_member(members: type[enum.Enum]) -> Callable[[Any, KeyPath, Problems], Any]:
    return lambda value, path, problems: members[value.upper()] if isinstance(value, str) else value


def _parse_mode(value: str, path: KeyPath, problems: Problems) -> str:
    return value.lower()


# keys that are missing here are taken as they are
_PARSERS: dict[str, Callable[[Any, KeyPath, Problems], Any]] = {
    "class": _parse_class,
    "impl": resolve,
    "constructor": _parse_constructor,
    "construct_strategy": _parse_member(ConstructStrategy),
    "initializer": _parse_aliased(_initializers),
    "initialize_strategy": _parse_member(InitializeStrategy),
    "serializer": _parse_aliased(_serializers),
    "serializer_mode": _parse_mode,
    "deserializer": _parse_aliased(_deserializers),
    "deserializer_mode": _parse_mode,
    "destructor": _parse_function,
}

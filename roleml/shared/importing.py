"""Turns the dotted names of a configuration into the objects they name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from roleml.shared.suggestions import did_you_mean
from roleml.shared.types import is_instance, is_subclass, is_type, type_name

__all__ = ["as_class", "as_definition", "as_function", "load", "load_definition"]


def load_definition(name: str) -> Any:
    """The object called `name`, which is `package.module.attribute`.

    Raises:
        ValueError: `name` is not a dotted name.
        ModuleNotFoundError: the part before the last dot is no module.
        AttributeError: the module has no such attribute.
        Exception: whatever importing the module raises.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name or not attribute or not all(module_name.split(".")):
        raise ValueError(
            f"cannot import {name!r}: expected a dotted name such as 'package.module.{attribute or 'Name'}'"
        )
    module = _import_module(module_name, wanted=name)
    try:
        return getattr(module, attribute)
    except AttributeError:
        hint = did_you_mean(attribute, [n for n in dir(module) if not n.startswith("__")], list_all_up_to=0)
        raise AttributeError(
            f"cannot import {name!r}: module {module_name!r} has no attribute {attribute!r}{hint}",
            name=attribute,
            obj=module,
        ) from None


def as_definition(target: Any) -> Any:
    """`target` itself, or if it is a string the object it names."""
    return load_definition(target) if isinstance(target, str) else target


def as_class(target: Any) -> Any:
    """A class given as such or by its dotted name. Raises TypeError if it is something else."""
    cls = as_definition(target)
    if not is_type(cls):
        raise TypeError(f"{_origin(target, cls)} is not a class")
    return cls


def as_function(target: Any) -> Callable[..., Any]:
    """A callable given as such or by its dotted name. Raises TypeError if it is something else."""
    function: Callable[..., Any] = as_definition(target)
    if not callable(function):
        raise TypeError(f"{_origin(target, function)} is not callable")
    return function


def load(
    target: Any,
    obj_type: Any,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    builtin_sources: Mapping[str, Any] | None = None,
    builtin_source_getters: Mapping[str, Callable[[], Any]] | None = None,
) -> Any:
    """Makes an instance of `obj_type` out of what a configuration says.

    `target` may be

    - a string: a key of `builtin_sources`, else a key of `builtin_source_getters` (the getter is called to
      get the object), else a dotted name;
    - a mapping `{"type": ..., "options": {...}}`: the type is found the same way, then called with `args`,
      the options, and `kwargs`, which win over the options;
    - any other object.

    What is found is returned if it is an instance of `obj_type`. A class, or a callable where `obj_type` is
    not `Callable`, is called with `args` and `kwargs` to obtain one. Where a callable is asked for, a class
    whose instances cannot be called is itself the callable.

    Raises:
        TypeError: the outcome is no instance of `obj_type`, or `obj_type` is `str`, which cannot be told from
            a name.
        ValueError, ModuleNotFoundError, AttributeError: see `load_definition`.
    """
    if obj_type is str:
        raise TypeError("cannot load a str: a string in this place is the name of something else")
    sources = _Sources(builtin_sources or {}, builtin_source_getters or {})
    positional, named = tuple(args or ()), dict(kwargs or {})
    if _is_spec(target):
        factory = sources.find(target["type"])
        options = target.get("options")
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(
                f"'options' of {target['type']!r} must be a mapping, not {type(options).__name__}"
            )
        if not callable(factory):
            raise TypeError(
                f"{_origin(target['type'], factory)} is given as a type with options but is not callable"
            )
        found = factory(*positional, **{**(options or {}), **named})
    else:
        found = sources.find(target)
    if _satisfies(found, obj_type):
        return found
    if isinstance(found, type) and isinstance(obj_type, type) and is_subclass(found, obj_type) is False:
        raise TypeError(f"{_origin(target, found)} is not a subclass of {type_name(obj_type)}")
    if isinstance(found, type) or (callable(found) and not _is_callable_type(obj_type)):
        made = found(*positional, **named)
    else:
        made = found
    if not is_instance(made, obj_type):
        raise TypeError(f"{_origin(target, made)} is not an instance of {type_name(obj_type)}")
    return made


class _Sources:
    """Where the strings of one `load` call are looked up."""

    def __init__(self, objects: Mapping[str, Any], getters: Mapping[str, Callable[[], Any]]) -> None:
        self.objects = objects
        self.getters = getters

    def find(self, target: Any) -> Any:
        if not isinstance(target, str):
            return target
        if target in self.objects:
            return self.objects[target]
        if target in self.getters:
            return self.getters[target]()
        if "." not in target and (self.objects or self.getters):
            raise ValueError(
                f"{target!r} is neither a known alias nor a dotted name"
                + did_you_mean(target, [*self.objects, *self.getters])
            )
        return load_definition(target)


def _is_spec(target: Any) -> bool:
    return isinstance(target, Mapping) and "type" in target and set(target) <= {"type", "options"}


def _is_callable_type(obj_type: Any) -> bool:
    # typing.Callable, collections.abc.Callable and their parametrised forms all have or are this origin
    return obj_type is Callable or getattr(obj_type, "__origin__", None) is Callable


def _satisfies(found: Any, obj_type: Any) -> bool:
    if not isinstance(found, type):
        return is_instance(found, obj_type)
    if obj_type is type or getattr(obj_type, "__origin__", None) is type:
        return True
    instances_are_callable = any("__call__" in vars(base) for base in found.__mro__)
    return _is_callable_type(obj_type) and not instances_are_callable


def _import_module(module_name: str, *, wanted: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name
        # an import inside the module that fails is the module's problem and must be shown as it is
        if missing is None or not (module_name == missing or module_name.startswith(missing + ".")):
            raise
        parent, _, last = missing.rpartition(".")
        hint = did_you_mean(last, _submodules(parent), list_all_up_to=0)
        raise ModuleNotFoundError(
            f"cannot import {wanted!r}: there is no module {missing!r}{hint}", name=missing, path=error.path
        ) from None


def _submodules(package: str) -> Iterable[str]:
    if not package:
        return [module.name for module in pkgutil.iter_modules()]
    try:
        path = getattr(importlib.import_module(package), "__path__", None)
    except ImportError:
        return []
    return [module.name for module in pkgutil.iter_modules(path)] if path is not None else []


def _origin(target: Any, found: Any) -> str:
    if isinstance(target, Mapping):
        target = target.get("type")
    if isinstance(target, str):
        return f"{target!r} ({type(found).__name__})"
    return repr(found)

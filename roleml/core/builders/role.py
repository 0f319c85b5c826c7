"""From the configuration of a role to a role that an actor hosts."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from roleml.core.actor.actor import BaseActor
from roleml.core.builders.arguments import check_arguments
from roleml.core.builders.element import parse_element_impl
from roleml.core.builders.errors import (
    Problems,
    UnknownElementError,
    UnknownKeyError,
    WrongTypeError,
    placed,
)
from roleml.core.builders.resolve import MISSING, resolve
from roleml.core.builders.spec import PRESET, ROLE_OR_CLASS, ElementPresetSpec, RoleDescriptor, snapshot
from roleml.core.role.base import Role
from roleml.core.role.elements import ConstructStrategy, Element, ElementImplementation
from roleml.core.role.naming import to_standardized_name
from roleml.shared.suggestions import did_you_mean
from roleml.shared.types import is_instance, is_subclass, type_name

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath, Marks

__all__ = ["RoleBuilder", "RoleConfig", "install_role"]


class RoleConfig(NamedTuple):
    """The configuration of a role. Its dictionaries may be edited until the role is built."""

    cls: Any
    options: dict[str, Any]
    impl: dict[str, Any]


class _Presets:
    """Element implementations by role class, for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._elements: dict[type[Role], dict[str, tuple[Any, KeyPath]]] = {}
        self._on_conflict: dict[type[Role], str] = {}

    def update(
        self, cls: type[Role], elements: Mapping[str, Any], on_conflict: str | None, path: KeyPath
    ) -> None:
        place = path or ("element_preset", cls)
        new = {
            to_standardized_name(name): (snapshot(spec), (*place, "elements", name))
            for name, spec in elements.items()
        }
        with self._lock:
            self._elements.setdefault(cls, {}).update(new)
            if on_conflict is not None:
                self._on_conflict[cls] = on_conflict.lower()

    def find(self, cls: type[Role]) -> tuple[dict[str, tuple[Any, KeyPath]], str] | None:
        """Element names to specs and where they stand, and what is done on conflict."""
        with self._lock:
            found: type[Any] | None = cls
            while found is not None and found not in self._elements:
                found = next((base for base in found.__bases__ if issubclass(base, Role)), None)
            if found is None:
                return None
            elements = {name: (snapshot(spec), path) for name, (spec, path) in self._elements[found].items()}
            return elements, self._on_conflict.get(found, "override")

    def clear(self) -> None:
        with self._lock:
            self._elements.clear()
            self._on_conflict.clear()


class RoleBuilder:
    """Builds one role instance.

    The configuration is copied; `marks`, with the `path` of this role in its file, tell the places of what is
    wrong in it.

    Raises:
        ConfigError: the form of the configuration (also a KeyError if `class` is missing).
    """

    _presets: ClassVar[_Presets] = _Presets()

    def __init__(
        self,
        name: str,
        spec: RoleDescriptor | Mapping[str, Any],
        *,
        marks: Marks | None = None,
        path: KeyPath | None = None,
    ) -> None:
        self.name = name
        self._marks = marks
        self._path: KeyPath = (name,) if path is None else path
        given: Any = snapshot(spec) if isinstance(spec, Mapping) else {"class": spec}
        self._class_path = (*self._path, "class") if isinstance(spec, Mapping) else self._path
        problems = Problems(marks)
        ROLE_OR_CLASS.check(spec, self._path, problems)
        problems.raise_if_any()
        self.config = RoleConfig(given["class"], given.get("options") or {}, given.get("impl") or {})
        self.role: Role | None = None
        self.impls: dict[str, ElementImplementation] = {}
        #: where in the configuration each of them stands
        self.impl_paths: dict[str, KeyPath] = {}
        self._cls: type[Role] | None = None

    @property
    def role_class(self) -> type[Role] | None:
        """The class, once everything was resolved."""
        return self._cls

    def resolve(self, problems: Problems) -> None:
        """Import what the configuration names and check it against the role class; note what is wrong."""
        if self._cls is not None:
            return
        before = len(problems)
        cls = resolve(self.config.cls, self._class_path, problems)
        if cls is MISSING:
            return
        if not (isinstance(cls, type) and issubclass(cls, Role)):
            text = f"{self.config.cls!r} is not a role class (a subclass of roleml.essentials.Role)"
            problems.add(self._class_path, text, WrongTypeError, at_value=True)
            return
        self._check_options(cls, problems)
        impls = {}
        for element_name, (spec, path) in self._element_specs(cls, problems).items():
            if element_name not in cls.elements:
                hint = did_you_mean(element_name, cls.elements, list_all_up_to=20)
                text = f"unknown element {path[-1]!r} of role class {cls.__qualname__}{hint}"
                problems.add(path, text, UnknownElementError)
            impl = parse_element_impl(spec, path, problems)
            if impl is not None:
                impls[element_name] = impl
                self.impl_paths[element_name] = path
                if element_name in cls.elements:
                    declaration = getattr(cls, cls.elements[element_name])
                    _check_type(declaration, impl, path, problems)
                    _check_construction(declaration, impl, path, problems)
        if len(problems) == before:
            self._cls, self.impls = cls, impls

    def build(self) -> None:
        """Construct the role object. A second call does nothing.

        Raises:
            ConfigError: all that is wrong with the names in the configuration. It is also a TypeError if the
                class is not a role, an unknown option is given or a required one is missing; a RuntimeError
                for an unknown element; a ModuleNotFoundError or AttributeError for what does not exist.
            Exception: whatever the constructor of the role raises.
        """
        if self.role is not None:
            return
        problems = Problems(self._marks)
        self.resolve(problems)
        problems.raise_if_any()
        assert self._cls is not None
        path = (*self._path, "options") if self.config.options else self._class_path
        with placed(path, self._marks):
            self.role = self._cls(**self.config.options)

    def install(self, actor: BaseActor, start: bool = False) -> None:
        """Add the role to `actor`, implement its elements, and start it if asked to.

        Whatever fails after the role was added removes it again.

        Raises:
            RuntimeError: the role was not built yet.
            Exception: what implementing an element, or starting the role, raises.
        """
        if self.role is None:
            raise RuntimeError(
                f"role {self.name!r} cannot be installed before it is built: call build() first"
            )
        actor.add_role(self.name, self.role)
        try:
            for element_name, impl in self.impls.items():
                with placed(self.impl_paths[element_name], self._marks):
                    actor.implement_element(self.name, element_name, impl)
            if start:
                actor.start_role(self.name)
        except BaseException:
            if self.name in actor.roles:  # a role that failed to start has gone already
                actor.stop_role(self.name)
            raise

    @classmethod
    def update_element_preset(
        cls,
        role_cls: type[Role] | str,
        elements: Mapping[str, Any] | None = None,
        on_conflict: str | None = None,
    ) -> None:
        """Give all roles of a class, in this process, implementations for elements.

        They add to earlier ones, element by element. `on_conflict` says what applies to an element that a
        role implements itself: `'override'` (the role's), `'preset'`, or `'error'`.

        Raises:
            ConfigError: a value that is not possible; also a TypeError if `role_cls` is not a role class.
        """
        problems = Problems()
        cls.add_preset(role_cls, {"elements": elements, "on_conflict": on_conflict}, (), problems)
        problems.raise_if_any()

    @classmethod
    def add_preset(cls, role_cls: Any, spec: Mapping[str, Any], path: KeyPath, problems: Problems) -> None:
        """Like `update_element_preset`, with problems noted instead of raised."""
        before = len(problems)
        PRESET.check(spec, path, problems)
        found = resolve(role_cls, path, problems.at_keys())
        if found is not MISSING and not (isinstance(found, type) and issubclass(found, Role)):
            text = f"{role_cls!r} is not a role class, so it has no elements"
            problems.add(path, text, WrongTypeError)
        if len(problems) == before:
            cls._presets.update(found, spec.get("elements") or {}, spec.get("on_conflict"), path)

    @classmethod
    def find_element_preset(cls, role_cls: type[Role]) -> ElementPresetSpec | None:
        """A copy of the preset of this class, else of the nearest of its first role bases that has one."""
        found = cls._presets.find(role_cls)
        if found is None:
            return None
        elements, on_conflict = found
        return {"elements": {name: spec for name, (spec, _) in elements.items()}, "on_conflict": on_conflict}

    @classmethod
    def clear_element_preset(cls) -> None:
        """Forget all presets."""
        cls._presets.clear()

    @classmethod
    def apart(cls) -> type[RoleBuilder]:
        """A builder class with presets of its own: none at first, and none of them for the process."""
        return type(cls.__name__, (cls,), {"_presets": _Presets()})

    def _element_specs(self, cls: type[Role], problems: Problems) -> dict[str, tuple[Any, KeyPath]]:
        """Standardised element names to specs and where they stand, the preset included."""
        own: dict[str, tuple[Any, KeyPath]] = {}
        for name, spec in self.config.impl.items():
            path: KeyPath = (*self._path, "impl", name)
            standard = to_standardized_name(name)
            if standard in own:
                other = own[standard][1][-1]
                problems.add(path, f"{name!r} and {other!r} are the same element", UnknownKeyError)
            own[standard] = (spec, path)
        preset = self._presets.find(cls)
        if preset is None:
            return own
        ready, on_conflict = preset
        if on_conflict == "preset":
            return {**own, **ready}
        if on_conflict == "error":
            for standard in own.keys() & ready.keys():
                text = f"there is a preset for this element of {cls.__qualname__}, with 'on_conflict: error'"
                problems.add(own[standard][1], text, WrongTypeError)
        return {**ready, **own}

    def _check_options(self, cls: type[Role], problems: Problems) -> None:
        options, path = self.config.options, (*self._path, "options")
        check_arguments(
            cls,
            options,
            path,
            problems,
            of=f"role class {cls.__qualname__}",
            noun="option",
            needed_at=path if options else self._class_path,
        )


def _check_type(
    declaration: Element[Any], impl: ElementImplementation, path: KeyPath, problems: Problems
) -> None:
    """Note early, with its place, what implementing the element would refuse."""
    if not declaration.type_check:
        return
    declared = f"the type of {declaration.declared_as}, {type_name(declaration.cls)}"
    if impl.narrowed and is_subclass(impl.cls, declaration.cls) is False:
        text = f"{type_name(impl.cls)} is no subclass of {declared}"
        problems.add((*path, "class"), text, WrongTypeError, at_value=True)
    if impl.impl is not None and not is_instance(impl.impl, declaration.cls):
        text = f"a {type_name(type(impl.impl))} is no instance of {declared}"
        problems.add((*path, "impl"), text, WrongTypeError, at_value=True)


def _check_construction(
    declaration: Element[Any], impl: ElementImplementation, path: KeyPath, problems: Problems
) -> None:
    """Note early, with its place, what the first construction would fail of."""
    exists = impl.impl is not None or (
        impl.deserializer_source is not None
        and (impl.deserializer or declaration.default_deserializer) is not None
    )
    if impl.constructor is not None:
        constructor, place = impl.constructor, (*path, "constructor")
    elif impl.narrowed:
        constructor, place = impl.cls, (*path, "class")
        if not exists and (inspect.isabstract(impl.cls) or getattr(impl.cls, "_is_protocol", False)):
            text = f"{type_name(impl.cls)} is abstract: name a class that implements it"
            problems.add(place, text, WrongTypeError, at_value=True)
            return
    elif declaration.default_constructor is not None:
        constructor, place = declaration.default_constructor, path
    else:
        return
    given = impl.constructor_args
    strategy = impl.construct_strategy or declaration.default_construct_strategy
    eager = strategy is ConstructStrategy.ONCE_EAGER and not exists
    if not given and not eager:
        return  # the role may give arguments of its own when it calls the element
    check_arguments(
        constructor,
        given or declaration.default_constructor_args or {},
        (*path, "constructor_args"),
        problems,
        of=getattr(constructor, "__qualname__", None) or repr(constructor),
        needed_at=None if given else place,
    )


def install_role(actor: BaseActor, name: str, spec: Any) -> type[Role]:
    """Build the role `name` from its configuration, have `actor` host and start it; returns its class."""
    builder = RoleBuilder(name, spec)
    builder.build()
    builder.install(actor, start=True)
    return type(builder.role)  # type: ignore[return-value]  # build() has set it

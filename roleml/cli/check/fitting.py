"""Whether roles and relationships fit together, wherever in a file they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from roleml.cli.check.contradictions import never
from roleml.cli.check.findings import Code, Findings, problems_of
from roleml.core.actor.conditions import parse_conditions
from roleml.core.actor.native import NATIVE_ROLE_NAME, NativeRole
from roleml.core.builders.arguments import check_arguments
from roleml.core.builders.errors import ConfigError, Problem, Problems
from roleml.core.builders.resolve import resolve
from roleml.core.builders.role import RoleBuilder
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import attribute
from roleml.core.role.elements import Element, ElementImplementation
from roleml.shared.interfaces import Runnable
from roleml.shared.suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath, Marks

__all__ = ["ActorView", "Check", "Hosted", "Member", "items", "listed", "mappings"]


@dataclass
class Member:
    instance: RoleInstanceID
    path: KeyPath


@dataclass
class Hosted:
    cls: type[Role] | None
    path: KeyPath


@dataclass
class ActorView:
    name: str
    path: KeyPath
    roles: dict[str, Hosted] = field(default_factory=dict)
    relationships: dict[str, list[Member]] = field(default_factory=dict)
    links: dict[str, tuple[str, KeyPath]] = field(default_factory=dict)

    def members(self, name: str) -> list[Member]:
        original = self.links[name][0] if name in self.links else name
        return self.relationships.get(original, [])


class Check:
    """What both kinds of files have in common."""

    def __init__(self, config: Mapping[str, Any], marks: Marks) -> None:
        self.config = config
        self.marks = marks
        self.findings = Findings()
        self.actors: dict[str, ActorView] = {}
        #: whether all actors that there are, are in the file
        self.whole = True

    def check(self) -> Findings:
        """Look at everything."""
        raise NotImplementedError

    def error(self, path: KeyPath, text: str, code: Code, *, at_value: bool = False) -> None:
        self.findings.errors.append(self._problem(path, text, code, at_value=at_value))

    def warn(self, path: KeyPath, text: str, code: Code, *, at_value: bool = False) -> None:
        self.findings.warnings.append(self._problem(path, text, code, at_value=at_value))

    def _problem(self, path: KeyPath, text: str, code: Code, *, at_value: bool) -> Problem:
        mark = self.marks.value(path) if at_value else self.marks.key(path)
        return Problem(path, text, ConfigError, mark, code=code.value)

    def role(
        self, name: str, spec: Any, path: KeyPath, builder_cls: type[RoleBuilder] = RoleBuilder
    ) -> Hosted:
        """Import a role's class and check what is said of it."""
        problems = Problems(self.marks)
        for element, given in items(spec.get("impl") if isinstance(spec, Mapping) else None):
            arguments = given.get("constructor_args") if isinstance(given, Mapping) else None
            self._check_objects(arguments, (*path, "impl", element, "constructor_args"), problems)
        self.findings.errors.extend(problems_of(problems))
        problems = Problems(self.marks)
        try:
            builder = builder_cls(name, spec, marks=self.marks, path=path)
            builder.resolve(problems)
            problems.raise_if_any()
        except ConfigError as e:
            self.findings.errors.extend(e.problems)
            return Hosted(_class_of(spec), path)
        cls = builder.role_class
        assert cls is not None
        for element, attr in cls.elements.items():
            declaration, impl = getattr(cls, attr), builder.impls.get(element)
            if impl is not None:
                self._check_impl(declaration, impl, builder.impl_paths[element])
            elif not declaration.optional and not _provides(declaration, ElementImplementation()):
                text = f"the element {element!r} of role class {cls.__qualname__} has no implementation"
                self.error(path, text, Code.ELEMENT)
        return Hosted(cls, path)

    def _check_impl(self, declaration: Element[Any], impl: ElementImplementation, path: KeyPath) -> None:
        if not _provides(declaration, impl):
            text = "nothing gives the object: name a 'class', a 'constructor', or the object itself as 'impl'"
            self.error(path, text, Code.ELEMENT)
        for key, file, function in (
            ("serializer", impl.serializer_destination, impl.serializer or declaration.default_serializer),
            ("deserializer", impl.deserializer_source, impl.deserializer or declaration.default_deserializer),
        ):
            if file is not None and function is None:
                where = (*path, f"{key}_{'destination' if key == 'serializer' else 'source'}")
                text = f"{os.fspath(file)!r} is not used: there is no {key!r}, such as 'pickle'"
                self.warn(where, text, Code.NO_EFFECT)

    def _check_objects(self, value: Any, path: KeyPath, problems: Problems) -> None:
        """Look up objects that an argument describes by `type` and `options`, at any depth."""
        if isinstance(value, Mapping):
            name = value.get("type")
            if isinstance(name, str) and "." in name and set(value) <= {"type", "options"}:
                function, options = resolve(name, (*path, "type"), problems), value.get("options") or {}
                if callable(function) and isinstance(options, Mapping):
                    called = getattr(function, "__qualname__", None) or name
                    check_arguments(
                        function, options, (*path, "options"), problems, of=called, needed_at=path
                    )
            for key, item in value.items():
                self._check_objects(item, (*path, key), problems)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._check_objects(item, (*path, index), problems)

    def fit_together(self) -> None:
        """Relationships lead somewhere, and what is listened to exists."""
        for actor in self.actors.values():
            for name, members in actor.relationships.items():
                for member in members:
                    self._check_member(name, member)
            for alias, (original, path) in actor.links.items():
                known = [*actor.relationships, *actor.roles]
                if original not in known and (near := nearest(original, known)):  # else it is filled later
                    text = f"{alias!r} stands for {original!r}, which has no members; did you mean {near!r}?"
                    self.warn(path, text, Code.LINK)
            for name, hosted in actor.roles.items():
                if hosted.cls is not None:
                    self._check_handlers(actor, name, hosted)
        if self.whole:
            self._check_reachable()

    def _check_member(self, relationship: str, member: Member) -> None:
        actor_name, role_name = member.instance
        actor = self.actors.get(actor_name)
        if actor is None:
            if self.whole:
                hint = did_you_mean(actor_name, self.actors)
                text = f"{relationship!r} names the actor {actor_name!r}, which is not there{hint}"
                self.error(member.path, text, Code.MEMBER)
        elif role_name != NATIVE_ROLE_NAME and role_name not in actor.roles:
            hint = did_you_mean(role_name, actor.roles)
            text = f"{relationship!r} names {member.instance}, but {actor_name} has no such role{hint}"
            self.error(member.path, text, Code.MEMBER)

    def _check_handlers(self, actor: ActorView, role_name: str, hosted: Hosted) -> None:
        assert hosted.cls is not None
        for handler, wanted in hosted.cls.event_handlers.items():
            what = f"{hosted.cls.__qualname__}.{handler}"
            instances = [member.instance for member in actor.members(wanted.relationship)]
            if not instances and wanted.relationship in actor.roles:
                instances = [RoleInstanceID(actor.name, wanted.relationship)]
            if not instances and self.whole:
                hint = did_you_mean(wanted.relationship, [*actor.relationships, *actor.links, *actor.roles])
                self.warn(
                    hosted.path,
                    f"{what} listens to {wanted.relationship!r}, which is no relationship with members "
                    f"and no role of {actor.name}{hint}",
                    Code.NOBODY_HEARD,
                )
            for cls, instance in self._classes(instances):
                if wanted.channel_name not in cls.events:
                    hint = did_you_mean(wanted.channel_name, cls.events)
                    self.error(
                        hosted.path,
                        f"{what} listens to the event {wanted.channel_name!r}, which {instance} "
                        f"({cls.__qualname__}) does not have{hint}",
                        Code.EVENT,
                    )
            plain = {k: v for k, v in wanted.conditions.items() if not isinstance(v, attribute)}
            if reason := never(parse_conditions(plain)):
                text = f"the conditions of {what} can never be met: {reason}"
                self.error(hosted.path, text, Code.CONDITIONS)

    def _classes(self, instances: Iterable[RoleInstanceID]) -> Iterator[tuple[type[Role], RoleInstanceID]]:
        seen: set[type[Role]] = set()
        for instance in instances:
            actor = self.actors.get(instance.actor_name)
            hosted = actor.roles.get(instance.instance_name) if actor is not None else None
            cls = hosted.cls if hosted is not None else None
            if instance.instance_name == NATIVE_ROLE_NAME:
                cls = NativeRole
            if cls is not None and cls not in seen:
                seen.add(cls)
                yield cls, instance

    def _check_reachable(self) -> None:
        named = {
            member.instance
            for actor in self.actors.values()
            for members in actor.relationships.values()
            for member in members
        }
        for actor in self.actors.values():
            for name, hosted in actor.roles.items():
                alone = len(actor.roles) == 1
                offers = hosted.cls is not None and (hosted.cls.services or hosted.cls.tasks)
                acts = hosted.cls is not None and issubclass(hosted.cls, Runnable)
                if alone and offers and not acts and RoleInstanceID(actor.name, name) not in named:
                    text = f"nobody can reach {actor.name}/{name}: no relationship names it"
                    self.warn(hosted.path, text, Code.UNREACHABLE)


def _class_of(spec: Any) -> type[Role] | None:
    """The class of a role that is wrong in another respect."""
    problems = Problems()
    found = resolve(spec.get("class") if isinstance(spec, Mapping) else spec, (), problems)
    return found if isinstance(found, type) and issubclass(found, Role) else None


def _provides(declaration: Element[Any], impl: ElementImplementation) -> bool:
    """Whether the element gets an object from somewhere."""
    reads = impl.deserializer_source is not None and (impl.deserializer or declaration.default_deserializer)
    constructs = impl.constructor or impl.narrowed or declaration.default_constructor
    return bool(reads or constructs) or impl.impl is not None or declaration.default_impl is not None


def mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []

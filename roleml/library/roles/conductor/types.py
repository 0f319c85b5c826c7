"""The configuration of a whole run: which actor gets which roles, and whom they talk to.

Either it is reproducible (``fixed: true``) and says so for each actor by its name, or it is a template, whose
patterns and values `expansion` replaces. Both are written down here once, for validation and for editors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from roleml.core.builders.errors import Problems
from roleml.core.builders.schema import (
    Anything,
    DottedName,
    Either,
    Field,
    Flag,
    ListOf,
    MappingOf,
    Name,
    Record,
    Text,
)
from roleml.core.builders.spec import ACTOR, ROLE, RoleDescriptor
from roleml.core.context import check_name
from roleml.library.roles.conductor.helpers import detect_templates
from roleml.shared.suggestions import did_you_mean

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath, Marks

__all__ = [
    "RUN",
    "TEMPLATE",
    "ProfileSpec",
    "RunSpec",
    "RunSpecTemplate",
    "validate_run_spec",
    "validate_run_spec_template",
]


class ProfileSpec(TypedDict, total=False):
    """An actor that takes part; only `name` is required."""

    name: str
    address: str


class _Shared(TypedDict, total=False):
    profiles: Sequence[ProfileSpec]
    roles: Mapping[str, Mapping[str, RoleDescriptor]]
    connections: Mapping[str, Sequence[str]]
    relationships: Mapping[str, Mapping[str, Sequence[str]]]
    relationship_links: Mapping[str, Mapping[str, str]]
    deployment_order: Sequence[str]
    fixed: bool
    experiment: Mapping[str, Any]


class RunSpec(_Shared, total=False):
    """A reproducible configuration: the keys of all mappings are actor names."""


class RunSpecTemplate(_Shared, total=False):
    """What a reproducible configuration is made from: see `expansion.expand`."""

    profiles_separate: Sequence[ProfileSpec]
    profiles_individual: Sequence[ProfileSpec]
    connection_rules: Sequence[str]
    relationship_rules: Mapping[str, Mapping[str, str | Sequence[str]]]


class _Roles(MappingOf):
    """Role names to roles, in whose values there may be templates."""

    def check(self, value: Any, path: KeyPath, problems: Problems) -> None:
        super().check(value, path, problems)
        if isinstance(value, Mapping):
            _check_templates(value, path, problems)


def _check_templates(item: Any, path: KeyPath, problems: Problems) -> None:
    if isinstance(item, Mapping):
        for key, value in item.items():
            _check_templates(value, (*path, key), problems)
    elif isinstance(item, Sequence) and not isinstance(item, str | bytes):
        for position, value in enumerate(item):
            _check_templates(value, (*path, position), problems)
    else:
        try:
            detect_templates(item)
        except ValueError as e:
            problems.add(path, str(e), at_value=True)


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as e:
        raise ValueError(f"{text!r} is no regular expression: {e}") from e


def _check_rule(text: str) -> None:
    parts = text.split(" ")
    if len(parts) != 2:
        raise ValueError(
            f"expected two patterns with a blank between them, such as 'client.* server', not {text!r}"
        )
    for part in parts:
        _check_pattern(part)


def _check_member_rule(text: str) -> None:
    _check_pattern(text.rpartition("/")[0] or text)


def _check_instance(text: str) -> None:
    parts = text.split("/")
    if len(parts) > 2 or not parts[-1]:
        raise ValueError(
            f"expected 'actor/role', '/role' for one of the same actor, or 'actor', not {text!r}"
        )
    for kind, part in zip(("actor", "role"), parts, strict=False):
        if part:
            check_name(kind, part)


_ACTOR = ACTOR.fields["name"].kind
_ROLE_NAME = Name("a role name", lambda name: check_name("role", name))
_PATTERN = Name("a pattern of actor names", _check_pattern)
_ROLE = Either((ROLE, DottedName("a class")))
_INSTANCES = ListOf(
    Name("the name of a role instance, such as 'actor/role'", _check_instance),
    "role instances",
    or_single=True,
)
_LINKS = MappingOf(Text("an alias"), Text("a relationship name"), "aliases to relationship names")

PROFILE = Record(
    "profile",
    "a profile",
    {
        # whatever else such a file says is for whoever starts the actor
        **{name: Field(each.kind, each.description, ignored=True) for name, each in ACTOR.fields.items()},
        "name": Field(_ACTOR, "the name of an actor that takes part", required=True),
        "address": Field(Text("an address"), "of the actor; not needed where there is a broker"),
    },
)
_PROFILES = ListOf(PROFILE, "profiles")

EXPERIMENT = Field(
    MappingOf(Text("a key"), Anything(), "keys to values"),
    "how `roleml simulate` runs it; nothing of this is deployed",
)

#: a reproducible configuration
RUN = Record(
    "run",
    "a run configuration",
    {
        "profiles": Field(_PROFILES, "all actors that take part"),
        "roles": Field(
            MappingOf(_ACTOR, _Roles(_ROLE_NAME, _ROLE, "role names to roles"), "actor names to roles"),
            "the roles that each actor gets, in the order in which they start",
        ),
        "connections": Field(
            MappingOf(_ACTOR, ListOf(_ACTOR, "actor names"), "actor names to actor names"),
            "whose address each actor is told; not needed where there is a broker",
        ),
        "relationships": Field(
            MappingOf(
                _ACTOR,
                MappingOf(Text("a relationship name"), _INSTANCES, "relationship names to role instances"),
                "actor names to relationships",
            ),
            "the role instances that a relationship of an actor names; without a role, the one of its name",
        ),
        "relationship_links": Field(
            MappingOf(_ACTOR, _LINKS, "actor names to links"),
            "further names (left) of relationships (right)",
        ),
        "deployment_order": Field(
            ListOf(_ACTOR, "actor names"), "the actors that are deployed first, one after the other"
        ),
        "fixed": Field(Flag(), "whether this is a reproducible configuration, used as it is", default=False),
        "experiment": EXPERIMENT,
    },
)

#: a template of one
TEMPLATE = Record(
    "runTemplate",
    "a run configuration",
    {
        "profiles": Field(_PROFILES, "the actors that patterns of roles apply to"),
        "profiles_separate": Field(
            _PROFILES, "further actors, to which patterns of relationships and connections apply"
        ),
        "profiles_individual": Field(_PROFILES, "further actors, that patterns find only as members"),
        "roles": Field(
            MappingOf(_PATTERN, _Roles(_ROLE_NAME, _ROLE, "role names to roles"), "patterns to roles"),
            "the roles of all actors whose name matches; a later pattern replaces roles of the same name",
        ),
        "connections": RUN.fields["connections"],
        "connection_rules": Field(
            ListOf(Name("a rule", _check_rule), "rules"),
            "'<from> <to>': actors that match <from> are told the addresses of those that match <to>",
        ),
        "relationships": RUN.fields["relationships"],
        "relationship_rules": Field(
            MappingOf(
                _PATTERN,
                MappingOf(
                    Text("a relationship name"),
                    ListOf(Name("a rule", _check_member_rule), "rules", or_single=True),
                    "relationship names to '<to>/<role>'",
                ),
                "patterns to relationships",
            ),
            "members of the relationships of all actors whose name matches: the role of all that match <to>",
        ),
        "relationship_links": Field(
            MappingOf(_PATTERN, _LINKS, "patterns to links"),
            "further names of relationships, on all actors whose name matches",
        ),
        "deployment_order": Field(
            ListOf(_PATTERN, "patterns"), "the actors that are deployed first, one after the other"
        ),
        "fixed": RUN.fields["fixed"],
        "experiment": EXPERIMENT,
    },
)


def validate_run_spec(spec: Any, marks: Marks | None = None, *, conductor: str | None = None) -> None:
    """Check a reproducible configuration: its form, and whether the actors that it names take part.

    ``conductor`` is the actor that deploys, and need not have a profile.

    Raises:
        ConfigError: all that is wrong, and where, if `marks` are given.
    """
    problems = Problems(marks)
    RUN.check(spec, (), problems)
    problems.raise_if_any()
    names = [profile["name"] for profile in spec.get("profiles") or ()]
    for position, name in enumerate(names):
        if name in names[:position]:
            problems.add(("profiles", position, "name"), f"{name!r} is there already", at_value=True)
    for position, name in enumerate(spec.get("deployment_order") or ()):
        if name not in names and name != conductor:
            path = ("deployment_order", position)
            problems.add(path, f"{name!r} has no profile{did_you_mean(name, names)}", at_value=True)
    known = {*names} if conductor is None else {*names, conductor}
    for key in ("roles", "relationships", "relationship_links", "connections"):
        for name in spec.get(key) or ():
            if conductor is not None and name not in known:
                problems.add((key, name), f"{name!r} has no profile{did_you_mean(name, known)}")
    problems.raise_if_any()


def validate_run_spec_template(spec: Any, marks: Marks | None = None) -> None:
    """Check the form of a template, those of its values included.

    Raises:
        ConfigError: all that is wrong, and where, if `marks` are given.
    """
    problems = Problems(marks)
    TEMPLATE.check(spec, (), problems)
    problems.raise_if_any()

"""The keys of an actor's configuration, written down once for type checkers, validation and editors.

`python -m roleml.core.builders.spec > schema.json` gives the JSON Schema.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from roleml.core.builders.errors import ConfigError, Problems
from roleml.core.builders.schema import (
    Anything,
    Choice,
    DottedName,
    Either,
    Field,
    Flag,
    Integer,
    ListOf,
    MappingOf,
    Name,
    Path,
    Record,
    Text,
)
from roleml.core.context import RoleInstanceID, check_name
from roleml.core.logs import LogConsoleType, LogFormat
from roleml.core.role.elements import ConstructStrategy, FileMode, InitializeStrategy

if TYPE_CHECKING:
    from roleml.shared.yml import Marks

__all__ = [
    "ACTOR",
    "COMPONENT",
    "ELEMENT_IMPLEMENTATION",
    "PRESET",
    "ROLE",
    "ROLE_OR_CLASS",
    "ActorBootstrapSpec",
    "ComponentSpec",
    "ElementImplementationSpec",
    "ElementPresetSpec",
    "LogConsoleType",
    "ObjectSpec",
    "ParsedElementImplementationSpec",
    "RoleDescriptor",
    "RoleSpec",
    "check_actor_spec",
    "json_schema",
    "snapshot",
]


class ObjectSpec(TypedDict, total=False):
    """An object to be made by calling `type` with `options`."""

    type: Any
    options: dict[str, Any]


ComponentSpec = type | str | ObjectSpec

ElementImplementationSpec = TypedDict(
    "ElementImplementationSpec",
    {
        "class": Any,
        "impl": Any,
        "constructor": Callable[..., Any] | str | ObjectSpec,
        "construct_strategy": ConstructStrategy | str,
        "constructor_args": dict[str, Any],
        "initializer": Callable[..., Any] | str,
        "initialize_strategy": InitializeStrategy | str,
        "serializer": Callable[..., Any] | str,
        "serializer_destination": str | os.PathLike[str],
        "serializer_mode": FileMode,
        "deserializer": Callable[..., Any] | str,
        "deserializer_source": str | os.PathLike[str],
        "deserializer_mode": FileMode,
        "destructor": Callable[..., Any] | str,
    },
    total=False,
)
"""Where an element gets its object from, as a configuration says it."""

ParsedElementImplementationSpec = TypedDict(
    "ParsedElementImplementationSpec",
    {
        "class": Any,
        "impl": Any,
        "constructor": Callable[..., Any],
        "construct_strategy": ConstructStrategy,
        "constructor_args": dict[str, Any],
        "initializer": Callable[..., Any],
        "initialize_strategy": InitializeStrategy,
        "serializer": Callable[..., Any],
        "serializer_destination": str | os.PathLike[str],
        "serializer_mode": FileMode,
        "deserializer": Callable[..., Any],
        "deserializer_source": str | os.PathLike[str],
        "deserializer_mode": FileMode,
        "destructor": Callable[..., Any],
    },
    total=False,
)
"""The same after all names were replaced by what they name."""

RoleSpec = TypedDict(
    "RoleSpec",
    {"class": Any, "options": dict[str, Any], "impl": Mapping[str, ElementImplementationSpec]},
    total=False,
)
"""A role of an actor; only `class` is required."""

RoleDescriptor = RoleSpec | type | str


class ElementPresetSpec(TypedDict, total=False):
    """Implementations for the elements of a role class, wherever a role says nothing else."""

    elements: Mapping[str, ElementImplementationSpec]
    on_conflict: str


class ActorBootstrapSpec(TypedDict, total=False):
    """The configuration of an actor; only `name` is required."""

    name: str
    address: str
    broker: str
    allow_pickle: bool
    pickle_key_file: str | os.PathLike[str]
    roles: Mapping[str, RoleDescriptor]
    relationships: Mapping[str, str | Sequence[str]]
    relationship_links: Mapping[str, str]
    element_preset: Mapping[Any, ElementPresetSpec]
    collective_implementor: ComponentSpec
    contacts: dict[str, str]
    handshakes: Sequence[str]
    handwaves: Sequence[str]
    workdir: str | os.PathLike[str]
    src: str | os.PathLike[str]
    log_file_path: str
    log_file_level: str | int
    log_console_type: LogConsoleType
    log_console_level: str | int
    log_format: LogFormat
    log_remote: bool
    tracing: bool
    checkpoint: str | os.PathLike[str]
    resume: bool
    debug: bool
    seed: int
    procedure_invoker: ComponentSpec
    procedure_provider: ComponentSpec
    messaging_component: ComponentSpec
    containerize: bool
    temp_dir: str
    base_image: str
    mounts: Sequence[str]


class _InstanceName(Text):
    """`actor/role`, `/role` or `actor`; how exactly it reads is the builder's business."""

    def __init__(self) -> None:
        super().__init__("the name of a role instance, such as 'actor/role'")

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str | RoleInstanceID)


def _check_role_name(name: str) -> str:
    if name == "actor":
        raise ValueError("role name 'actor' is taken: it is the actor's own native role")
    return check_name("role", name)


_NAME_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
_ROLE_NAME = Name("a role name", _check_role_name, _NAME_PATTERN)
_FUNCTION = DottedName("a function", is_object=callable)
_CLASS = DottedName("a class")
_OPTIONS = MappingOf(Text("an option's name"), Anything(), "option names to values")
_LEVEL = Choice(
    ("DISABLED", "INTERNAL", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    kind_of_error=ConfigError,
    numbers=True,
)
_MODE = Choice(("binary", "text"), kind_of_error=ConfigError)
_ACTOR_NAMES = ListOf(Text("an actor name"), "actor names")

OBJECT = Record(
    "object",
    "an object specification",
    {
        "type": Field(_CLASS, "the class or function to call", required=True),
        "options": Field(_OPTIONS, "keyword arguments of the call"),
    },
)

COMPONENT = Record(
    "component",
    "a component",
    {
        "type": Field(_CLASS, "the component class", required=True),
        "options": Field(_OPTIONS, "accepted for older configurations, without effect", ignored=True),
    },
)

ELEMENT_IMPLEMENTATION = Record(
    "elementImplementation",
    "an element implementation",
    {
        "class": Field(_CLASS, "a narrower type of the object; also its constructor if none is given"),
        "impl": Field(
            Either((DottedName("an object"), Anything())),
            "the object itself; a text is the dotted name of an existing one",
        ),
        "constructor": Field(Either((OBJECT, _FUNCTION)), "a class or function that makes the object"),
        "construct_strategy": Field(
            Choice(("once", "once_eager", "every_call"), ConstructStrategy),
            "when to construct: at the first call, before the role starts, or at each call",
        ),
        "constructor_args": Field(_OPTIONS, "keyword arguments of the constructor"),
        "initializer": Field(
            DottedName("a function", ("self",), callable),
            "called with the object before it is first used; 'self' stands for its method initialize()",
        ),
        "initialize_strategy": Field(
            Choice(("once", "every_call"), InitializeStrategy), "when to initialize: once, or at each call"
        ),
        "serializer": Field(
            DottedName("a function", ("self", "pickle", "json"), callable),
            "called with the object and a file to write it to; 'self' stands for its method serialize(file)",
        ),
        "serializer_destination": Field(Path(), "the file to write the object to when the role terminates"),
        "serializer_mode": Field(_MODE, "how to open that file; the serializer 'json' needs 'text'"),
        "deserializer": Field(
            DottedName("a function", ("pickle", "json"), callable),
            "called with a file to read the object from",
        ),
        "deserializer_source": Field(Path(), "the file to read the object from before the role starts"),
        "deserializer_mode": Field(_MODE, "how to open that file; the deserializer 'json' needs 'text'"),
        "destructor": Field(_FUNCTION, "called with the object when it is replaced or the role terminates"),
    },
)

_ELEMENTS = MappingOf(Text("an element name"), ELEMENT_IMPLEMENTATION, "element names to implementations")

ROLE = Record(
    "role",
    "a role",
    {
        "class": Field(_CLASS, "the role class", required=True),
        "options": Field(_OPTIONS, "keyword arguments of the role class"),
        "impl": Field(_ELEMENTS, "where the role's elements get their objects from"),
    },
)

ROLE_OR_CLASS = Either((ROLE, _CLASS))

PRESET = Record(
    "elementPreset",
    "an element preset",
    {
        "elements": Field(_ELEMENTS, "implementations of the elements of this role class"),
        "on_conflict": Field(
            Choice(("override", "preset", "error"), kind_of_error=ConfigError),
            "what applies to an element that a role implements too: the role's own, the preset, or an error",
            default="override",
        ),
    },
)

_COMPONENT = Either((COMPONENT, _CLASS))

ACTOR = Record(
    "actor",
    "an actor configuration",
    {
        "name": Field(
            Name("an actor name", lambda name: check_name("actor", name), _NAME_PATTERN),
            "the name under which other actors reach this one",
            required=True,
        ),
        "broker": Field(
            Text("a broker URL"),
            "the message broker; the environment variable ROLEML_BROKER replaces it",
            default="embedded://",
        ),
        "allow_pickle": Field(
            Flag(),
            "whether arbitrary Python objects may travel in messages; "
            "without this key only on the embedded broker, which stays inside of the process; "
            "on any other broker they are signed, see 'pickle_key_file'",
        ),
        "pickle_key_file": Field(
            Path(),
            "the file with the key that signs messages with Python objects, the same for all actors; "
            "the environment variable ROLEML_PICKLE_KEY can hold the key itself",
        ),
        "roles": Field(
            MappingOf(_ROLE_NAME, ROLE_OR_CLASS, "role names to roles"),
            "the roles of this actor, in the order in which they start",
        ),
        "relationships": Field(
            MappingOf(
                Text("a relationship name"),
                ListOf(_InstanceName(), "role instances", or_single=True),
                "relationship names to role instances",
            ),
            "the role instances ('actor/role', '/role' for one of this actor) that each relationship names",
        ),
        "relationship_links": Field(
            MappingOf(Text("an alias"), Text("a relationship name"), "aliases to relationship names"),
            "further names (left) of relationships (right)",
        ),
        "element_preset": Field(
            MappingOf(_CLASS, PRESET, "role classes to presets"),
            "element implementations for all roles of a class, in this process",
        ),
        "collective_implementor": Field(_COMPONENT, "how group calls are made: in parallel unless given"),
        "workdir": Field(Path(), "the working directory; relative paths start there", default="."),
        "src": Field(
            Path(), "the directory that classes are imported from; by default the working directory"
        ),
        "log_file_path": Field(
            Text("a path"),
            "the directory of the log file, with $time and the like; empty for none",
            default="",
        ),
        "log_file_level": Field(_LEVEL, "the lowest level that goes to the log file", default="INFO"),
        "log_console_type": Field(
            Choice(("single", "shared"), kind_of_error=ConfigError),
            "'shared' shows the process name in each line",
            default="single",
        ),
        "log_console_level": Field(_LEVEL, "the lowest level that goes to the console", default="INFO"),
        "log_format": Field(
            Choice(("text", "json"), kind_of_error=ConfigError),
            "of the console and the log file; 'json' is an object a line",
            default="text",
        ),
        "log_remote": Field(
            Flag(), "whether `roleml logs` may show the log of this actor, through the broker", default=True
        ),
        "tracing": Field(
            Flag(),
            "a span of OpenTelemetry for each service and task, which follows it to whoever serves it",
            default=False,
        ),
        "checkpoint": Field(
            Path(),
            "folder for checkpoints, from which the actor goes on when it is started again with 'resume'",
        ),
        "resume": Field(Flag(), "go on from the last checkpoint, if there is one", default=False),
        "debug": Field(Flag(), "show what is logged for debugging, and the args of messages", default=False),
        "seed": Field(Integer(), "of the random numbers; -1 chooses one", default=-1),
        "handshakes": Field(_ACTOR_NAMES, "actors to be told of this one when it is built"),
        "handwaves": Field(_ACTOR_NAMES, "actors to be told when this one stops"),
        "address": Field(
            Text("an address"), "shown to other actors; not needed to communicate", ignored=True
        ),
        "contacts": Field(
            MappingOf(Text("an actor name"), Text("an address"), "actor names to addresses"),
            "actors known from the start; not needed to communicate",
            ignored=True,
        ),
        "procedure_invoker": Field(_COMPONENT, "replaced by 'broker'", ignored=True),
        "procedure_provider": Field(_COMPONENT, "replaced by 'broker'", ignored=True),
        "messaging_component": Field(_COMPONENT, "replaced by 'broker'", ignored=True),
        "containerize": Field(Flag(), "of the containerised mode; without effect", ignored=True),
        "temp_dir": Field(Path(), "of the containerised mode; without effect", ignored=True),
        "base_image": Field(Text(), "of the containerised mode; without effect", ignored=True),
        "mounts": Field(ListOf(Text(), "mounts"), "of the containerised mode; without effect", ignored=True),
    },
)

_DEFINITIONS = (ROLE, ELEMENT_IMPLEMENTATION, PRESET, OBJECT, COMPONENT)


def check_actor_spec(config: Any, marks: Marks | None = None) -> None:
    """Check the form of an actor's configuration. What it names is not imported.

    Raises:
        ConfigError: with all that is wrong, and where if `marks` are given. Its class is that of the first
            problem: see `roleml.core.builders.errors`.
    """
    problems = Problems(marks)
    ACTOR.check(config, (), problems)
    problems.raise_if_any()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an actor's configuration file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RoleML actor configuration",
        **ACTOR.definition(),
        "$defs": {record.name: record.definition() for record in _DEFINITIONS},
    }


def snapshot(value: Any) -> Any:
    """A copy of plain dicts, lists, tuples and sets at any depth; all else is the same object.

    A configuration is copied before it is used, so that changing it later, for the next actor, changes
    nothing that was built from it.
    """
    return _snapshot(value, {})


def _snapshot(value: Any, done: dict[int, Any]) -> Any:
    kind = type(value)
    if kind not in (dict, list, tuple, set):
        return value
    if id(value) in done:
        return done[id(value)]
    if kind is dict:
        copy: Any = {}
        done[id(value)] = copy
        copy.update((key, _snapshot(item, done)) for key, item in value.items())
    elif kind is list:
        copy = []
        done[id(value)] = copy
        copy.extend(_snapshot(item, done) for item in value)
    else:
        copy = done[id(value)] = kind(_snapshot(item, done) for item in value)
    return copy


if __name__ == "__main__":
    json.dump(json_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")

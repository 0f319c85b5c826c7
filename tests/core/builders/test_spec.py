from __future__ import annotations

import json
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.core.builders import spec as spec_module
from roleml.core.builders.errors import (
    ConfigError,
    MissingKeyError,
    UnknownChoiceError,
    UnknownKeyError,
    WrongTypeError,
)
from roleml.core.builders.spec import (
    ACTOR,
    ELEMENT_IMPLEMENTATION,
    PRESET,
    ROLE,
    ActorBootstrapSpec,
    ElementImplementationSpec,
    ElementPresetSpec,
    ParsedElementImplementationSpec,
    RoleSpec,
    check_actor_spec,
    json_schema,
    snapshot,
)
from roleml.core.context import RoleInstanceID
from roleml.shared.yml import load_yaml_with_marks

FULL: dict[str, Any] = {
    "name": "client1",
    "address": "127.0.0.1:5001",
    "broker": "amqp://localhost",
    "allow_pickle": True,
    "pickle_key_file": "pickle.key",
    "procedure_invoker": "roleml.extensions.messaging.invokers.requests.RequestsProcedureInvoker",
    "procedure_provider": {
        "type": "roleml.extensions.messaging.providers.flask.FlaskProcedureProvider",
        "options": {"host": "0.0.0.0"},
    },
    "messaging_component": "roleml.extensions.messaging.default.comb.DefaultMessagingComponent",
    "collective_implementor": "roleml.core.actor.group.impl.threaded.ThreadedCollectiveImplementor",
    "roles": {
        "trainer": {
            "class": "pkg.roles.Trainer",
            "options": {"a": 1},
            "impl": {
                "model": {
                    "class": "pkg.Model",
                    "constructor_args": {"lr": 0.01},
                    "construct_strategy": "ONCE_EAGER",
                },
                "data-set": {"constructor": {"type": "pkg.make", "options": {"n": 1}}},
                "other": {"impl": {"any": ["thing"]}, "initializer": "self", "serializer": "json"},
            },
        },
        "selector": "pkg.roles.Selector",
    },
    "relationships": {
        "trainer": ["client1/trainer", "/trainer", "client2"],
        "manager": "conductor/conductor",
    },
    "relationship_links": {"client": "trainer"},
    "contacts": {"server": "127.0.0.1:5000"},
    "handshakes": ["server"],
    "handwaves": [],
    "element_preset": {
        "pkg.roles.Trainer": {"elements": {"model": {"class": "pkg.M"}}, "on_conflict": "error"}
    },
    "workdir": ".",
    "src": "src",
    "log_file_path": "logs/$time",
    "log_file_level": "Internal",
    "log_console_type": "shared",
    "log_console_level": "warning",
    "log_format": "json",
    "log_remote": False,
    "tracing": True,
    "checkpoint": "checkpoints",
    "resume": True,
    "debug": False,
    "seed": 3,
    "containerize": False,
    "temp_dir": "~/temp",
    "base_image": "python:3.11",
    "mounts": ["/a:/b"],
}

MINIMAL: dict[str, Any] = {"name": "a"}

#: each a change of the minimal configuration, where the problem is, its class, and part of its text
WRONG: list[tuple[dict[str, Any], str, type[Exception], str]] = [
    ({"name": 3}, "name", TypeError, "expected an actor name, not 3"),
    ({"name": "a b"}, "name", ValueError, "not valid"),
    ({"adress": "x"}, "adress", TypeError, "did you mean 'address'?"),
    ({"roles": []}, "roles", TypeError, "expected a mapping of role names to roles, not []"),
    ({"roles": {"r": 3}}, "roles.r", TypeError, "expected a role"),
    ({"roles": {"r": "Trainer"}}, "roles.r", ValueError, "such as 'package.module.Name', not 'Trainer'"),
    ({"roles": {"r": {}}}, "roles.r", KeyError, "a role needs the key 'class'"),
    (
        {"roles": {"r": {"class": "a.B", "option": {}}}},
        "roles.r.option",
        TypeError,
        "did you mean 'options'?",
    ),
    ({"roles": {"actor": "a.B"}}, "roles.actor", ValueError, "native role"),
    ({"roles": {"r/s": "a.B"}}, "roles.r/s", ValueError, "not valid"),
    (
        {"roles": {"r": {"class": "a.B", "impl": {"m": {"clas": "a.C"}}}}},
        "roles.r.impl.m.clas",
        TypeError,
        "did you mean 'class'?",
    ),
    (
        {"roles": {"r": {"class": "a.B", "impl": {"m": {"construct_strategy": "eager"}}}}},
        "roles.r.impl.m.construct_strategy",
        KeyError,
        "did you mean 'once_eager'?",
    ),
    (
        {"roles": {"r": {"class": "a.B", "impl": {"m": {"serializer_mode": "txt"}}}}},
        "roles.r.impl.m.serializer_mode",
        ValueError,
        "did you mean 'text'?",
    ),
    (
        {"roles": {"r": {"class": "a.B", "impl": {"m": {"constructor": {"options": {}}}}}}},
        "roles.r.impl.m.constructor",
        KeyError,
        "needs the key 'type'",
    ),
    ({"relationships": {"t": ["a/b", 3]}}, "relationships.t[1]", TypeError, "role instance"),
    ({"relationships": {"t": 3}}, "relationships.t", TypeError, "expected a list of role instances, not 3"),
    ({"handshakes": "server"}, "handshakes", TypeError, "not 'server'; write [server]"),
    ({"contacts": {"server": 5000}}, "contacts.server", TypeError, "expected an address, not 5000"),
    ({"seed": True}, "seed", TypeError, "expected an integer, not True"),
    ({"debug": "yes"}, "debug", TypeError, "expected true or false, not 'yes'"),
    ({"log_file_level": "verbose"}, "log_file_level", ValueError, "expected one of DISABLED, INTERNAL"),
    ({"log_console_level": []}, "log_console_level", TypeError, "expected one of"),
    ({"log_format": "jsn"}, "log_format", ValueError, "did you mean 'json'?"),
    ({"log_console_type": "share"}, "log_console_type", ValueError, "did you mean 'shared'?"),
    ({"procedure_invoker": 3}, "procedure_invoker", TypeError, "expected a component"),
    ({"messaging_component": {"options": {}}}, "messaging_component", KeyError, "needs the key 'type'"),
    (
        {"element_preset": {"a.B": {"on_conflict": "overide"}}},
        "element_preset.a.B.on_conflict",
        ValueError,
        "did you mean 'override'?",
    ),
]


def test_a_configuration_with_every_key_is_accepted() -> None:
    assert set(FULL) == set(ACTOR.fields)
    check_actor_spec(FULL)
    check_actor_spec(MINIMAL)


def test_a_key_without_value_means_its_default() -> None:
    check_actor_spec({**dict.fromkeys(ACTOR.fields), "name": "a"})
    check_actor_spec({"name": "a", "roles": {"r": {"class": "a.B", "impl": None, "options": None}}})


def test_objects_of_python_are_accepted_in_the_place_of_names() -> None:
    check_actor_spec(
        {
            "name": "a",
            "procedure_invoker": dict,
            "roles": {
                "r": {"class": dict, "impl": {"m": {"impl": object(), "constructor": dict}}},
                "s": dict,
            },
            "relationships": {"t": {"a/b"}, "u": RoleInstanceID("a", "b")},
            "element_preset": {dict: {}},
            "workdir": Path(),
            "log_file_level": 10,
        }
    )


def test_a_missing_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match=r"^an actor configuration needs the key 'name'"):
        check_actor_spec({})


def test_something_else_than_a_mapping_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="expected an actor configuration"):
        check_actor_spec(["name"])


@pytest.mark.parametrize(
    ("change", "place", "kind", "text"), WRONG, ids=[f"{w[1]}-{i}" for i, w in enumerate(WRONG)]
)
def test_a_wrong_value_is_one_problem_with_its_key_path(
    change: dict[str, Any], place: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(ConfigError) as info:
        check_actor_spec({**MINIMAL, **change})
    assert len(info.value.problems) == 1
    assert isinstance(info.value, kind)
    assert str(info.value).startswith(f"{place}: ")
    assert text in str(info.value)


def test_all_problems_are_shown_at_once_and_the_first_gives_the_class() -> None:
    with pytest.raises(ConfigError) as info:
        check_actor_spec({"nam": "x", "seed": "1", "debug": 0})
    assert type(info.value) is MissingKeyError
    assert [p.kind for p in info.value.problems] == [
        MissingKeyError,
        UnknownKeyError,
        WrongTypeError,
        WrongTypeError,
    ]
    assert str(info.value).splitlines() == [
        "4 problems in the configuration:",
        "  an actor configuration needs the key 'name' (the name under which other actors reach this one)",
        "  nam: unknown key 'nam' of an actor configuration; did you mean 'name'?",
        "  seed: expected an integer, not '1'",
        "  debug: expected true or false, not 0",
    ]


def test_problems_of_a_file_start_with_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text("trainer:\n  clas: a.B\n")
    path, roles = tmp_path / "config.yaml", tmp_path / "roles.yaml"
    path.write_text("name: a\nseed: one\nwork_dir: x\nroles: !include roles.yaml\nhandshakes:\n- 3\n")
    config, marks = load_yaml_with_marks(path)
    with pytest.raises(ConfigError) as info:
        check_actor_spec(config, marks)
    assert [line.strip() for line in str(info.value).splitlines()[1:]] == [
        f"{path}:2:7: seed: expected an integer, not 'one'",
        f"{path}:3:1: work_dir: unknown key 'work_dir' of an actor configuration; did you mean 'workdir'?",
        f"{roles}:1:1: roles.trainer: a role needs the key 'class' (the role class)",
        f"{roles}:2:3: roles.trainer.clas: unknown key 'clas' of a role; did you mean 'class'?",
        f"{path}:6:3: handshakes[0]: expected an actor name, not 3; put it in quotes",
    ]


def test_the_error_classes_keep_the_published_ones() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(MissingKeyError, KeyError)
    assert issubclass(UnknownChoiceError, KeyError)
    assert issubclass(UnknownKeyError, TypeError)
    assert issubclass(WrongTypeError, TypeError)


# -- one table ------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "record"),
    [
        (ActorBootstrapSpec, ACTOR),
        (RoleSpec, ROLE),
        (ElementImplementationSpec, ELEMENT_IMPLEMENTATION),
        (ParsedElementImplementationSpec, ELEMENT_IMPLEMENTATION),
        (ElementPresetSpec, PRESET),
    ],
)
def test_the_types_for_type_checkers_have_the_keys_of_the_table(declared: Any, record: Any) -> None:
    assert set(typing.get_type_hints(declared)) == set(record.fields)


# -- the schema for editors ------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_json_schema_accepts_what_the_builder_accepts(validator: Any) -> None:
    validator.validate(FULL)
    validator.validate(MINIMAL)
    validator.validate({**dict.fromkeys(ACTOR.fields), "name": "a"})


@pytest.mark.parametrize("change", [w[0] for w in WRONG if w[0] != {"roles": {"actor": "a.B"}}])
def test_the_json_schema_refuses_what_the_builder_refuses(change: dict[str, Any], validator: Any) -> None:
    assert not validator.is_valid({**MINIMAL, **change})


def test_the_json_schema_describes_every_key() -> None:
    schema = json_schema()
    definitions = [schema, *schema["$defs"].values()]
    for definition in definitions:
        assert definition["additionalProperties"] is False
        assert all(value["description"] for value in definition["properties"].values())
    assert json.loads(json.dumps(schema)) == schema


def test_the_module_prints_the_schema() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "roleml.core.builders.spec"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == json_schema()
    assert done.stderr == ""


any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["a.B", "a/b", "once"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([*ROLE.fields, *ELEMENT_IMPLEMENTATION.fields, *PRESET.fields, "type", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(config=st.dictionaries(st.sampled_from([*ACTOR.fields, "x"]), any_value, max_size=5))
def test_any_value_is_accepted_or_a_config_error_and_the_schema_accepts_no_less(
    config: dict[str, Any],
) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    try:
        check_actor_spec(config)
    except ConfigError as error:
        print(error)  # noqa: T201  # it must be printable
    else:
        validator.validate(config)


# -- snapshots ------------------------------------------------


def test_a_snapshot_copies_plain_containers_and_keeps_other_objects() -> None:
    other = RoleInstanceID("a", "b")
    value = {"list": [1, {"x": {2}}], "tuple": ([3],), "other": other, "class": dict}
    copy = snapshot(value)
    assert copy == value
    assert copy["other"] is other
    value["list"][1]["x"].add(5)  # type: ignore[index]
    value["tuple"][0].append(5)  # type: ignore[index]
    assert copy == {"list": [1, {"x": {2}}], "tuple": ([3],), "other": other, "class": dict}


def test_a_snapshot_keeps_shared_and_circular_structure() -> None:
    shared: list[int] = []
    value: dict[str, Any] = {"a": shared, "b": shared}
    value["self"] = value
    copy = snapshot(value)
    assert copy["a"] is copy["b"]
    assert copy["a"] is not shared
    assert copy["self"] is copy


def test_every_name_of_the_module_is_listed() -> None:
    assert set(spec_module.__all__) >= {"ActorBootstrapSpec", "RoleSpec", "RoleDescriptor", "json_schema"}

"""From a template to a reproducible configuration."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from roleml.core.builders.errors import ConfigError
from roleml.library.roles.conductor.expansion import expand
from roleml.library.roles.conductor.types import validate_run_spec, validate_run_spec_template
from roleml.shared.yml import load_yaml_with_marks

TEMPLATE: dict[str, Any] = yaml.safe_load("""
profiles: [{name: client1}, {name: client2, address: '10.0.0.2:1', debug: true}, {name: client3}]
profiles_separate: [{name: server}]
profiles_individual: [{name: watcher}]
roles:
  client.*:
    trainer: {class: pkg.Trainer, options: {index: '$c[4-5]', all: '$a[1-3]'}}
    other: {class: pkg.Other, options: {index: '$c[4-5]'}}
  client3:
    trainer: {class: pkg.Special}
  server: {never: pkg.Role}
  conductor: {judge: pkg.Judge}
connections: {client1: [client2]}
connection_rules: ['client.* server', 'server client.*', 'client1 client.*']
relationships: {watcher: {seen: [server/coordinator]}, client1: {peer: client9/trainer}}
relationship_rules:
  server: {client: 'client.*/trainer', watcher: watcher}
  client(1|2): {peer: ['client3/trainer', 'client(1|3)/trainer']}
  watcher: {never: server}
  conductor: {coordinator: server}
relationship_links:
  server: {trainer: client, a: client}
  ser.*: {a: watcher}
deployment_order: ['conductor', 'client[23]', 'server', 'client.*']
""")


def test_a_template_is_expanded_for_each_actor() -> None:
    before = copy.deepcopy(TEMPLATE)
    spec = expand(TEMPLATE, "conductor")
    assert before == TEMPLATE
    everyone = [{"name": "client1"}, {"name": "client2", "address": "10.0.0.2:1"}, {"name": "client3"},
                {"name": "server"}, {"name": "watcher"}]  # fmt: skip
    assert spec["profiles"] == everyone
    assert spec["roles"] == {
        "client1": {
            "trainer": {"class": "pkg.Trainer", "options": {"index": 4, "all": [1, 2, 3]}},
            "other": {"class": "pkg.Other", "options": {"index": 4}},
        },
        "client2": {
            "trainer": {"class": "pkg.Trainer", "options": {"index": 5, "all": [1, 2, 3]}},
            "other": {"class": "pkg.Other", "options": {"index": 5}},
        },
        "client3": {
            "trainer": {"class": "pkg.Special"},
            "other": {"class": "pkg.Other", "options": {"index": 4}},
        },
        "conductor": {"judge": "pkg.Judge"},
    }
    assert spec["connections"] == {
        "client1": ["client2", "server", "client3"],
        "client2": ["server"],
        "client3": ["server"],
        "server": ["client1", "client2", "client3"],
    }
    assert spec["relationships"] == {
        "watcher": {"seen": ["server/coordinator"]},
        "client1": {"peer": ["client9/trainer", "client3/trainer", "client1/trainer"]},
        "client2": {"peer": ["client3/trainer", "client1/trainer"]},
        "server": {
            "client": ["client1/trainer", "client2/trainer", "client3/trainer"],
            "watcher": ["watcher/watcher"],
        },
        "conductor": {"coordinator": ["server/coordinator"]},
    }
    assert spec["relationship_links"] == {"server": {"trainer": "client", "a": "watcher"}}
    assert spec["deployment_order"] == ["client2", "client3", "server", "client1"]
    assert spec["fixed"] is True


def test_what_matches_nobody_is_reported_with_the_nearest_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "roleml.conductor"):
        expand({"profiles": [{"name": "client1"}], "deployment_order": ["cleint1"]}, "conductor")
    (record,) = caplog.records
    assert record.getMessage() == (
        "deployment_order: 'cleint1' matches none of the 2 actors; the nearest is client1"
    )


def test_the_conductor_may_have_a_profile_and_is_no_other_actor() -> None:
    spec = expand({"profiles": [{"name": "c"}, {"name": "a"}], "roles": {"": {"r": "pkg.Role"}}}, "c")
    assert spec["profiles"] == [{"name": "a"}]
    assert list(spec["roles"]) == ["a", "c"]


def test_the_experiment_goes_along() -> None:
    template = {"profiles": [], "experiment": {"seed": 1}}
    assert expand(template, "c")["experiment"] == {"seed": 1}


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("profiles: [{nam: a}]", ["1:13: profiles[0].nam: unknown key 'nam'", "needs the key 'name'"]),
        ("profil: []", ["1:1: profil: unknown key 'profil' of a run configuration; did you mean"]),
        ("roles: {'a(': {}}", ["'a(' is no regular expression"]),
        ("roles: {a: {r: {class: p.C, options: {x: [1, '$c[9-1]']}}}}",
         ["1:46: roles.a.r.options.x[1]: invalid template '$c[9-1]'"]),
        ("roles: {a: {r: {clas: p.C}}}", ["unknown key 'clas' of a role; did you mean 'class'?"]),
        ("connection_rules: ['a  b']", ["expected two patterns with a blank between them"]),
        ("relationships: {a: {b: [c/d/e]}}", ["expected 'actor/role'"]),
        ("deployment_order: {}", ["expected a list of patterns"]),
        ("[]", ["expected a run configuration"]),
    ],
)  # fmt: skip
def test_a_malformed_template_is_refused_and_says_where(
    tmp_path: Path, text: str, complaints: list[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        validate_run_spec_template(*load_yaml_with_marks(file))
    for complaint in complaints:
        assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"deployment_order": ["b"]}, "deployment_order[0]: 'b' has no profile"),
        ({"roles": {"cleint1": {}}}, "roles.cleint1: 'cleint1' has no profile; did you mean 'client1'?"),
        ({"relationships": {"b": {}}}, "relationships.b: 'b' has no profile"),
        ({"connection_rules": []}, "unknown key 'connection_rules'"),
        ({"profiles": [{"name": "a"}, {"name": "a"}]}, "profiles[1].name: 'a' is there already"),
    ],
)
def test_a_reproducible_configuration_names_who_takes_part(spec: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_run_spec({"profiles": [{"name": "client1"}], "fixed": True, **spec}, conductor="conductor")
    assert complaint in str(caught.value)

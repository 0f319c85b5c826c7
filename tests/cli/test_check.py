"""`roleml check`: mistakes, all of them, each with its place."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.cli.check.contradictions import never
from roleml.cli.check.files import check_file
from roleml.cli.main import main
from roleml.core.actor.conditions import parse_conditions
from roleml.core.logs import configure_logging

ROLES = """
import roleml.essentials as rml

class Trainer(rml.Role):
    model = rml.Element(dict)
    trained = rml.Event()

    def __init__(self, share, rounds=1):
        super().__init__()

    @rml.Task(expand=True)
    def train(self, _): pass

class Server(rml.Role):
    @rml.Service(expand=True)
    def status(self, _): pass

    @rml.EventHandler("trainer", "trained", expand=True)
    def on_trained(self, _): pass

class Confused(rml.Role):
    @rml.EventHandler("trainer", "traind", expand=True)
    def on_traind(self, _): pass

    @rml.EventHandler("trainr", "trained", expand=True)
    def nobody(self, _): pass

    @rml.EventHandler("trainer", "trained", conditions={"loss__lt": 0.1, "loss__gt": 0.5}, expand=True)
    def never(self, _): pass

class Hermit(rml.Role):
    @rml.Service(expand=True)
    def ask(self, _): pass

class NoRole:
    pass
"""

RIGHT = """
profiles: [{name: server}, {name: client1}, {name: client2}]
roles:
  server: {server: {class: MODULE.Server}}
  client.*:
    trainer: {class: MODULE.Trainer, options: {share: '$c[0-1]'}, impl: {model: {class: builtins.dict}}}
relationship_rules:
  server: {trainer: client.*}
  conductor: {server: server}
"""

WRONG = """\
profiles: [{name: server}, {name: client1}, {name: client2}, {nam: client3}]
profles_separate: []
roles:
  servr: {x: {class: MODULE.Hermit}}
  server:
    server: {class: MODULE.Sever}
    confused: {class: MODULE.Confused}
    stranger: {class: MODULE.NoRole}
    missing: {class: nowhere.at.All}
  client1:
    trainer: {class: MODULE.Trainer, options: {shar: 1}, impl: {modl: {class: builtins.dict}}}
  client2:
    trainer:
      class: MODULE.Trainer
      options: {share: '$c[3-1]'}
      impl: {model: {clas: builtins.dict}}
    hermit: {class: MODULE.Hermit, optoins: {}}
connection_rules: ['client.*  server']
relationships:
  srver: {trainer: [client1/trainer]}
  server: {trainer: [client1/trainr, clinet2/trainer, a/b/c, client1/trainer]}
relationship_rules:
  clients.*: {server: server}
  client1: {server: servre}
relationship_links:
  server: {workers: trainr}
deployment_order: ['server', 'clients']
experiment:
  sed: 1
  conductor: MODULE.NoRole
"""

EXPECTED = [
    (1, "error", "unknown key 'nam' of a profile; did you mean 'name'?"),
    (1, "error", "a profile needs the key 'name'"),
    (2, "error", "unknown key 'profles_separate'"),
    (4, "warning", "'servr' matches no actor; the nearest is server"),
    (6, "error", "'Sever'; did you mean 'Server'?"),
    (7, "error", "'traind', which client1/trainer (Trainer) does not have; did you mean 'trained'"),
    (7, "warning", "listens to 'trainr', which is no relationship with members and no role of server"),
    (7, "error", "the conditions of Confused.never can never be met: loss cannot be gt 0.5 and lt 0.1"),
    (8, "error", "is not a role class"),
    (9, "error", "there is no module 'nowhere'"),
    (11, "error", "unknown option 'shar' of role class Trainer; did you mean 'share'?"),
    (11, "error", "needs the option 'share'"),
    (15, "error", "invalid template '$c[3-1]'"),
    (11, "error", "unknown element 'modl' of role class Trainer; did you mean 'model'?"),
    (16, "error", "unknown key 'clas'"),
    (17, "error", "unknown key 'optoins' of a role; did you mean 'options'?"),
    (18, "error", "expected two patterns with a blank between them"),
    (20, "error", "there is no actor 'srver'; did you mean 'server'?"),
    (21, "error", "client1 has no such role; did you mean 'trainer'?"),
    (21, "error", "the actor 'clinet2', which is not there; did you mean 'client2'?"),
    (21, "error", "expected 'actor/role'"),
    (23, "warning", "'clients.*' matches no actor"),
    (24, "warning", "'servre' matches no actor; the nearest is server"),
    (26, "warning", "'workers' stands for 'trainr', which has no members; did you mean 'trainer'?"),
    (27, "warning", "'clients' matches no actor"),
    (29, "error", "unknown key 'sed' of an experiment; did you mean 'seed'?"),
    (30, "error", "is not a role class"),
]

numbers = iter(range(10**6))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"checked_roles_{next(numbers)}.py").write_text(ROLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, name: str = "config.yaml") -> str:
    (module,) = folder.glob("checked_roles_*.py")
    (folder / name).write_text(text.replace("MODULE", module.stem))
    return name


def test_what_is_right_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--strict", write(folder, RIGHT)]) == 0
    assert capsys.readouterr().out == "1 file checked: 0 errors, 0 warnings\n"


def test_all_mistakes_of_a_run_configuration_are_found_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("any")  # what the log of a process says must not get between the findings
    assert main(["check", write(folder, WRONG), "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    shown = "\n".join(f"{r['line']}:{r['column']} {r['severity']} {r['text']}" for r in rows)
    for place, severity, text in EXPECTED:
        found = [r for r in rows if r["severity"] == severity and text in r["text"]]
        assert found, f"{text!r} is not among\n{shown}"
        assert place in {r["line"] for r in found}, f"{text!r} is elsewhere in\n{shown}"
        assert all(r["column"] for r in found)
    assert len(EXPECTED) > 15


def test_the_text_is_what_editors_and_compilers_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(folder, RIGHT.replace("trainer: client.*", "trainer: clinet1"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    text = "relationship_rules.server.trainer: 'clinet1' matches no actor; the nearest is client1"
    assert f"config.yaml:8:21: warning: {text} [RML-C110]" in lines
    assert lines[-1].startswith("1 file checked: 0 errors, ")


ACTORS = """\
profiles:
- name: server
  roles: {server: {class: MODULE.Server}}
  relationships: {trainer: [client/trainer, other/trainer]}
- name: client
  roles:
    trainer: {class: MODULE.Trainer, options: {share: 1}}
  relationships: {server: server/sever}
- name: client
- name: lonely
  roles: {hermit: MODULE.Hermit}
"""


def test_a_list_of_actors_is_looked_at_as_a_whole(folder: Path) -> None:
    findings = check_file(write(folder, ACTORS))
    errors = {(each.mark.line, each.text.partition(";")[0]) for each in findings.errors if each.mark}
    assert errors == {
        (4, "'trainer' names the actor 'other', which is not there"),
        (7, "the element 'model' of role class Trainer has no implementation"),
        (8, "'server' names server/sever, but server has no such role"),
        (9, "an actor is named 'client' already: names are addresses"),
    }
    assert {warning.text for warning in findings.warnings} == {
        "nobody can reach lonely/hermit: no relationship names it",
        "nobody can reach server/server: no relationship names it",
    }


def test_a_single_actor_may_name_actors_of_other_files(folder: Path) -> None:
    text = "name: a\nroles: {server: MODULE.Server}\nrelationships: {trainer: far/away, self: a/servr}"
    findings = check_file(write(folder, text))
    (error,) = findings.errors
    assert error.text == "'self' names a/servr, but a has no such role; did you mean 'server'?"
    assert not findings.warnings


def test_presets_count_as_implementations_of_the_actor_that_has_them(folder: Path) -> None:
    role = "roles: {trainer: {class: MODULE.Trainer, options: {share: 1}}}"
    preset = "element_preset:\n      MODULE.Trainer: {elements: {model: {class: builtins.dict}}}"
    text = f"profiles:\n  - name: a\n    {role}\n    {preset}\n  - name: b\n    {role}\n"
    (error,) = check_file(write(folder, text)).errors
    assert (error.text, error.mark and error.mark.line) == (
        "the element 'model' of role class Trainer has no implementation",
        7,
    )


NAMED_WRONGLY = """\
name: a
element_preset:
  MODULE.Trainr: {elements: {}}
  MODULE.Trainer:
    elements:
      modl: {class: builtins.dict}
roles:
  trainer: {class: MODULE.Trainer, options: {share: 1}, impl: {model: {class: builtins.dict}}}
broker: ampq://host
relationships: {others: [3, null, 'a b/c']}
"""


def test_all_that_an_actor_names_is_looked_up(folder: Path) -> None:
    findings = check_file(write(folder, NAMED_WRONGLY))
    found = {(each.mark.line, each.text) for each in findings.errors if each.mark}
    for line, text in [
        (3, "did you mean 'Trainer'?"),
        (6, "unknown element 'modl' of role class Trainer; did you mean 'model'?"),
        (9, "did you mean amqp://?"),
        (10, "actor name 'a b' is not valid"),
    ]:
        assert any(at == line and text in told for at, told in found), found
    components = check_file(write(folder, "name: a\nmessaging_component: MODULE.NoRole\n"))
    assert [each.mark and each.mark.line for each in components.errors] == [2]


@pytest.mark.parametrize("members", ["[3]", "[null]"])
def test_one_mistake_is_told_once(folder: Path, members: str) -> None:
    text = f"name: a\nroles: {{x: null}}\nrelationships: {{others: {members}}}\n"
    errors = [each for severity, each in check_file(write(folder, text)).sorted()]
    assert [each.path for each in errors] == [("roles", "x"), ("relationships", "others", 0)]


def test_several_files_are_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [write(folder, RIGHT, "one.yaml"), write(folder, "name: 'a b'", "two.yaml")]
    assert main(["check", *names]) == 1
    out = capsys.readouterr().out
    assert "two.yaml:1:7: error: name: " in out
    assert "2 files checked: 1 error, 0 warnings" in out


def test_warnings_count_where_one_is_strict(folder: Path) -> None:
    name = write(folder, RIGHT + "deployment_order: [nobody]\n")
    assert main(["check", name]) == 0
    assert main(["check", "--strict", name]) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a list", "config.yaml:1:1: error: a configuration is a mapping of keys to values"),
        ("", "config.yaml:1:1: error: a configuration is a mapping"),
        ("a: [", "config.yaml:1:5: error: expected the node content"),
        ("a: !include nowhere.yaml", "config.yaml:1:4: error: there is no file nowhere.yaml to include"),
        ("a: !include .", "config.yaml:1:4: error: . cannot be included: is a directory"),
    ],
)
def test_what_cannot_be_read_is_told_and_the_other_files_are_checked(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    names = [write(folder, text), "confgi.yaml", str(folder), write(folder, "name: 'a b'", "two.yaml")]
    assert main(["check", *names]) == 2
    out = capsys.readouterr().out
    assert complaint in out
    assert "confgi.yaml: error: No such file or directory; did you mean 'config.yaml'? [RML-L001]" in out
    assert "is a folder" in out
    assert "two.yaml:1:7: error: name: " in out
    assert main(["check", "--json", *names]) == 2
    row, missing, *_ = json.loads(capsys.readouterr().out)
    assert row["line"] == 1
    assert row["column"]
    assert row["code"] in ("RML-C004", "RML-C010")
    assert missing["line"] is None


NO_EFFECT = """\
name: a
roles:
  one: {class: MODULE.Trainer, options: {share: 1}, impl: {model: {construct_strategy: once}}}
  two:
    class: MODULE.Trainer
    options: {share: 1}
    impl: {model: {class: builtins.dict, serializer_destination: model.bin}}
name: b
"""


def test_links_that_contradict_each_other_and_folders_that_are_missing_are_told(folder: Path) -> None:
    text = "name: a\nsrc: lib\nworkdir: .\nrelationships: {x: b/c}\nrelationship_links: {x: y, z: x}\n"
    findings = check_file(write(folder, text))
    assert [each.mark and each.mark.column for each in findings.errors] == [22]
    assert "'x' has members already" in findings.errors[0].text
    assert [(each.path, each.text.partition(":")[0]) for each in findings.warnings] == [
        (("src",), "there is no folder 'lib' here")
    ]


NESTED = """\
name: a
roles:
  trainer:
    class: MODULE.Trainer
    options: {share: 1}
    impl:
      model:
        class: builtins.dict
        constructor_args:
          one: {type: MODULE.Trainr, options: {}}
          more:
            - {type: MODULE.Trainer, options: {shar: 1, rounds: 2}}
            - {type: anything, else: 2}
"""


def test_objects_within_arguments_are_looked_up(folder: Path) -> None:
    errors = check_file(write(folder, NESTED)).errors
    assert [(each.mark and each.mark.line, each.text.rpartition("; ")[2]) for each in errors] == [
        (10, "did you mean 'Trainer'?"),
        (12, "did you mean 'share'?"),
        (12, "Trainer needs the argument 'share'"),
    ]


def test_what_has_no_effect_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = check_file(write(folder, NO_EFFECT))
    assert [(each.mark and each.mark.line, each.text.partition(":")[0]) for each in findings.errors] == [
        (3, "nothing gives the object")
    ]
    assert [(each.mark and each.mark.line, each.text) for each in findings.warnings] == [
        (7, "'model.bin' is not used: there is no 'serializer', such as 'pickle'"),
        (8, "'name' is given again, the one at config.yaml:1:1 is ignored"),
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        "roles: 3",
        "profiles: 3",
        "profiles: [3]\nroles: {a: 3}",
        "roles: {a: {b: 3}}",
        "relationship_rules: {a: 3}",
        "relationships: {a: {b: 3}}",
        "deployment_order: 3",
        "experiment: 3",
        "name: 3",
        "profiles: [{name: [a]}]",
        "profiles: [{name: a}]\nroles: {a: {1: 2}}\nrelationship_rules: {a: {x: a/r}}",
        "name: a\nroles: {1: 2}\nrelationships: {x: a/r}",
        "profiles: [{name: {a: b}}]\nroles: {}",
        "name: a\nroles: 3",
        "name: a\nroles: {b: 3}",
    ],
)
def test_nothing_makes_it_fall_over(folder: Path, text: str) -> None:
    assert check_file(write(folder, text)).errors


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"a": 1, "a__lt": 5}, None),
        ({"a__ge": 1, "a__le": 1}, None),
        ({"a__gt": 1, "b__lt": 0}, None),
        ({"a__contains": "x", "a__lt": "z"}, None),
        ({"a": 1, "a__eq": 2}, "a cannot be both 1 and 2"),
        ({"a": 1, "a__gt": 5}, "a cannot be 1 and gt 5"),
        ({"a__gt": 1, "a__lt": 1}, "a cannot be gt 1 and lt 1"),
        ({"a__ge": 1, "a__lt": 1}, "a cannot be ge 1 and lt 1"),
        ({"a": "x", "a__lt": 5}, "a cannot be 'x' and lt 5"),
    ],
)
def test_contradictions_are_seen(conditions: dict[str, Any], reason: str | None) -> None:
    assert never(parse_conditions(conditions)) == reason


values = st.integers(-3, 3)
some = st.dictionaries(
    st.sampled_from(["a", "a__lt", "a__le", "a__gt", "a__ge", "a__eq"]), values, max_size=4
)


@given(some, values)
def test_what_a_message_meets_is_no_contradiction(conditions: dict[str, Any], value: int) -> None:
    parsed = parse_conditions(conditions)
    if all(each.holds({"a": value}) for each in parsed):
        assert never(parsed) is None

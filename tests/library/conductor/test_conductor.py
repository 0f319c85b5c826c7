"""The Conductor deploys to other actors, and takes commands."""

from __future__ import annotations

import logging
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.core.actor.actor import Actor
from roleml.core.builders.errors import ConfigError
from roleml.core.builders.role import install_role
from roleml.library.roles.conductor import Conductor
from roleml.library.roles.conductor.deployment import AbsentError, DeploymentError
from roleml.shared.yml import load_yaml
from tests.actors import Actors

HERE = "tests.library.conductor.test_conductor"


class Worker(rml.Role):
    def __init__(self, index: int = 0) -> None:
        super().__init__()
        self.index = index

    @rml.Service(expand=True)
    def get_index(self, _: rml.RoleInstanceID) -> int:
        return self.index


class Boss(rml.Role):
    @rml.Service(expand=True)
    def ask(self, _: rml.RoleInstanceID) -> dict[str, int]:
        return {
            str(worker): self.call(worker, "get-index")
            for worker in self.ctx.relationships.get_relationship("worker")
        }


class Fails(rml.Role):
    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError("out of paint")


class Group:
    """A conductor, and actors that it may manage."""

    def __init__(self, actors: Actors) -> None:
        self.actors = actors
        self.conductor = Conductor("FL")
        self.conductor.cli.lines = ()
        self.conductor.cli.on_eof = lambda: None
        self.made: dict[str, Actor] = {}
        self.add("conductor", {"conductor": self.conductor})

    def add(
        self, name: str, roles: dict[str, rml.Role] | None = None, manager: str = "conductor/conductor"
    ) -> None:
        self.made[name] = self.actors.start(
            name, roles, relationships={"manager": [manager]}, install_role=install_role
        )

    def roles(self) -> dict[str, list[str]]:
        return {name: [role for role in actor.roles if role != "actor"] for name, actor in self.made.items()}


@pytest.fixture
def group() -> Iterator[Group]:
    actors = Actors()
    yield Group(actors)
    actors.stop()


def write(tmp_path: Path, text: str, name: str = "config.yaml") -> str:
    file = tmp_path / name
    file.write_text(textwrap.dedent(text))
    return str(file)


CONFIG = f"""
    profiles: [{{name: worker1, address: 'w:1'}}, {{name: worker2}}]
    profiles_separate: [{{name: boss}}]
    roles:
      worker.*: {{worker: {{class: {HERE}.Worker, options: {{index: '$c[7-9]'}}}}}}
      conductor: {{boss: {HERE}.Boss}}
    relationship_rules:
      conductor: {{staff: 'worker.*/worker'}}
    relationship_links:
      conductor: {{worker: staff}}
    connection_rules: ['conductor worker.*']
    deployment_order: [worker2]
    """


def test_a_template_is_deployed_and_written_down(
    group: Group, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("worker1", "worker2", "boss"):
        group.add(name)
    with caplog.at_level(logging.INFO, "roleml.conductor"):
        group.conductor.cli.execute(f"configure {write(tmp_path, CONFIG)}")
    assert group.roles() == {
        "conductor": ["conductor", "boss"],
        "worker1": ["worker"],
        "worker2": ["worker"],
        "boss": [],
    }
    assert group.conductor.call("boss", "ask") == {"worker1/worker": 7, "worker2/worker": 8}
    assert group.conductor.ctx.contacts.get_actor_profile("worker1").address == "w:1"
    lines = [record.getMessage() for record in caplog.records if record.name == "roleml.conductor"]
    assert lines == [
        "conductor: deployed contacts",
        "conductor: deployed relationships",
        "conductor: deployed relationship links",
        "conductor: deployed roles",
        "worker2: deployed roles",
        "worker1: deployed roles",
        "deploy completed",
    ]
    (written,) = tmp_path.glob("run-*.yaml")
    assert load_yaml(written)["fixed"] is True


def test_what_is_written_down_gives_the_same_deployment(tmp_path: Path) -> None:
    config = write(tmp_path, CONFIG)
    outcomes = []
    for number in range(2):
        actors = Actors()
        group = Group(actors)
        try:
            for name in ("worker1", "worker2", "boss"):
                group.add(name)
            group.conductor.configure(config, path=str(tmp_path / f"written{number}"))
            outcomes.append((group.roles(), group.conductor.call("boss", "ask")))
        finally:
            actors.stop()
        if number == 0:
            (written,) = (tmp_path / "written0").glob("run-*.yaml")
            config = str(written)
    assert outcomes[0] == outcomes[1]
    assert not (tmp_path / "written1").exists()  # it was reproducible already


def test_two_deployments_in_one_second_are_written_to_two_files(group: Group, tmp_path: Path) -> None:
    config = write(tmp_path, "profiles: []")
    for _ in range(3):
        group.conductor.configure(config)
    assert len(list(tmp_path.glob("run-*.yaml"))) == 3


def test_all_actors_that_are_missing_are_named_at_once_and_nothing_is_changed(
    group: Group, tmp_path: Path
) -> None:
    group.add("worker1")
    group.add("boss", manager="somebody/else")
    with pytest.raises(AbsentError) as caught:
        group.conductor.configure(write(tmp_path, CONFIG))
    assert caught.value.actors == ["worker2", "boss"]
    text = str(caught.value)
    assert "2 of the actors cannot be deployed to, so nothing was changed:" in text
    assert "no actor of that name" in text
    assert "conductor/conductor is not in the relationship 'manager'" in text
    assert "Start each with this broker" in text
    assert group.roles() == {"conductor": ["conductor"], "worker1": [], "boss": []}
    assert "staff" not in group.conductor.ctx.relationships.all_relationships()


def test_a_role_that_fails_ends_it_and_what_was_done_is_told(group: Group, tmp_path: Path) -> None:
    for name in ("worker1", "worker2", "worker3"):
        group.add(name)
    config = f"""
        profiles: [{{name: worker1}}, {{name: worker2}}, {{name: worker3}}]
        roles:
          worker.*: {{worker: {HERE}.Worker}}
          worker2: {{late: {HERE}.Fails, later: {HERE}.Worker}}
        relationships: {{worker2: {{peer: [worker1]}}}}
        deployment_order: [worker1, worker2]
        """
    with pytest.raises(DeploymentError) as caught:
        group.conductor.configure(write(tmp_path, config))
    ((actor, step, error),) = caught.value.failures
    assert (actor, step) == ("worker2", "roles 'late'")
    assert "out of paint" in str(error)
    assert caught.value.done == {
        "conductor": [],
        "worker1": ["roles 'worker'"],
        "worker2": ["relationships 'peer'", "roles 'worker'"],
    }
    text = str(caught.value)
    assert "worker2: roles 'late' failed: " in text
    assert "This was done before, and stays until the actors are stopped:\n  worker1: roles 'worker'" in text
    assert group.roles() == {
        "conductor": ["conductor"], "worker1": ["worker"], "worker2": ["worker"], "worker3": []
    }  # fmt: skip


def test_a_class_that_an_actor_does_not_have_is_named(group: Group, tmp_path: Path) -> None:
    group.add("worker1")
    config = f"profiles: [{{name: worker1}}]\nroles: {{worker1: {{r: {HERE}.Wroker}}}}"
    with pytest.raises(
        DeploymentError, match=r"worker1: roles 'r' failed(?s:.*)'Wroker'; did you mean 'Worker'\?"
    ):
        group.conductor.configure(write(tmp_path, config))


def test_several_failures_side_by_side_are_all_told(group: Group, tmp_path: Path) -> None:
    for number in range(3):
        group.add(f"worker{number}")
    profiles = ", ".join(f"{{name: worker{number}}}" for number in range(3))
    config = f"profiles: [{profiles}]\nroles: {{worker.*: {{r: {HERE}.Fails}}}}"
    with pytest.raises(DeploymentError) as caught:
        group.conductor.configure(write(tmp_path, config))
    assert caught.value.failures
    assert {actor for actor, _, _ in caught.value.failures} <= {"worker0", "worker1", "worker2"}
    assert group.roles() == {"conductor": ["conductor"], "worker0": [], "worker1": [], "worker2": []}


def test_a_wrong_configuration_changes_nothing(group: Group, tmp_path: Path) -> None:
    group.add("worker1")
    with pytest.raises(ConfigError, match="did you mean 'profiles'"):
        group.conductor.configure(write(tmp_path, "profile: [{name: worker1}]"))
    with pytest.raises(ValueError, match="'worker2' has no profile; did you mean 'worker1'"):
        group.conductor.configure(
            write(tmp_path, "fixed: true\nprofiles: [{name: worker1}]\ndeployment_order: [worker2]")
        )
    with pytest.raises(ValueError, match="expected a run configuration"):
        group.conductor.configure(write(tmp_path, "- a list"))
    with pytest.raises(FileNotFoundError):
        group.conductor.configure(str(tmp_path / "nowhere.yaml"))
    assert not list(tmp_path.glob("run-*.yaml"))


def test_the_end_of_the_input_stops_the_actor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signals: list[Any] = []
    monkeypatch.setattr("os.kill", lambda *arguments: signals.append(arguments[1]))
    conductor = Conductor()
    conductor.cli.lines = ()
    conductor.cli.run()
    assert signals == [signal.SIGINT]
    assert "[info] the actor will now terminate, please wait" in capsys.readouterr().out


class Trains(Conductor):
    def __init__(self) -> None:
        super().__init__("FL")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 100) -> dict[str, int]:
        return {"rounds": num_rounds}


def test_applications_add_commands() -> None:
    assert Trains().cli.execute("start --num_rounds 3") == {"rounds": 3}

"""The Conductor and its actors as processes over RabbitMQ, and role classes that travel."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import roleml.essentials as rml
from roleml.core.role.exceptions import RoleInteractionError
from tests.actors import DEADLINE_S, Actors, Probe
from tests.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

CONDUCTOR = """
import roleml.essentials as rml
from roleml.library.roles.conductor import Conductor
from roleml.scripts.runner.single import run_actor_from_cli

class Greeter(rml.Role):
    def __init__(self, number):
        super().__init__()
        self.number = number

    @rml.Service(expand=True)
    def greet(self, caller):
        return f"hello from {self.profile.name}, number {self.number}"

class Greets(Conductor):
    def __init__(self):
        super().__init__("GREET")
        self.cli.add_command("greet", self.greet, expand_arguments=True)

    def greet(self):
        for worker in sorted(self.ctx.relationships.get_relationship("worker")):
            print(self.call(worker, "greet"), flush=True)

if __name__ == "__main__":
    run_actor_from_cli("conductor.yaml")
"""
FILES = {
    "nodes.yaml": "profiles: [{name: worker1}, {name: worker2}]",
    "common.yaml": """
        relationships: {manager: conductor/conductor}
        contacts: {conductor: '127.0.0.1:4000'}
        log_console_type: shared
        """,
    "conductor.yaml": """
        name: conductor
        roles: {conductor: {class: greeting.Greets}}
        """,
    "application.yaml": """
        <<: !include topology.yaml
        profiles: !include nodes.yaml profiles
        roles:
          worker.: {worker: {class: greeting.Greeter, options: {number: '$c[7-8]'}}}
        """,
    "topology.yaml": """
        connection_rules: ['conductor worker.*']
        relationship_rules: {conductor: {worker: worker.*}}
        """,
}


def test_the_programs_of_0_3_deploy_and_are_steered_by_a_file_of_commands(
    tmp_path: Path, broker_url: str
) -> None:
    (tmp_path / "greeting.py").write_text(CONDUCTOR)
    for name, text in FILES.items():
        (tmp_path / name).write_text(
            textwrap.dedent(text).replace("messaging_component", "# messaging_component")
        )
    arguments = ["nodes.yaml", "--workdir", ".", "--src", ".", "--common-config", "common.yaml"]
    batch = Program(tmp_path, "roleml.scripts.runner.batch", *arguments, ROLEML_BROKER=broker_url)
    with batch as actors:
        for _ in range(2):
            actors.line_with("role instance (actor) is READY")
        with Program(tmp_path, "greeting", "--workdir", ".", ROLEML_BROKER=broker_url) as conductor:
            conductor.write("# commands\nconfigure application.yaml\ngreet\nnonsense\n")
            conductor.close_input()
            conductor.end()
        assert "hello from worker1, number 7" in conductor.text
        assert "hello from worker2, number 8" in conductor.text
        assert "unknown command 'nonsense'" in conductor.text
        assert "[info] the actor will now terminate, please wait" in conductor.text
        assert "actor now stopped" in conductor.text
        assert "Traceback" not in conductor.text
        actors.interrupt()
        actors.end()
    assert len(list(tmp_path.glob("run-*.yaml"))) == 1


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


def start_worker(folder: Path, url: str, name: str, *lines: str) -> Program:
    text = "\n".join([f"name: {name}", "relationships: {manager: boss/probe}", *lines])
    (folder / f"{name}.yaml").write_text(text)
    program = Program(folder, "roleml", "run", f"{name}.yaml", ROLEML_BROKER=url)
    program.line_with("role instance (actor) is READY")
    return program


def test_a_class_that_the_target_cannot_import_travels_where_pickles_are_trusted(
    tmp_path: Path, broker_url: str, actors: Actors
) -> None:
    class Unheard(rml.Role):  # in no module that another process could import
        @rml.Service(expand=True)
        def answer(self, _: rml.RoleInstanceID) -> int:
            return 42

    key = tmp_path / "key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    boss = Probe()
    actors.start("boss", {"probe": boss}, broker=broker_url, allow_pickle=True, pickle_key_file=key)
    trusting = ("allow_pickle: true", "pickle_key_file: key")
    with (
        start_worker(tmp_path, broker_url, "trusting", *trusting),
        start_worker(tmp_path, broker_url, "wary"),
    ):
        spec = {"name": "unheard", "spec": {"class": Unheard}}
        boss.call_task(rml.RoleInstanceID("trusting", "actor"), "assign-role", spec).result(DEADLINE_S)
        assert boss.call(rml.RoleInstanceID("trusting", "unheard"), "answer") == 42
        with pytest.raises(RoleInteractionError, match="allow_pickle: true in this actor's configuration"):
            boss.call_task(rml.RoleInstanceID("wary", "actor"), "assign-role", spec).result(DEADLINE_S)

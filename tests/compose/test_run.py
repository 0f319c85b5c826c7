"""The stack without containers: the commands and files of compose.yaml, as processes, on a real broker."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from roleml.cli.broker.server import Server
from tests.actors import wait_until
from tests.broker.client import channel_to
from tests.broker.node import Node
from tests.compose.stack import ROOT, filled, services
from tests.programs import Program, run_program

pytestmark = pytest.mark.timeout(150)

PASSWORD = "a password of this test"
ENVIRONMENT = {"ROLEML_BROKER_PASSWORD": PASSWORD}
ROUNDS = 8


@pytest.fixture(scope="module")
def node(broker_server: Server) -> Iterator[Node]:
    """The broker of compose.yaml, with its environment, configuration and plugins."""
    environment = services()["broker"]["environment"]
    settings = {key.removeprefix("RABBITMQ_").lower(): filled(value, ENVIRONMENT)
                for key, value in environment.items()}  # fmt: skip
    plugins = (ROOT / "brokers/enabled_plugins").read_text(encoding="utf-8").strip("[]. \n").split(",")
    configuration = (ROOT / "brokers/rabbitmq.conf").read_text(encoding="utf-8")
    with Node(broker_server, plugins=plugins, settings=settings, more_lines=configuration) as node:
        yield node


class Stack:
    """Runs the commands of the services in a folder of its own."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.folder = folder
        self.node = node
        shutil.copytree(ROOT / "examples/compose", folder, dirs_exist_ok=True)
        (folder / "results").mkdir()
        conductor = folder / "conductor.yaml"
        changed = conductor.read_text(encoding="utf-8").replace("/results", str(folder / "results"))
        assert "rounds: 50, epochs: 5" in changed
        conductor.write_text(changed.replace("rounds: 50, epochs: 5", f"rounds: {ROUNDS}, epochs: 1"))

    def command(self, name: str, host: str) -> list[str]:
        """With what is another way here: folders, the address of the broker, and the name of the machine."""
        words = []
        for word in services()[name]["command"]:
            word = word.replace("/tmp/", f"{self.folder}/{host}-").replace("/brokers/", f"{ROOT}/brokers/")
            words.append(word.replace("broker:15672", f"127.0.0.1:{self.node.management_port}"))
        return [word.replace("{host}", host) for word in words]

    def environment(self, name: str) -> dict[str, str]:
        environment = services()[name]["environment"].items()
        filled_in = {key: filled(value, ENVIRONMENT) for key, value in environment}
        if "ROLEML_BROKER" in filled_in:
            at = f"//127.0.0.1:{self.node.port}/"
            filled_in["ROLEML_BROKER"] = filled_in["ROLEML_BROKER"].replace("//broker/", at)
        return filled_in | {"OMP_NUM_THREADS": "1"}

    def start(self, name: str, host: str) -> Program:
        return Program(self.folder, "roleml", *self.command(name, host), **self.environment(name))

    def run(self, name: str) -> str:
        code, text = run_program(self.folder, "roleml", *self.command(name, name), **self.environment(name))
        assert code == 0, text
        return text

    def wait_until_healthy(self, host: str) -> None:
        wait_until((self.folder / f"{host}-ready").exists, 90.0)


def test_the_run_goes_on_without_a_client_that_was_killed_and_ends_with_a_summary(
    node: Node, tmp_path: Path
) -> None:
    stack = Stack(tmp_path, node)
    loaded = stack.run("setup")
    assert "1 vhosts" in loaded
    with contextlib.ExitStack() as programs:
        programs.enter_context(stack.start("server", "server"))
        stack.wait_until_healthy("server")
        clients = [programs.enter_context(stack.start("client", f"host{n}")) for n in range(3)]
        conductor = programs.enter_context(stack.start("conductor", "conductor"))
        conductor.line_with("round   1: ")
        clients[0].kill()
        code = conductor.end()
    assert code == 0, conductor.text
    summary = json.loads((tmp_path / "results/summary.json").read_text(encoding="utf-8"))
    assert summary["rounds"] == ROUNDS
    assert summary["accuracy"] > 0.6
    assert summary["clients"] == ["client-host0", "client-host1", "client-host2"]
    lines = (tmp_path / "results/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    by_round = {report["round"]: report["clients"] for report in map(json.loads, lines)}
    assert sorted(by_round) == list(range(1, ROUNDS + 1))
    assert by_round[ROUNDS] == ["client-host1", "client-host2"]
    assert (tmp_path / "results/model.npz").is_file()


def test_the_definitions_are_policies_of_our_queues_and_a_place_for_calls_that_nobody_took(
    node: Node, tmp_path: Path
) -> None:
    Stack(tmp_path, node).run("setup")
    names = {
        "q.a.trainer.services": "rml-services",
        "q.a.trainer.tasks": "rml-tasks",
        "q.a.@inbox": "rml-actor",
        "q.a.@dead": "rml-dead",
        "q.a.@will": None,
    }
    with channel_to(node.url("roleml", PASSWORD, "roleml")) as channel:
        for name in names:
            channel.queue_declare(name, durable=True)
        policies = node.evaluate(
            "maps:from_list([{element(4, amqqueue:get_name(Q)), case rabbit_policy:name(Q) of none -> null; "
            'P -> P end} || Q <- rabbit_amqqueue:list(<<"roleml">>)])'
        )
        assert {name: policies[name] for name in names} == names
        channel.basic_publish("", "q.a.trainer.services", b"?", pika.BasicProperties(expiration="100"))
        wait_until(lambda: channel.basic_get("rml.untaken", auto_ack=True)[2] == b"?")
        for name in names:
            channel.queue_delete(name)

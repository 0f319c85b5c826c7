"""What `roleml broker provision` gives is taken by a broker, and is enough for actors to work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from roleml.cli.broker.server import Server
from roleml.cli.main import main
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service
from tests.actors import Actors
from tests.broker.client import open_connection
from tests.broker.node import Node

pytestmark = pytest.mark.timeout(180)  # each call of rabbitmqctl starts an Erlang machine


@pytest.fixture(scope="module")
def node(broker_server: Server) -> Iterator[Node]:
    with Node(broker_server, plugins=["rabbitmq_management"]) as node:
        yield node


class Echo(Role):
    @Service(expand=True)
    def who(self, caller: RoleInstanceID) -> str:
        return str(caller)


class Application:
    """Two actors in a folder of their own, whose broker is not provisioned yet."""

    def __init__(self, node: Node, folder: Path, vhost: str) -> None:
        self.node = node
        self.folder = folder
        self.vhost = vhost
        self.config = folder / "application.yaml"
        self.users = folder / "users.txt"
        self.config.write_text(f"broker: amqp://127.0.0.1:{node.port}/{vhost}\nprofiles: [alice, bob]\n")

    def provision(self, *arguments: str) -> None:
        assert main(["broker", "provision", str(self.config), "--users", str(self.users), *arguments]) == 0

    def check(self) -> None:
        """Its actors work with what `--format env` tells them, and nobody else gets in."""
        url = f"amqp://{{actor}}@127.0.0.1:{self.node.port}/{self.vhost}?password_file={self.users}"
        actors = Actors()
        try:
            asking = Role()
            actors.start("bob", {"echo": Echo()}, broker=url)
            actors.start("alice", {"asking": asking}, relationships={"echo": ["bob/echo"]}, broker=url)
            assert asking.call("echo", "who") == "alice/asking"
        finally:
            actors.stop()
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            open_connection(self.node.url("alice", "", self.vhost))


@pytest.fixture
def application(node: Node, tmp_path: Path, request: pytest.FixtureRequest) -> Application:
    return Application(node, tmp_path, request.function.__name__[5:30])


def test_a_broker_imports_the_definitions(
    application: Application, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    application.provision()
    assert node.folder is not None
    file = node.folder / "definitions.json"
    file.write_text(capsys.readouterr().out)
    for _ in range(2):  # a second time changes nothing
        node.ctl("import_definitions", str(node.server.inside(file)))
    application.check()


def test_rabbitmqctl_runs_the_script(
    application: Application, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    application.provision("--format", "script")
    server = node.server
    inside = [] if server.root is None else ["chroot", str(server.root)]
    done = subprocess.run(
        [*inside, "sh", "-c", capsys.readouterr().out],
        env=node._environment() | {"RABBITMQCTL": str(server.programs / "rabbitmqctl")},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    application.check()


def test_the_management_api_is_told(application: Application, node: Node) -> None:
    address = f"http://guest:guest@127.0.0.1:{node.management_port}"
    for _ in range(2):
        application.provision("--apply", address, "--max-queue-bytes", "100000000")
    application.check()


def test_an_administrator_that_is_none_is_told_so(
    application: Application, node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("ROLEML_BROKER_ADMIN_PASSWORD", "wrong")
    arguments = ["broker", "provision", str(application.config), "--users", str(application.users)]
    assert main([*arguments, "--apply", f"http://guest@127.0.0.1:{node.management_port}"]) == 2
    assert "user or password is wrong" in capsys.readouterr().err

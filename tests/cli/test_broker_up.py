"""`roleml broker up` and `down`, with the server that the tests have."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from roleml.cli.broker.node import free_ports
from roleml.cli.broker.private import MANAGEMENT_OFFSET, PrivateBroker, is_running
from roleml.cli.broker.server import Server
from roleml.cli.main import main
from tests.broker.client import channel_to
from tests.programs import run_program

pytestmark = [pytest.mark.timeout(240), pytest.mark.broker]

STOP_DEADLINE_S = 60.0


class Broker:
    """What a test asks of the command, with one folder of data."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        where = server.root or server.programs
        # /usr/lib/rabbitmq/bin is what is found without being told
        self._server = [] if server == Server.installed() else ["--server", str(where)]

    def up(self, *arguments: str) -> tuple[int, str]:
        command = ["broker", "up", "--folder", str(self.folder), *self._server, *arguments]
        return run_program(Path.cwd(), "roleml", *command)

    def up_json(self, *arguments: str) -> dict[str, Any]:
        code, text = self.up("--json", *arguments)
        assert code == 0, text
        printed: dict[str, Any] = json.loads(text)
        return printed

    def down(self, *arguments: str) -> tuple[int, str]:
        return run_program(Path.cwd(), "roleml", "broker", "down", "--folder", str(self.folder), *arguments)


@pytest.fixture
def broker(broker_server: Server, tmp_path: Path) -> Iterator[Broker]:
    # a server in a root of its own sees nothing outside of it
    folder = (
        tmp_path / "broker" if broker_server.root is None else broker_server.root / f"tmp/{tmp_path.name}"
    )
    broker = Broker(folder, broker_server)
    yield broker
    broker.down("--delete")
    assert not folder.exists()


def port_for_both() -> int:
    while True:
        (port,) = free_ports(1)
        with socket.socket() as probe:
            if port < 22_000 and probe.connect_ex(("127.0.0.1", port + MANAGEMENT_OFFSET)) != 0:
                return port


def test_a_broker_is_started_once_stopped_by_pid_and_found_again_with_its_data(broker: Broker) -> None:
    port = port_for_both()
    first = broker.up_json("--port", str(port), "--management")
    assert first["management"] == f"http://127.0.0.1:{port + MANAGEMENT_OFFSET}"
    with socket.create_connection(("127.0.0.1", port + MANAGEMENT_OFFSET), timeout=10):
        pass
    with channel_to(first["url"]) as channel:
        channel.queue_declare("kept", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "kept", b"still here", pika.BasicProperties(delivery_mode=2))
    assert broker.folder.stat().st_mode & 0o077 == 0
    again = broker.up_json("--port", str(port))
    assert again == first, "one that is up is left as it is"

    code, text = broker.down()
    assert (code, text) == (0, f"stopped; its data is kept in {broker.folder}\n")
    deadline = time.monotonic() + STOP_DEADLINE_S
    words = [str(broker.folder), "-port "]
    while any(is_running(pid, word) for pid, word in zip(first["pids"], words, strict=True)):
        assert time.monotonic() < deadline
    assert PrivateBroker(broker.folder).running() is None
    assert broker.down()[1] == f"no broker is up in {broker.folder}\n"

    code, text = broker.up("--port", str(port))
    assert code == 0, text
    assert f"export ROLEML_BROKER='{first['url']}'" in text, "the password is kept, too"
    assert f"roleml broker down --folder {broker.folder}" in text
    with channel_to(first["url"]) as channel:
        assert channel.basic_get("kept", auto_ack=True)[2] == b"still here"


def test_a_broker_that_does_not_start_says_why_and_leaves_nothing_running(
    broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "broken.conf").write_text("no.such.setting = 1\n")
    code, text = broker.up("--port", str(free_ports(1)[0]), "--config", str(tmp_path / "broken.conf"))
    assert code == 1
    assert "while starting" in text
    assert "no.such.setting" in text
    assert PrivateBroker(broker.folder).running() is None


def test_a_port_in_use_is_refused_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["broker", "up", "--folder", str(tmp_path / "b"), "--port", str(port)]) == 2
    assert f"port {port} is in use" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_without_a_server_and_without_docker_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "installed", staticmethod(lambda: None))
    monkeypatch.setenv("PATH", str(tmp_path))
    port = str(port_for_both())
    assert main(["broker", "up", "--folder", str(tmp_path / "b"), "--port", port]) == 2
    assert "apt-get install rabbitmq-server" in capsys.readouterr().err
    assert main(["broker", "up", "--folder", str(tmp_path), "--port", port, "--server", "/etc"]) == 2
    assert "/etc holds no RabbitMQ" in capsys.readouterr().err


def test_a_process_that_got_the_pid_of_a_broker_is_left_alone(tmp_path: Path) -> None:
    broker = PrivateBroker(tmp_path)
    # this test has pid 1 neither for a node nor for a port mapper
    broker.record.write_text(
        json.dumps({"url": "", "management": None, "folder": "", "processes": {"-home x": 1, "-port 1": 1}})
    )
    assert broker.running() is None
    assert broker.stop() is False

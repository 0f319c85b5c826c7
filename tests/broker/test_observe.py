"""`roleml call` and `roleml tail`, over a real broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.cli.command import CommandError
from roleml.cli.main import main
from roleml.cli.observe.call import values_of
from tests.actors import DEADLINE_S, Actors, in_thread
from tests.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(90)]


class Server(rml.Role):
    round_completed = rml.Event()
    other = rml.Event()

    @rml.Service(expand=True)
    def add(self, caller: rml.RoleInstanceID, a: float, b: float = 1, data: Any = None) -> Any:
        return {"sum": a + b, "data": data, "caller": caller.instance_name}

    @rml.Service(expand=True)
    def nothing(self, _: rml.RoleInstanceID) -> None: ...

    @rml.Task(expand=True)
    def run(self, _: rml.RoleInstanceID, num_rounds: int = 2) -> int:
        for i in range(num_rounds):
            self.round_completed.emit(args={"round": i, "accuracy": 0.5}, payloads={"weights": bytes(9)})
            self.other.emit(args={"x": i})
        return num_rounds

    @rml.Task(expand=True)
    def fail(self, _: rml.RoleInstanceID) -> None:
        raise RuntimeError("out of paint")


@pytest.fixture
def actors(broker_url: str) -> Iterator[Actors]:
    actors = Actors()
    actors.broker = broker_url
    yield actors
    actors.stop()


@pytest.fixture
def url(actors: Actors, broker_url: str) -> str:
    actors.start("server", {"server": Server()})
    return broker_url


def test_a_service_is_called(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "server/server",
        "add",
        "a=2",
        "b=0.5",
        "--payload",
        "data=[1, x]",
        "--broker",
        url,
        "--json",
    ]
    assert main(["call", *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == {"sum": 2.5, "data": [1, "x"], "caller": "cli"}
    assert main(["call", "server/server", "nothing", "--broker", url]) == 0
    assert capsys.readouterr().out == ""


def test_a_task_is_called_and_waited_for(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLEML_BROKER", url)
    assert main(["call", "server/server", "run", "num_rounds=3", "--task", "--timeout", "20"]) == 0
    assert capsys.readouterr().out == "3\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["server/server", "ad", "a=1"], "did you mean 'add'"),
        (["server/sever", "add"], "no role"),
        (["nobody/server", "add"], "nobody"),
        (["server/server", "fail", "--task"], "out of paint"),
        (["server/server", "add", "c=1"], "'c'"),
    ],
)
def test_a_call_that_fails_says_why(
    url: str, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["call", *arguments, "--broker", url]) == 1
    err = capsys.readouterr().err
    assert complaint in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["server/", "add"], "write actor/role"),
        (["a/b/c", "add"], "write actor/role"),
        (["a/b", "add", "--timeout", "3"], "--timeout is for tasks"),
        (["a/b", "add", "x"], "write name=value"),
        (["a/b", "add", "x=[1"], "the value of x is no YAML"),
        (["a/b", "add", "--broker", "embedded://"], "the embedded broker ends at its process"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["call", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_broker_that_is_not_there_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["call", "a/b", "c"], ["tail", "a/b", "c"]):
        assert main([*command, "--broker", "amqp://127.0.0.1:9"]) == 3
        assert "cannot connect" in capsys.readouterr().err


def test_values_are_yaml() -> None:
    assert values_of(["a=1", "b=text", "c=", "d={x: [true]}", "e=a=b"]) == {
        "a": 1, "b": "text", "c": None, "d": {"x": [True]}, "e": "a=b"
    }  # fmt: skip
    with pytest.raises(CommandError):
        values_of(["1a=2"])


def test_events_are_followed_also_of_roles_that_come_later(
    actors: Actors, broker_url: str, tmp_path: Path
) -> None:
    over = threading.Event()
    servers = {"server": Server(), "late": Server()}

    def emit() -> None:
        while not over.wait(0.02):
            for name in actors_started:
                servers[name].call_task("server", "run").result()

    actors_started: list[str] = []
    arguments = ["tail", "server/server,late/server", "round-completed", "other", "--json"]
    with Program(tmp_path, "roleml", *arguments, "--broker", broker_url) as program:
        emitting = in_thread(emit)
        try:
            lines = []
            for name, role in servers.items():
                actors.start(name, {"server": role})
                actors_started.append(name)
                for channel in ("round-completed", "other"):
                    text = program.line_with(f'"channel": "{channel}", "source": "{name}/server"')
                    lines.append(json.loads(text))
        finally:
            over.set()
            emitting.result(DEADLINE_S)
        program.interrupt()
        assert program.end() == 130, program.text
    assert lines[0]["args"].keys() == {"round", "accuracy"}
    assert lines[0]["payloads"] == ["weights"]
    assert lines[0]["time"] > 1e9
    assert "Traceback" not in program.text


def test_as_many_as_asked_for_are_printed_for_people(actors: Actors, broker_url: str, tmp_path: Path) -> None:
    over = threading.Event()
    server = Server()
    actors.start("server", {"server": server})

    def emit() -> None:
        while not over.wait(0.02):
            server.call_task("server", "run").result()

    arguments = ["tail", "server/server", "round-completed", "-n", "3", "--broker", broker_url]
    emitting = in_thread(emit)
    try:
        with Program(tmp_path, "roleml", *arguments) as program:
            assert program.end() == 0, program.text
    finally:
        over.set()
        emitting.result(DEADLINE_S)
    lines = [line for line in program.text.splitlines() if " server/server round-completed: " in line]
    assert len(lines) == 3
    assert all(line.endswith("accuracy=0.5 + weights") for line in lines)

"""`roleml status` and `roleml top`, over a real broker with its management plugin, and without it."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.cli.main import main
from roleml.library.roles.recorder.entries import read_record
from tests.actors import Actors, Probe, at, wait_until
from tests.broker.fixtures import vhost_on
from tests.broker.node import Node
from tests.programs import ROOT, Program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

#: What is promised of a killed actor.
NOTICED_S = 10.0

APPLICATION = """
from __future__ import annotations

import threading

import roleml.essentials as rml


class Trainer(rml.Role):
    @rml.Task(expand=True)
    def train(self, caller) -> None:
        threading.Event().wait(3600)

    @rml.Service(expand=True)
    def say(self, caller, text: str) -> None:
        self.logger.info(text)

    @rml.Service(expand=True)
    def evaluate(self, caller) -> None:
        raise ValueError("there are no test data")
"""


class Learner(rml.Role):
    metrics = rml.Metrics()


CONFIG = "name: client1\nroles: {trainer: {class: learners.Trainer}}\n"


@pytest.fixture
def vhost(managed_node: Node) -> Iterator[str]:
    with vhost_on(managed_node) as name:
        yield name


@pytest.fixture
def url(managed_node: Node, vhost: str) -> str:
    return managed_node.url(vhost=vhost)


@pytest.fixture
def management(managed_node: Node) -> list[str]:
    login = f"{managed_node.admin}:{managed_node.admin}"
    return ["--management", f"http://{login}@127.0.0.1:{managed_node.management_port}"]


@pytest.fixture
def actors(url: str) -> Iterator[Actors]:
    actors = Actors()
    actors.broker = url
    yield actors
    actors.stop()


@pytest.fixture
def client(tmp_path: Path, url: str) -> Iterator[Program]:
    (tmp_path / "learners.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "client1.yaml").write_text(CONFIG, encoding="utf-8")
    with Program(tmp_path, "roleml", "run", "client1.yaml", "--broker", url) as program:
        program.line_with("actor starts running")
        yield program


@pytest.fixture
def status(url: str, management: list[str], capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `roleml status --json` and returns what it printed."""

    def run(*arguments: str) -> Any:
        assert main(["status", "--broker", url, *management, "--json", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_a_killed_client_is_offline_within_ten_seconds_with_its_waiting_tasks(
    client: Program,
    actors: Actors,
    status: Callable[..., Any],
    url: str,
    management: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    probe = Probe()
    actors.start("server", {"probe": probe})
    tasks = [probe.call_task(at("client1/trainer"), "train") for _ in range(3)]
    wait_until(lambda: status()["client1"]["backlogs"]["trainer"]["running"] == 3)
    seen = status()
    assert (seen["client1"]["presence"], seen["server"]["presence"]) == ("online", "online")
    assert seen["client1"]["report"]["roles"]["trainer"]["executing"] == 3

    client.kill()
    wait_until(
        lambda: (
            (status()["client1"]["presence"], status()["client1"]["backlogs"]["trainer"]["tasks"])
            == ("offline", 3)
        ),
        NOTICED_S,
    )
    capsys.readouterr()
    assert main(["status", "--broker", url, *management, "--strict"]) == 1
    text = capsys.readouterr().out
    (row,) = [line for line in text.splitlines() if line.startswith("client1")]
    assert row.split() == ["client1", "offline", "trainer", "3"]
    assert "1 of 2 actors online" in text
    assert "! 3 tasks wait for client1, which is offline" in text
    assert not any(task._pending.done for task in tasks)


def test_a_frozen_client_is_silent(client: Program, status: Callable[..., Any]) -> None:
    os.kill(client.pid, signal.SIGSTOP)
    try:
        assert status("--timeout", "0.5")["client1"]["presence"] == "silent"
    finally:
        os.kill(client.pid, signal.SIGCONT)
    assert status()["client1"]["presence"] == "online"


def test_the_last_failure_is_told(
    client: Program, actors: Actors, url: str, management: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    probe = Probe()
    actors.start("server", {"probe": probe})
    with pytest.raises(Exception, match="no test data"):
        probe.call(at("client1/trainer"), "evaluate")
    assert main(["status", "--broker", url, *management]) == 0
    text = capsys.readouterr().out
    assert "! client1/trainer.evaluate failed 0 s ago: ValueError: there are no test data" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line[:1].isalpha()}
    assert rows["ACTOR"][-2:] == ["RATE/s", "SENT"]
    assert rows["client1"][4:10] == ["trainer", "READY", "0", "0", "0", "1"]


def test_without_the_management_plugin_a_configuration_tells_who_should_be_there(
    client: Program, tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.yaml").write_text(
        "profiles:\n"
        "  - {name: client1, roles: {trainer: {class: learners.Trainer}}}\n"
        "  - {name: client2, roles: {trainer: {class: learners.Trainer}}}\n",
        encoding="utf-8",
    )
    nowhere = ["--management", "http://guest:guest@127.0.0.1:1"]
    assert main(["status", str(tmp_path / "all.yaml"), "--broker", url, *nowhere]) == 0
    text = capsys.readouterr().out
    presences = {line.split()[0]: line.split()[1] for line in text.splitlines() if line.startswith("client")}
    assert presences == {"client1": "online", "client2": "offline"}
    assert "what waits at the broker is not shown: cannot reach http://127.0.0.1:1/api" in text

    assert main(["status", "--broker", url, *nowhere]) == 3
    assert "is the plugin on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--broker", "embedded://"], "the embedded broker ends at its process"),
        (["nothing.yaml", "--broker", "amqp://localhost"], "nothing.yaml: No such file"),
    ],
)
@pytest.mark.parametrize("command", ["status", "top"])
def test_what_cannot_be_asked_is_refused(
    command: str, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_top_shows_rates_and_who_has_gone(
    actors: Actors, url: str, management: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    probe = Probe()
    actors.start("server", {"probe": probe})
    assert main(["top", "--broker", url, *management, "-n", "2", "-i", "0.2"]) == 0
    tables = capsys.readouterr().out.strip().split("\n\n")
    rows = [line.split() for line in "\n".join(tables).splitlines() if line.startswith("server")]
    assert [row[0] for row in rows] == ["server", "server"]
    assert rows[1][-3] == "0.0"  # nothing was handled in between
    assert len(rows[0]) == len(rows[1]) - 1


def test_top_draws_in_place_on_a_terminal_until_ctrl_c(
    actors: Actors, url: str, management: list[str], tmp_path: Path
) -> None:
    actors.start("server", {"probe": Probe()})
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        arguments = ["-m", "roleml", "top", "--broker", url, *management, "-i", "0.2"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
        os.execve(sys.executable, [sys.executable, *arguments], environment)
    text = b""
    while text.count(b"PRESENCE") < 3:
        text += os.read(terminal, 65536)
    os.kill(pid, signal.SIGINT)
    while True:
        try:
            rest = os.read(terminal, 65536)
        except OSError:  # how a pseudo-terminal says that nobody writes any more
            break
        if not rest:
            break
        text += rest
    _, code = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(code) == 130
    assert b"\x1b[?1049h" in text  # a screen of its own
    assert b"\x1b[?1049l" in text  # and back
    assert b"Traceback" not in text


def test_what_runs_is_drawn(
    client: Program, actors: Actors, url: str, management: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    probe = Probe()
    actors.start("server", {"probe": probe}, relationships={"trainer": ["client1/trainer"]})
    for _ in range(2):
        with pytest.raises(Exception, match="no test data"):
            probe.call("trainer", "evaluate")
    assert main(["graph", "--live", "--broker", url, *management]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "client1",
        "  trainer  (Trainer)",
        "server",
        "  probe  (Probe)",
        "    calls evaluate x2 of client1/trainer",
    ]
    client.kill()
    assert main(["graph", "--live", "--broker", url, *management]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["server", "  probe  (Probe)"]
    assert printed.err == "client1 is offline, and not drawn\n"


def test_where_each_actor_is_a_user_an_observer_is_one_too(
    managed_node: Node,
    vhost: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    port = managed_node.management_port
    monkeypatch.setenv("ROLEML_BROKER_ADMIN_PASSWORD", managed_node.admin)
    Path("client1.yaml").write_text(CONFIG, encoding="utf-8")
    Path("learners.py").write_text(APPLICATION, encoding="utf-8")
    apply = ["--vhost", vhost, "--apply", f"http://{managed_node.admin}@127.0.0.1:{port}"]
    assert main(["broker", "provision", "client1.yaml", "--observer", "alice", *apply]) == 0
    try:
        lines = Path("roleml-users.txt").read_text(encoding="utf-8").splitlines()
        passwords = dict(line.split(":") for line in lines)
        url = f"amqp://{{actor}}@127.0.0.1:{managed_node.port}/{vhost}?password_file=roleml-users.txt"
        capsys.readouterr()
        with Program(tmp_path, "roleml", "run", "client1.yaml", "--broker", url) as client:
            client.line_with("actor starts running")
            management = ["--management", f"http://alice:{passwords['alice']}@127.0.0.1:{port}"]
            assert main(["status", "--broker", url, "--name", "alice", *management, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["client1"]["presence"] == "online"
    finally:
        for user in ("client1", "alice"):
            managed_node.delete_user(user)


def test_an_application_that_runs_is_recorded_until_ctrl_c(
    actors: Actors, url: str, management: list[str], tmp_path: Path
) -> None:
    learner = Learner()
    actors.start("client1", {"trainer": learner})
    folder = tmp_path / "run"
    arguments = ["record", "-o", str(folder), "--broker", url, *management, "-f", "jsonl"]
    with Program(tmp_path, "roleml", *arguments) as program:
        program.line_with("recording 1 roles; Ctrl-C ends it")
        learner.metrics.log(1, loss=0.5)
        later = Learner()
        actors.start("client2", {"trainer": later})
        program.line_with("recording 2 roles")
        later.metrics.log(1, loss=0.25)
        program.interrupt()
        assert program.end() == 0, program.text
    assert f"2 entries of 2 roles: {folder}" in program.text
    assert str(folder / "report.html") in program.text
    assert sorted(
        (str(each.source), each.values["loss"]) for each in read_record(folder / "record.jsonl")
    ) == [
        ("client1/trainer", 0.5),
        ("client2/trainer", 0.25),
    ]
    assert (folder / "report.html").exists()


def test_recording_for_some_time_and_in_unknown_formats(
    actors: Actors, url: str, management: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actors.start("client1", {"trainer": Learner()})
    arguments = ["record", "-o", str(tmp_path / "run"), "--broker", url, *management]
    assert main([*arguments, "--for", "0.1"]) == 0
    assert "0 entries of 1 roles" in capsys.readouterr().out
    assert main([*arguments, "-f", "cvs"]) == 2
    assert "unknown format 'cvs'; did you mean 'csv'?" in capsys.readouterr().err


def test_the_logs_of_all_actors_come_to_one_place(
    client: Program, actors: Actors, url: str, management: list[str], tmp_path: Path
) -> None:
    probe = Probe()
    actors.start("server", {"probe": probe})
    arguments = ["logs", "--broker", url, *management, "-n", "2", "--json"]
    with Program(tmp_path, "roleml", *arguments) as program:
        said = None
        while said is None:  # it takes a moment until it listens
            probe.call(at("client1/trainer"), "say", {"text": "I am client1"})
            said = program.line_within("I am client1", 0.2)
        line = json.loads(said)
        assert (line["actor"], line["level"], line["text"]) == ("client1", "INFO", "I am client1")
        assert line["logger"] == "roleml.roles.trainer"
        probe.call(at("client1/trainer"), "say", {"text": "and again"})
        assert program.end() == 0, program.text


def test_logs_end_after_some_time(
    url: str, management: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "--broker", url, *management, "--for", "0.1"]) == 0
    assert capsys.readouterr().out == ""

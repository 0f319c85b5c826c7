"""What a newcomer does: the commands of the README, as they stand there, in a fresh copy of the tree."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from roleml.cli.broker.server import Server
from roleml.cli.demo.live import SPARKS
from roleml.messaging.rabbitmq.management import ManagementAPI
from tests.actors import wait_until
from tests.cli.test_broker_up import port_for_both
from tests.programs import ROOT

DEADLINE_S = 60.0
ACTORS = {"server", "conductor", *(f"client{number}" for number in range(1, 6))}


def commands(name: str) -> list[str]:
    """The lines to type of the block that is marked so in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(rf"<!-- newcomer: {name} -->\n```console\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    return [line.removeprefix("$ ") for line in block[1].splitlines()]


def test_it_is_one_command_and_then_three() -> None:
    assert len(commands("one command")) == 1
    assert len(commands("three commands")) == 3
    assert commands("three commands")[0].split("#")[0].strip() == commands("one command")[0]


class Terminal:
    """A shell on a terminal, as wide as one is; all that it has shown is in `text`."""

    def __init__(self, folder: Path, script: str, **environment: str) -> None:
        master, slave = os.openpty()
        self.text = ""
        self._process = subprocess.Popen(
            ["bash", "--norc", "-e", "-c", script],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "40", **environment},
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, args=(master,), daemon=True)
        self._reader.start()

    def _read(self, master: int) -> None:
        while True:
            try:
                self.text += os.read(master, 65536).decode("utf-8", "replace")
            except OSError:  # everybody has closed it
                os.close(master)
                return

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.text or self._process.poll() is not None, DEADLINE_S)
        assert text in self.text, self.text[-3000:]

    def press_ctrl_c(self) -> int:
        """Interrupt what runs in the foreground, and wait for the end."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(DEADLINE_S)

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, with a virtual environment that is installed already: this one."""
    folder = tmp_path / "roleml"
    leave = shutil.ignore_patterns(".*", "__pycache__", "runs", "results", "_build", "*.egg-info", "tests")
    shutil.copytree(ROOT, folder, ignore=leave)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, command in {"python": "", "roleml": "-m roleml"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    (folder / ".venv" / ".demo").touch()  # newer than pyproject.toml: make has nothing to install
    return folder


@pytest.fixture
def data(tree: Path, broker_server: Server) -> Iterator[Path]:
    """Where the broker of the README keeps its data; it is down, and deleted, in the end."""
    # a server in a root of its own sees nothing outside of it
    data = (
        tree.parent / "data" if broker_server.root is None else broker_server.root / f"tmp/{tree.parent.name}"
    )
    yield data
    subprocess.run(
        [tree / ".venv" / "bin" / "roleml", "broker", "down", "--delete"],
        env={**os.environ, "PYTHONPATH": str(tree), "XDG_DATA_HOME": str(data)},
        check=True,
        capture_output=True,
    )


@pytest.mark.broker
@pytest.mark.timeout(150)
def test_a_newcomer_sees_a_curve_and_then_the_run_on_the_management_pages(
    tree: Path, data: Path, broker_server: Server
) -> None:
    first, second, third = commands("three commands")
    # The one change: on this machine the usual port may be in use, and another server be the one to test.
    here = f"broker up --port {port_for_both()}"
    if broker_server != Server.installed():
        here += f" --server {broker_server.root or broker_server.programs}"
    second = second.replace("broker up", here)
    script = f"{first}\necho; echo step two\n{second}\necho step three\n{third}"
    terminal = Terminal(tree, script, PYTHONPATH=str(tree), XDG_DATA_HOME=str(data))
    try:
        terminal.wait_for("step two")
        live = terminal.text
        assert "round 30/30" in live
        assert len(set(re.findall(f"[{SPARKS}]", live))) > 3, "the curve was not drawn"
        assert "test accuracy 0.9" in live
        (run,) = (tree / "runs").iterdir()
        assert (run / "metrics.png").stat().st_size > 10_000
        assert len((run / "metrics.jsonl").read_text("utf-8").splitlines()) == 30

        terminal.wait_for("step three")
        pages = re.search(r"to look at: http://(\S+), user (\S+), password (\S+)", terminal.text)
        assert pages is not None
        api = ManagementAPI(f"http://{pages[2]}:{pages[3]}@{pages[1]}")
        terminal.wait_for("round 2/500")
        wait_until(lambda: {name.split()[0] for name in connections(api)} >= ACTORS, DEADLINE_S)
        queues = {queue["name"] for queue in api.get("queues")}
        assert {f"q.client{number}.trainer.tasks" for number in range(1, 6)} <= queues
        wait_until(lambda: any(rate > 0 for rate in rates(api)), DEADLINE_S)
        assert terminal.press_ctrl_c() in (130, -signal.SIGINT)
    finally:
        terminal.close()


def connections(api: ManagementAPI) -> list[str]:
    """What the page of connections calls them."""
    told = [connection.get("client_properties") or {} for connection in api.get("connections")]
    return [str(each.get("connection_name", "?")) for each in told]


def rates(api: ManagementAPI) -> list[float]:
    """How many messages a second the page of queues shows for the tasks of trainers."""
    shown = [
        queue.get("message_stats", {}).get("publish_details", {}).get("rate", 0.0)
        for queue in api.get("queues")
        if queue["name"].endswith("trainer.tasks")
    ]
    return [float(rate) for rate in shown]

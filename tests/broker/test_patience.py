"""What takes its time: a task longer than the broker's patience, and an actor that is frozen."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import roleml.essentials as rml
from roleml.cli.broker.server import Server
from roleml.core.context import ActorProfile, Context
from tests.broker.node import Node
from tests.broker.test_recovery import WORKER, Callee, runs, work


@pytest.fixture
def impatient_url(broker_server: Server) -> Iterator[str]:
    """A broker that takes back what is held for longer than a second; it looks once a minute."""
    with Node(broker_server, settings={"consumer_timeout": 1000}) as node:
        node.add_vhost("app")
        yield node.url(vhost="app")


@pytest.mark.timeout(240)
def test_a_long_task_runs_once_and_a_frozen_actor_is_noticed_within_half_a_minute(
    impatient_url: str, tmp_path: Path
) -> None:
    """One test for both, since each takes so long."""
    caller = rml.Actor(Context.build(ActorProfile("caller")), broker=impatient_url)
    caller.start()
    callee = Callee(impatient_url)
    frozen = Callee(impatient_url, name="frozen")
    try:
        task = work(caller, tmp_path / "journal", seconds=75.0)
        noticed: queue.SimpleQueue[Exception] = queue.SimpleQueue()

        def call_frozen() -> None:
            try:
                caller.call("x", rml.RoleInstanceID("frozen", "worker"), "hang", rml.Message.empty())
            except rml.HandlerError as e:
                noticed.put(e)

        thread = threading.Thread(target=call_frozen)
        thread.start()
        frozen.wait_for("hanging")
        os.kill(frozen.process.pid, signal.SIGSTOP)
        assert "frozen left before frozen/worker.hang answered" in str(noticed.get(timeout=60))
        thread.join(30)

        assert task.result(120) == "done"
        assert runs(tmp_path / "journal") == 1
        assert work(caller, tmp_path / "again").result(30) == "done"
        assert caller.call("x", WORKER, "pid", rml.Message.empty()) == callee.process.pid
    finally:
        frozen.kill()
        callee.close()
        caller.stop()

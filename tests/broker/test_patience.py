"""What takes its time: a task longer than the broker's patience, and an actor that is frozen."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

import roleml.essentials as rml
from roleml.cli.broker.server import Server
from roleml.core.context import ActorProfile, Context
from roleml.messaging.rabbitmq import names, peers
from tests.actors import in_thread
from tests.broker.broker import Broker
from tests.broker.client import open_connection
from tests.broker.node import Node
from tests.broker.test_recovery import WORKER, Callee, runs, work

FROZEN = rml.RoleInstanceID("frozen", "worker")


@pytest.fixture
def impatient(broker_server: Server) -> Iterator[Node]:
    """A broker that takes back what is held for longer than a second, and looks every second."""
    with Node(broker_server, settings={"consumer_timeout": 1000}) as node:
        node.evaluate("ok = application:set_env(rabbit, channel_tick_interval, 1000)")
        node.add_vhost("app")
        yield node


@pytest.mark.timeout(240)
def test_a_long_task_runs_once_and_a_frozen_actor_is_noticed_within_half_a_minute(
    impatient: Node, broker_url: str, tmp_path: Path
) -> None:
    """One test for both, since each takes so long."""
    url = impatient.url(vhost="app")
    caller, witness = (
        rml.Actor(Context.build(ActorProfile("caller")), broker=each) for each in (url, broker_url)
    )
    caller.start()
    witness.start()
    callee = Callee(url)
    frozen = Callee(broker_url, name="frozen")
    try:
        task = work(caller, tmp_path / "journal", seconds=25.0)
        hanging = in_thread(witness.call, "x", FROZEN, "hang", rml.Message.empty())
        frozen.wait_for("hanging")
        os.kill(frozen.process.pid, signal.SIGSTOP)
        with pytest.raises(rml.HandlerError, match=r"frozen left before frozen/worker\.hang answered"):
            hanging.result(60)

        assert task.result(120) == "done"
        assert runs(tmp_path / "journal") == 1
        if tuple(map(int, impatient.version().split(".")[:2])) < (4, 3):  # later ones: quorum queues only
            assert impatient.log(1_000_000).count("delivery acknowledgement on channel") > 5
        assert work(caller, tmp_path / "again").result(30) == "done"
        assert caller.call("x", WORKER, "pid", rml.Message.empty()) == callee.process.pid
    finally:
        frozen.kill()
        callee.close()
        caller.stop()
        witness.stop()


@pytest.mark.timeout(60)
def test_an_actor_whose_will_was_read_too_early_is_still_missed(
    broker_node: Broker, broker_vhost: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker takes the will back after its ``consumer_timeout``; the next one is written by who lives."""
    monkeypatch.setattr(peers, "ASKED_AGAIN_S", ())  # in the time after the first contact
    caller = rml.Actor(Context.build(ActorProfile("caller")), broker=broker_url)
    caller.start()
    frozen = Callee(f"{broker_url}?heartbeat=1", name="frozen")
    hanging = in_thread(caller.call, "x", FROZEN, "hang", rml.Message.empty())
    try:
        frozen.wait_for("hanging")
        os.kill(frozen.process.pid, signal.SIGSTOP)
        monkeypatch.setattr(peers, "ASKED_AGAIN_S", (1.0, 2.0, 4.0, 8.0))
        with contextlib.closing(open_connection(broker_url)) as connection:
            channel = connection.channel()
            channel.queue_delete(names.will_queue("frozen"))
            headers = {"kind": "presence", "actor": "frozen", "state": "lost", "boot": "b"}
            properties = pika.BasicProperties(headers=headers)
            channel.basic_publish(names.PRESENCE, names.presence_key("frozen", "lost"), b"", properties)
        with pytest.raises(rml.HandlerError, match=r"frozen left before frozen/worker\.hang answered"):
            hanging.result(30)
    finally:
        frozen.kill()
        caller.stop()

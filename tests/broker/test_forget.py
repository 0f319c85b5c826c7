"""`roleml broker forget` on a real broker: what is deleted, and what is left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

import roleml.essentials as rml
from roleml.cli.main import main
from roleml.messaging.envelope import Kind
from roleml.messaging.rabbitmq import names
from tests.actors import Actors, wait_until
from tests.broker.client import channel_to
from tests.broker.console import ConsoleError
from tests.broker.node import Node

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
DEADLINE_S = 30.0

LOST = """
import sys
import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context

class Emitter(rml.Role):
    news = rml.Event()

    @rml.Task
    def work(self, *_): ...

actor = rml.Actor(Context.build(ActorProfile("lost")), broker=sys.argv[1])
actor.add_role("emitter", Emitter())
actor.start()
print("ready", flush=True)
sys.stdin.read()
"""


class Reader(rml.Role):
    @rml.EventHandler("source", "news")
    def on_news(self, *_: object) -> None: ...


Forget = Callable[..., tuple[int, str]]


@pytest.fixture
def forget(managed_node: Node, managed_vhost: str, capsys: pytest.CaptureFixture[str]) -> Forget:
    login = f"{managed_node.admin}:{managed_node.admin}"
    there = f"http://{login}@127.0.0.1:{managed_node.management_port}"

    def run(*arguments: str) -> tuple[int, str]:
        broker = managed_node.url(vhost=managed_vhost)
        code = main(["broker", "forget", *arguments, "--broker", broker, "--management", there])
        out, err = capsys.readouterr()
        return code, out + err

    return run


def left(node: Node, vhost: str, actor: str) -> list[str]:
    while True:
        try:
            rows = [*node.list_queues(vhost), *node.list_exchanges(vhost)]
        except ConsoleError:  # some queue went away while the node was looking at it
            continue
        return [row["name"] for row in rows if row["name"].split(".")[1:2] == [actor]]


def test_nothing_is_left_of_an_actor_that_was_killed(
    managed_node: Node, managed_vhost: str, managed_actors: Actors, forget: Forget
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOST, managed_node.url(vhost=managed_vhost)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        managed_actors.start("reader", {"reader": Reader()}, relationships={"source": ["lost/emitter"]})
        wait_until(lambda: "x.lost.emitter.news" in left(managed_node, managed_vhost, "lost"), DEADLINE_S)
        assert forget("lost") == (1, "lost: left alone, since it is connected: stop it first\n")
        process.kill()
    wait_until(lambda: names.alive_queue("lost") not in left(managed_node, managed_vhost, "lost"), DEADLINE_S)
    before = left(managed_node, managed_vhost, "lost")
    assert {"q.lost.emitter.tasks", "x.lost.emitter.news", "x.lost.emitter.news.where"} <= set(before)
    code, text = forget("lost", "--dry-run")
    assert code == 0
    assert text.startswith("lost: would delete ")
    assert "x.lost.emitter.news" in text
    assert "q.lost.emitter.tasks" in text
    assert left(managed_node, managed_vhost, "lost") == before
    code, text = forget("lost", "nobody")
    assert (code, text.splitlines()[1]) == (0, "nobody: nothing is left of it")
    assert text.startswith("lost: deleted ")
    assert left(managed_node, managed_vhost, "lost") == []
    assert left(managed_node, managed_vhost, "reader")


def test_tasks_are_left_alone_unless_it_is_forced(
    managed_node: Node, managed_vhost: str, forget: Forget
) -> None:
    waiting, aside = names.request_queue("gone", "trainer", Kind.TASK), names.dead_queue("gone")
    with channel_to(managed_node.url(vhost=managed_vhost)) as channel:
        for name in (waiting, aside):
            channel.queue_declare(name, durable=True)
            channel.basic_publish("", name, b"x")
    wait_until(lambda: forget("gone", "--dry-run")[1].count("1 in q.gone.") == 2, DEADLINE_S)
    code, text = forget("gone")
    assert code == 1
    assert f"gone: left alone, since there are tasks: 1 in {aside}, 1 in {waiting}; --force" in text
    assert len(left(managed_node, managed_vhost, "gone")) == 2
    assert forget("gone", "--force") == (0, "gone: deleted 2 queues and 0 exchanges\n")
    assert left(managed_node, managed_vhost, "gone") == []


def test_a_task_that_came_meanwhile_is_left_alone(
    managed_node: Node, managed_vhost: str, forget: Forget, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = names.request_queue("gone", "trainer", Kind.TASK)
    with channel_to(managed_node.url(vhost=managed_vhost)) as channel:
        channel.queue_declare(waiting, durable=True)
        channel.basic_publish("", waiting, b"x")
        monkeypatch.setattr("roleml.messaging.rabbitmq.leftovers.Leftovers.kept", {})
        code, text = forget("gone")
        assert code == 1
        assert "gone: not all could be deleted: " in text
        assert left(managed_node, managed_vhost, "gone") == [waiting]


def test_it_needs_a_rabbitmq_with_its_management_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["broker", "forget", "gone", "--broker", "embedded://"]) == 2
    assert "name a RabbitMQ" in capsys.readouterr().err
    assert (
        main(["broker", "forget", "gone", "--broker", "amqp://h/", "--management", "http://127.0.0.1:1"]) == 2
    )
    assert "is the plugin on" in capsys.readouterr().err

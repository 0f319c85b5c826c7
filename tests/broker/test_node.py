"""The node of the tests is itself tested: all that runs on a broker rests on it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from roleml.cli.broker.server import Server
from tests.broker import client
from tests.broker.client import channel_to
from tests.broker.node import Node, NodeError, speaks_amqp
from tests.broker.remote import RemoteBroker, RemoteError

DEADLINE_S = 15.0

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(90),
]  # a start takes 4 s on an idle machine, 10 s on a busy one


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether the process, or one of its group, is there."""
    for check in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):
            check(pid, 0)
            return True
    return False


def publish(channel: BlockingChannel, queue: str, body: bytes) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)


@pytest.fixture(scope="module")
def node(broker_server: Server) -> Iterator[Node]:
    with Node(broker_server) as node:
        yield node


def test_a_client_declares_publishes_and_gets(node: Node) -> None:
    with channel_to(node.url()) as channel:
        channel.queue_declare("greetings", exclusive=True)
        publish(channel, "greetings", b"hello")
        assert channel.basic_get("greetings", auto_ack=True)[2] == b"hello"


def test_durable_messages_survive_a_restart(node: Node) -> None:
    with channel_to(node.url()) as channel:
        channel.queue_declare("restarts", durable=True)
        publish(channel, "restarts", b"still here")
    port = node.port
    node.restart()
    assert node.port == port
    with channel_to(node.url()) as channel:
        assert channel.basic_get("restarts", auto_ack=True)[2] == b"still here"


def test_durable_messages_survive_a_kill(node: Node) -> None:
    with channel_to(node.url()) as channel:
        channel.queue_declare("kills", durable=True)
        publish(channel, "kills", b"still here")
        pid = node.pid
        node.kill()
        assert not is_alive(pid)
        assert not speaks_amqp(node.port)
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            channel.queue_declare("kills", passive=True)
    node.start()
    with channel_to(node.url()) as channel:
        assert channel.basic_get("kills", auto_ack=True)[2] == b"still here"


def test_a_paused_node_is_silent_until_it_is_resumed(node: Node) -> None:
    node.pause()
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        node.resume()
        connection.settimeout(DEADLINE_S)
        assert connection.recv(1)


def test_an_alarm_blocks_publishers_until_it_is_cleared(node: Node) -> None:
    news: list[str] = []
    with channel_to(node.url()) as channel:
        channel.connection.add_on_connection_blocked_callback(lambda *_: news.append("blocked"))
        channel.connection.add_on_connection_unblocked_callback(lambda *_: news.append("unblocked"))
        node.raise_alarm("memory")
        try:
            channel.basic_publish("", "nowhere", b"")
            until(lambda: channel.connection.process_data_events(0.05) or news == ["blocked"])
        finally:
            node.clear_alarms()
        until(lambda: channel.connection.process_data_events(0.05) or news == ["blocked", "unblocked"])


def test_a_blocked_connection_is_closed_all_the_same(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 1)
    node.raise_alarm("memory")
    try:
        with channel_to(node.url()) as channel:
            channel.basic_publish("", "nowhere", b"")
        assert channel.connection.is_closed
    finally:
        node.clear_alarms()


def test_vhosts_are_apart(node: Node) -> None:
    for vhost in ("one", "two"):
        node.add_vhost(vhost)
    with channel_to(node.url(vhost="one")) as channel, channel_to(node.url(vhost="two")) as other:
        channel.queue_declare("q", durable=True, arguments={"x-expires": 60_000, "x-rml-list": [1, "b"]})
        publish(channel, "q", b"1")
        until(lambda: [row["messages_ready"] for row in node.list_queues("one")] == [1])
        (row,) = node.list_queues("one")
        assert (row["name"], row["arguments"]["x-rml-list"]) == ("q", [1, "b"])
        assert node.list_queues("two") == []
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            other.queue_declare("q", passive=True)
    for vhost in ("one", "two"):
        node.delete_vhost(vhost)
    assert "one" not in node.ctl("list_vhosts")


def test_users_have_the_permissions_they_are_given(node: Node) -> None:
    node.add_user("eve", 'it\'s "secret" \\ é')
    node.set_permissions("eve", "/", configure="^mine$", write="^mine$", read="^$")
    node.set_topic_permissions("eve", "/", "amq.topic", write="^a$", read="^b$")
    with channel_to(node.url("eve", 'it\'s "secret" \\ é')) as channel:
        channel.queue_declare("mine", exclusive=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            channel.queue_declare("yours", exclusive=True)
        assert {row["user"] for row in node.list_connections("/")} == {"eve"}
        node.close_connections("/")
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="a test wants it"):
            until(lambda: channel.connection.process_data_events(0.05))
    node.delete_user("eve")


def test_two_nodes_side_by_side_do_not_meet(node: Node, broker_server: Server) -> None:
    with Node(broker_server) as other:
        assert {node.port, node.distribution_port}.isdisjoint({other.port, other.distribution_port})
        other.add_vhost("only there")
        with (
            pytest.raises(pika.exceptions.ProbableAccessDeniedError),
            channel_to(node.url(vhost="only there")),
        ):
            pass
        assert other.evaluate("length(nodes())") == node.evaluate("length(nodes())") == 0


def test_stop_leaves_no_process_and_no_folder(broker_server: Server) -> None:
    node = Node(broker_server)
    node.start()
    pids, folder = [node.pid, node.epmd_pid], node.folder
    assert folder is not None
    assert folder.exists()
    assert all(pid is not None and is_alive(pid) for pid in pids)
    node.pause()
    node.stop()
    node.stop()
    assert not any(is_alive(pid) for pid in pids if pid)
    assert not folder.exists()


STARTS_A_NODE = """
from tests.broker.fixtures import choose_server
from tests.broker.node import Node
node = Node(choose_server())
node.start()
print(node.pid, node.epmd_pid, node.folder, flush=True)
input()
"""
#: It dies before it has taken hold of the node's console.
BEGINS_TO_START_ONE = """
import os
from tests.broker import node as module
from tests.broker.fixtures import choose_server
module.START_DEADLINE_S = 1.0
node = module.Node(choose_server())
node._prepare()
node._launch()
print(node.pid, node.epmd_pid, node.folder, flush=True)
input()
"""


@pytest.mark.parametrize("program", [STARTS_A_NODE, BEGINS_TO_START_ONE])
def test_a_killed_session_leaves_no_process_and_no_folder(program: str) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(root)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as session:  # fmt: skip
        assert session.stdout is not None
        pid, epmd_pid, folder = session.stdout.readline().split()
        assert is_alive(int(pid))
        session.kill()
    # Orphans are reaped by the init process, which may take its time: a zombie runs no more.
    until(lambda: not any(is_running(int(pid)) for pid in (pid, epmd_pid)) and not Path(folder).exists())


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return is_alive(pid) and not Path("/proc/self/stat").exists()


def test_a_node_that_does_not_start_says_why_and_leaves_nothing(broker_server: Server) -> None:
    node = Node(broker_server, settings={"no.such.setting": "1"})
    with pytest.raises(NodeError, match=r"no\.such\.setting"):
        node.start()
    assert node.folder is None
    assert node.epmd_pid is None
    assert not node.running


def test_a_folder_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no RabbitMQ"):
        Server.at(tmp_path)


def test_a_broker_at_a_url_is_administered_over_http(broker_server: Server) -> None:
    with Node(broker_server, plugins=["rabbitmq_management"]) as node:
        remote = RemoteBroker(f"{node.url()}?management=http://127.0.0.1:{node.management_port}")
        assert remote.version() == node.version()
        remote.add_vhost("far/away")
        remote.add_user("eve", "secret")
        remote.set_permissions("eve", "far/away", read="^$")
        remote.set_topic_permissions("eve", "far/away", "amq.topic", write="^a$", read="^b$")
        with channel_to(remote.url(vhost="far/away")) as channel:
            channel.queue_declare("q", durable=True)
            channel.queue_bind("q", "amq.topic", "key")
            until(lambda: [row["name"] for row in remote.list_queues("far/away")] == ["q"])
            assert "amq.topic" in {row["name"] for row in remote.list_exchanges("far/away")}
            for broker in (remote, node):
                bindings = {
                    (row["source"], row["destination_type"]) for row in broker.list_bindings("far/away")
                }
                assert bindings == {("", "queue"), ("amq.topic", "queue")}
            until(lambda: len(remote.list_connections("far/away")) == 1)
            remote.close_connections("far/away")
            with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="a test wants it"):
                until(lambda: channel.connection.process_data_events(0.05))
        remote.delete_user("eve")
        remote.delete_vhost("far/away")
        with pytest.raises(RemoteError, match="404"):
            remote.list_queues("far/away")


def test_a_url_without_management_says_how_to_get_it(node: Node) -> None:
    with pytest.raises(RemoteError, match="rabbitmq-plugins enable rabbitmq_management"):
        RemoteBroker(node.url() + "?management=http://127.0.0.1:1").version()

"""`roleml doctor` finds each of these faults on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pika
import pytest

import roleml
from roleml.cli.main import main
from roleml.messaging.envelope import Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.provisioning import grant_of
from tests.actors import Actors, Probe, wait_until
from tests.broker.client import channel_to
from tests.broker.node import Node

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
DEADLINE_S = 30.0


@pytest.fixture
def managed(managed_node: Node) -> Node:
    return managed_node


Doctor = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def doctor(managed: Node, managed_vhost: str, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs `roleml doctor --json`, checks its exit code, and returns the findings."""

    def run(
        *arguments: str, user: str | None = None, password: str = "", management: bool = True
    ) -> list[dict[str, Any]]:
        url = managed.url(user, password, managed_vhost) if user else managed.url(vhost=managed_vhost)
        login = f"{managed.admin}:{managed.admin}"
        if management:
            arguments = (*arguments, "--management", f"http://{login}@127.0.0.1:{managed.management_port}")
        code = main(["doctor", "--broker", url, "--json", *arguments])
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        assert code == (1 if any(each["level"] == "error" for each in found) else 0)
        assert all(each["remedy"] for each in found if each["level"] != "ok")
        return found

    return run


def bad(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["level"], each["subject"]) for each in found if each["level"] != "ok"]


def text_of(found: list[dict[str, Any]], subject: str) -> str:
    return " ".join(f"{each['text']} {each['remedy']}" for each in found if each["subject"] == subject)


def test_a_broker_that_is_well(
    doctor: Doctor, managed: Node, managed_vhost: str, managed_actors: Actors
) -> None:
    managed_actors.start("alice", {"probe": Probe()})
    wait_until(
        lambda: (
            f"processes are connected, all of RoleML {roleml.__version__}" in text_of(doctor(), "versions")
        )
    )
    found = doctor("--actor", "bob")
    assert bad(found) == []
    seen = {each["subject"] for each in found}
    assert seen >= {"version", "permission", "messages", "name", "node", "consumers"}
    left = [row["name"] for row in managed.list_queues(managed_vhost) if "doctor" in row["name"]]
    assert left == []


def test_it_leaves_nothing_on_a_broker_without_actors(
    doctor: Doctor, managed: Node, managed_vhost: str
) -> None:
    assert bad(doctor()) == []
    assert managed.list_queues(managed_vhost) == []
    assert not [row for row in managed.list_exchanges(managed_vhost) if row["name"].startswith("rml")]


def test_fault_1_a_wrong_password(doctor: Doctor) -> None:
    found = doctor(user="guest", password="wrong", management=False)
    assert bad(found) == [("error", "connection")]
    assert "the user name or the password is wrong" in text_of(found, "connection")


@pytest.mark.parametrize(
    ("permissions", "complaint"),
    [
        ({"configure": "^$"}, "cannot make queues such as"),
        ({"configure": "^q.*"}, "cannot make the exchange rml.call, which is not there yet"),
        ({"write": "^$"}, "cannot publish a small message"),
    ],
)
def test_fault_2_a_missing_permission(
    doctor: Doctor, managed: Node, managed_vhost: str, permissions: dict[str, str], complaint: str
) -> None:
    managed.add_user("eve", "secret")
    try:
        managed.set_permissions("eve", managed_vhost, **permissions)
        found = doctor(user="eve", password="secret")
        assert ("error", "permission") in bad(found)
        assert complaint in text_of(found, "permission")
        assert "rabbitmqctl set_permissions -p app eve" in text_of(found, "permission")
    finally:
        managed.delete_user("eve")


def test_fault_3_the_management_plugin_is_off(doctor: Doctor) -> None:
    found = doctor("--management", "http://guest:guest@127.0.0.1:1", management=False)
    assert bad(found) == [("warning", "management")]
    assert "rabbitmq-plugins enable rabbitmq_management" in text_of(found, "management")


def test_fault_4_an_alarm(doctor: Doctor, managed: Node) -> None:
    managed.raise_alarm("memory")
    try:
        wait_until(lambda: "short of memory" in text_of(doctor(), "alarm"), DEADLINE_S)
        assert "the broker takes no messages" in text_of(doctor(), "alarm")
    finally:
        managed.clear_alarms()
    wait_until(lambda: not bad(doctor()), DEADLINE_S)


def test_fault_5_two_actors_of_one_name(doctor: Doctor, managed_actors: Actors) -> None:
    managed_actors.start("alice", {"probe": Probe()})
    found = doctor("--actor", "alice")
    assert bad(found) == [("error", "name")]
    assert "an actor named 'alice' is connected already" in text_of(found, "name")


def test_fault_6_actors_of_different_versions(
    doctor: Doctor, managed: Node, managed_vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = pika.URLParameters(managed.url(vhost=managed_vhost))
    parameters.client_properties = {
        "product": "RoleML",
        "version": "0.3.1",
        "connection_name": "old consume (pid 1)",
    }
    connection = pika.BlockingConnection(parameters)
    try:
        wait_until(lambda: ("error", "version skew") in bad(doctor()), DEADLINE_S)
        assert "0.3.1: old" in text_of(doctor(), "version skew")
    finally:
        connection.close()


def test_fault_7_work_that_nobody_takes(doctor: Doctor, managed: Node, managed_vhost: str) -> None:
    with channel_to(managed.url(vhost=managed_vhost)) as channel:
        queue = names.request_queue("gone", "trainer", Kind.TASK)
        for name in (queue, names.dead_queue("gone")):
            channel.queue_declare(name, durable=True)
            channel.basic_publish("", name, b"x")
        channel.exchange_declare(names.event_exchange(("gone", "trainer"), "news"), "fanout", durable=True)
        wait_until(lambda: ("warning", "tasks") in bad(doctor()), DEADLINE_S)
        found = doctor()
        assert "1 exchanges of events stay of actor gone" in text_of(found, "leftovers")
        assert "1 tasks wait for gone/trainer, and nobody takes them start actor gone" in text_of(
            found, "consumers"
        )
        assert "1 tasks of actor gone were set aside" in text_of(found, "tasks")
    assert main(["doctor", "--broker", managed.url(vhost=managed_vhost), "--strict"]) == 1


def test_fault_8_messages_may_not_be_as_large_as_pieces_are(doctor: Doctor, managed: Node) -> None:
    before = managed.evaluate("{ok, Size} = application:get_env(rabbit, max_message_size), Size")
    limit = (
        "application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0}), ok"
    )
    managed.evaluate(limit.format(1 << 20))
    try:
        found = doctor()
        assert bad(found) == [("error", "limits")]
        assert "a piece of 4 MiB of a large payload does not pass" in text_of(found, "limits")
        assert "max_message_size" in text_of(found, "limits")
    finally:
        managed.evaluate(limit.format(before))


def test_a_provisioned_actor_may_ask_for_itself(doctor: Doctor, managed: Node, managed_vhost: str) -> None:
    with channel_to(managed.url(vhost=managed_vhost)) as channel:
        for exchange in (names.CALL, names.PRESENCE):
            channel.exchange_declare(exchange, "topic", durable=True)
    grant = grant_of("alice")
    managed.add_user("alice", "secret")
    try:
        managed.set_permissions("alice", managed_vhost, grant.configure, grant.write, grant.read)
        for topic in grant.topics:
            managed.set_topic_permissions("alice", managed_vhost, topic.exchange, topic.write, topic.read)
        found = doctor("--actor", "alice", user="alice", password="secret")
        assert bad(found) == []
    finally:
        managed.delete_user("alice")


def test_the_text_is_for_people(
    managed: Node, managed_vhost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = managed.url("guest", "wrong", managed_vhost)
    assert main(["doctor", "--broker", url]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ERROR   connection: cannot connect to amqp://guest@127.0.0.1:")
    assert lines[1] == "        -> the user name or the password is wrong [RML-B001]"
    assert "wrong" not in lines[0].partition("://")[2].partition("@")[0]


@pytest.mark.parametrize("arguments", [[], ["--broker", "embedded://"]])
def test_it_needs_a_rabbitmq(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert "name a RabbitMQ" in capsys.readouterr().err

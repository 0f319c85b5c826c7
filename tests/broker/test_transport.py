"""The transport contract on RabbitMQ, and what only this transport has."""

from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np
import pika
import pytest

import roleml
import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.transport import open_transport
from tests.actors import DEADLINE_S, wait_until
from tests.broker.broker import Broker
from tests.messaging.transport_contract import Inbox, Peer, TransportContract

SERVER = rml.RoleInstanceID("server", "echo")


@pytest.fixture
def url(broker_url: str) -> str:
    return broker_url


class TestRabbitTransport(TransportContract):
    pass


class Echo(rml.Role):
    @rml.Service(expand=True)
    def echo(self, _: rml.RoleInstanceID, data: object) -> object:
        return data

    @rml.Task(expand=True)
    def echo_later(self, _: rml.RoleInstanceID, data: object) -> object:
        return data


def actor(name: str, url: str) -> rml.Actor:
    return rml.Actor(Context.build(ActorProfile(name)), broker=url)


@pytest.mark.parametrize("megabytes", [0.5, 3, 40])
def test_payloads_of_any_size_travel_both_ways(url: str, megabytes: float) -> None:
    data = np.random.default_rng(1).random(int(megabytes * 125_000))
    with actor("server", url) as server, actor("client", url) as client:
        server.add_role("echo", Echo())
        server.start()
        message = rml.Message({}, {"data": data})
        assert np.array_equal(client.call("x", SERVER, "echo", message), data)
        assert np.array_equal(client.call_task("x", SERVER, "echo-later", message).result(20), data)


@pytest.mark.parametrize("nbytes", [200_000, 4_000_000])
def test_a_shared_payload_reaches_many_targets_from_one_upload(url: str, nbytes: int) -> None:
    data = np.arange(nbytes // 8)
    with actor("server", url) as server, actor("client", url) as client:
        for n in range(4):
            server.add_role(f"echo{n}", Echo())
        server.start()
        group = [rml.RoleInstanceID("server", f"echo{n}") for n in range(4)]
        results = client.call_group("x", group, "echo", message=rml.Message({}, {"data": data}))
        assert [target for target, _ in results] == group
        assert all(np.array_equal(result, data) for _, result in results)


def test_a_name_in_use_is_refused_and_the_error_says_so(url: str) -> None:
    first = Peer("a", url)
    try:
        with pytest.raises(MsgConnectionError, match=r"'a' is already connected"):
            open_transport(url, "a").start(Inbox())
    finally:
        first.transport.stop()


def test_an_unreachable_host_is_an_error_that_names_it() -> None:
    with pytest.raises(MsgConnectionError, match=r"cannot connect to amqp://guest@127\.0\.0\.1:1/.*running"):
        open_transport("amqp://guest:guest@127.0.0.1:1/", "a").start(Inbox())


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("amqp://h/?hearbeat=3", "did you mean 'heartbeat'"),
        ("amqp://h:port/", "not host or host:port"),
    ],
)
def test_a_broken_url_is_explained(bad: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        open_transport(bad, "a")


def limit_channels(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let each connection have so few channels."""
    as_they_are = BrokerURL.parameters

    def parameters(self: BrokerURL, *args: Any) -> pika.ConnectionParameters:
        parameters = as_they_are(self, *args)
        parameters.channel_max = count
        return parameters

    monkeypatch.setattr(BrokerURL, "parameters", parameters)


def test_too_many_actors_for_one_connection_are_refused_and_not_kept_waiting(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_channels(monkeypatch, 6)
    first = Peer("first", url)
    try:
        with pytest.raises(MsgConnectionError, match=r"second finds no free channel.*several processes"):
            Peer("second", url)
    finally:
        first.transport.stop()


def test_a_connection_that_has_no_channel_left_still_serves_the_actors_it_has(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_channels(monkeypatch, 7)
    first, second = Peer("first", url), Peer("second", url)
    try:
        with pytest.raises(MsgConnectionError, match="third finds no free channel"):
            Peer("third", url)
        for number in range(20):
            first.transport.watch(f"stranger-{number}")
        second.transport.watch("first")
        first.transport.stop()
        assert second.inbox.news.get(timeout=DEADLINE_S)[0] == "first"
    finally:
        first.transport.stop()
        second.transport.stop()


def test_the_broker_can_tell_people_whose_connections_and_queues_these_are(
    broker_node: Broker, broker_vhost: str, url: str
) -> None:
    with actor("server", url) as server:
        server.add_role("echo", Echo())
        server.start()
        # at a broker that is asked over HTTP, what it counts comes some seconds late
        wait_until(lambda: len(broker_node.list_connections(broker_vhost)) == 2)
        connections = [row["client_properties"] for row in broker_node.list_connections(broker_vhost)]
        pid = os.getpid()
        assert sorted(each["connection_name"] for each in connections) == [
            f"server {purpose} (pid {pid} on {socket.gethostname()})" for purpose in ("consume", "publish")
        ]
        assert {(each["product"], each["version"], each["actor"], each["pid"]) for each in connections} == {
            ("RoleML", roleml.__version__, "server", str(pid))
        }
        arguments = {row["name"]: row["arguments"] for row in broker_node.list_queues(broker_vhost)}
        kinds = ("alive", "events", "inbox", "uploads", "will")
        assert all(each["x-rml-version"] == 1 for each in arguments.values())
        assert {name: (each["x-rml-role"], each["x-rml-kind"]) for name, each in arguments.items()} == {
            "q.server.echo.services": ("echo", "service"),
            "q.server.echo.tasks": ("echo", "task"),
            "q.server.actor.services": ("actor", "service"),
            "q.server.actor.tasks": ("actor", "task"),
            **{f"q.server.@{kind}": ("@actor", kind) for kind in kinds},
        }


def test_subscribers_make_no_exchange_that_its_source_would_not_delete(
    broker_node: Broker, broker_vhost: str, url: str
) -> None:
    """They did, and where a source left or never came, its exchanges stayed for good."""

    def exchanges() -> list[str]:
        names = [row["name"] for row in broker_node.list_exchanges(broker_vhost)]
        return sorted(name for name in names if name.startswith("x."))

    source, subscriber = Peer("source", url), Peer("subscriber", url)
    try:
        assert not subscriber.transport.subscribe(("never", "me"), "news")
        subscriber.subscribe(source, "news", {"kind": "x"})
        assert exchanges() == ["x.source.me.news", "x.source.me.news.where"]
        source.transport.unbind("me")
        assert exchanges() == []
        assert not subscriber.transport.subscribe(("source", "me"), "news")
        assert exchanges() == []
    finally:
        source.transport.stop()
        subscriber.transport.stop()

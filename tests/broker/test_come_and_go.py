"""Actors that come and go, and connections that are lost for long: what is heard, and what is left."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator

import pytest

import roleml.essentials as rml
from roleml.core.actor.actor import BaseActor
from roleml.messaging.rabbitmq import peers
from tests.actors import DEADLINE_S, Actors, Emitter, Gate, Probe, at, in_thread, wait_until
from tests.broker.broker import Broker
from tests.broker.node import Node
from tests.faults.measures import RESTLESS, RINGS, tables
from tests.faults.proxy import Proxy


class Reader(Probe):
    """Notes the news of the relationship ``source``, and can be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.news: queue.SimpleQueue[int] = queue.SimpleQueue()

    @rml.EventHandler("source", "news", expand=True)
    def on_news(self, _: rml.RoleInstanceID, n: int) -> None:
        self.news.put(n)

    @rml.Service(expand=True)
    def ask(self, _: rml.RoleInstanceID) -> str:
        return self.profile.name


@pytest.fixture
def actors(broker_url: str, proxy: Proxy) -> Iterator[Actors]:
    """They are gone before the broker is."""
    actors = Actors()
    yield actors
    actors.stop()


@pytest.fixture
def proxy(broker_node: Node) -> Iterator[Proxy]:
    with Proxy(broker_node.port) as proxy:
        yield proxy


def through(proxy: Proxy, node: Node, url: str) -> str:
    return url.replace(f":{node.port}/", f":{proxy.port}/")


def hears(reader: Reader, emitter: Emitter) -> bool:
    """Whether news come, if not the first ones: a connection that is lost loses those under way."""
    emitter.news.emit({"n": 0})
    try:
        reader.news.get(timeout=0.2)
    except queue.Empty:
        return False
    return True


def exchanges_of(node: Broker, vhost: str, actor: str) -> list[str]:
    return [row["name"] for row in node.list_exchanges(vhost) if row["name"].startswith(f"x.{actor}.")]


def counted(actor: BaseActor) -> dict[str, int]:
    """The entries of the tables that have no limit."""
    counts = tables(actor).items()
    return {name: count for name, count in counts if name.partition("[")[0] not in RINGS | RESTLESS}


def assert_flat(actor: BaseActor, before: dict[str, int]) -> None:
    """No table has grown by five or more, at last."""
    grown: dict[str, int] = {}

    def is_flat() -> bool:
        grown.clear()
        more = {name: count - before.get(name, 0) for name, count in counted(actor).items()}
        grown.update({name: number for name, number in more.items() if number > 4})
        return not grown

    with contextlib.suppress(AssertionError):  # what has grown says more
        wait_until(is_flat)
    assert not grown


@pytest.mark.parametrize("whose", ["the source's", "the subscriber's"])
def test_events_are_heard_again_after_a_connection_was_lost_for_so_long_that_its_actor_counted_as_lost(
    actors: Actors,
    proxy: Proxy,
    broker_node: Node,
    broker_url: str,
    whose: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "GRACE_S", 0.05)
    behind, reader, emitter = through(proxy, broker_node, broker_url), Reader(), Emitter()
    source_url, reader_url = (behind, broker_url) if whose == "the source's" else (broker_url, behind)
    source = actors.start("E", {"emitter": emitter}, broker=source_url)
    subscriber = actors.start(
        "A", {"reader": reader}, relationships={"source": ["E/emitter"]}, broker=reader_url
    )
    wait_until(lambda: hears(reader, emitter))
    remote = source._events._emitting.sources[(at("E/emitter"), "news")].remote
    proxy.cut()
    if whose == "the source's":
        wait_until(lambda: not subscriber._events._inlets)
    else:
        wait_until(lambda: not remote)
    proxy.mend()
    wait_until(lambda: hears(reader, emitter))
    assert remote == {"A": {"reader"}}


def test_the_channel_of_an_event_is_there_again_after_the_broker_lost_it(
    actors: Actors, broker_node: Node, broker_vhost: str, broker_url: str
) -> None:
    reader, emitter = Reader(), Emitter()
    actors.start("E", {"emitter": emitter}, broker=broker_url)
    actors.start("A", {"reader": reader}, relationships={"source": ["E/emitter"]}, broker=broker_url)
    for name in exchanges_of(broker_node, broker_vhost, "E"):
        broker_node.evaluate(
            f'rabbit_exchange:delete({{resource, <<"{broker_vhost}">>, exchange, <<"{name}">>}}, false,'
            ' <<"tests">>), ok'
        )
    broker_node.close_connections(broker_vhost)
    wait_until(lambda: hears(reader, emitter))


def test_the_channels_of_a_source_that_has_left_are_not_made_again(
    actors: Actors, proxy: Proxy, broker_node: Node, broker_vhost: str, broker_url: str
) -> None:
    """Neither by a subscriber that was away meanwhile, nor by one of its roles that ends."""
    reader, other = Reader(), Reader()
    source = actors.start("E", {"emitter": Emitter(), "second": Emitter()}, broker=broker_url)
    subscriber = actors.start(
        "A",
        {"reader": reader, "other": other},
        relationships={"source": ["E/emitter", "E/second"]},
        broker=through(proxy, broker_node, broker_url),
    )
    assert exchanges_of(broker_node, broker_vhost, "E")
    proxy.cut()
    source.stop()
    assert not exchanges_of(broker_node, broker_vhost, "E")
    proxy.mend()
    consumer = subscriber._mailbox.transport._consumer
    wait_until(lambda: consumer.generation == 2 and consumer._up)
    subscriber.stop_role("other")
    wait_until(lambda: not subscriber._events._inlets, 30.0)
    assert not exchanges_of(broker_node, broker_vhost, "E")


@pytest.mark.parametrize("where", ["embedded", "RabbitMQ"])
def test_nothing_is_remembered_of_actors_that_have_left(
    actors: Actors, where: str, proxy: Proxy, broker_node: Node, broker_url: str
) -> None:
    here = there = actors.broker
    if where == "RabbitMQ":  # visitors have connections of their own, as in processes of their own
        here, there = broker_url, through(proxy, broker_node, broker_url)
    reader, emitter = Reader(), Emitter()
    host = actors.start("host", {"reader": reader, "emitter": emitter}, broker=here)

    def visit(name: str) -> None:
        """One that calls and is called, and they listen to each other."""
        guest, theirs = Reader(), Emitter()
        visitor = actors.start(
            name,
            {"guest": guest, "emitter": theirs},
            relationships={"source": ["host/emitter"]},
            cls=BaseActor,
            broker=there,
        )
        host.ctx.relationships.add_to_relationship("source", at(f"{name}/emitter"))
        assert reader.call(at(f"{name}/guest"), "ask") == name
        assert guest.call(at("host/reader"), "ask") == "host"
        wait_until(lambda: hears(reader, theirs))
        wait_until(lambda: hears(guest, emitter))
        host.ctx.relationships.remove_from_relationship("source", at(f"{name}/emitter"))
        visitor.stop()
        wait_until(lambda: name not in host._mailbox._watched._actors)

    visit("first")
    before = counted(host)
    for n in range(5):
        visit(f"visitor{n}")
    assert_flat(host, before)


class Busy(rml.Role):
    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    @rml.Service(expand=True)
    def hold(self, _: rml.RoleInstanceID) -> None:
        self._gate.pass_through()

    @rml.Task(expand=True)
    def work(self, _: rml.RoleInstanceID) -> str:
        return "done"


def test_a_task_that_comes_while_its_actor_stops_is_run_by_the_next_process(
    actors: Actors, proxy: Proxy, broker_node: Node, broker_url: str
) -> None:
    gate, caller = Gate(), Probe()
    actors.start("caller", {"caller": caller}, broker=through(proxy, broker_node, broker_url))
    callee = actors.start("callee", {"busy": Busy(gate)}, broker=broker_url)
    held = in_thread(caller.call, at("callee/busy"), "hold")
    gate.entered()
    stopping = in_thread(callee.stop)
    control = callee.role_status_manager.ctrl("busy")
    wait_until(lambda: not control.is_ready)
    task = in_thread(lambda: caller.call_task(at("callee/busy"), "work").result())
    wait_until(lambda: len(callee._mailbox.transport._ledger) == 1)
    gate.open()
    stopping.result(DEADLINE_S)
    held.result(DEADLINE_S)
    actors.start("callee", {"busy": Busy(gate)}, broker=broker_url)
    assert task.result(DEADLINE_S) == "done"


@pytest.mark.parametrize("where", ["embedded", "RabbitMQ"])
def test_nothing_is_remembered_of_roles_that_have_ended(actors: Actors, where: str, broker_url: str) -> None:
    gate, caller = Gate(), Probe()
    gate.open()
    url = broker_url if where == "RabbitMQ" else actors.broker
    host = actors.start("host", broker=url)
    actors.start("caller", {"caller": caller}, broker=url)

    def serve(name: str) -> None:
        host.add_role(name, Busy(gate))
        host.start_role(name)
        caller.call(at(f"host/{name}"), "hold")
        assert caller.call_task(at(f"host/{name}"), "work").result(DEADLINE_S) == "done"
        host.stop_role(name)

    serve("first")
    before = counted(host)
    for n in range(6):
        serve(f"role{n}")
    assert_flat(host, before)

"""What a node of RabbitMQ holds, and what each piece of it costs the node."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pika

from tests.broker.console import quoted
from tests.broker.node import Node

__all__ = ["Holdings", "Piece", "connections", "cpu_s", "delete_task_queues", "pieces"]

LOOK_EVERY_S, MOST_LOOKS, STILL_BYTES = 0.3, 6, 100_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Holdings:
    """What is there in one vhost, and what the node needs for all of them."""

    connections: int
    channels: int
    queues: int
    exchanges: int
    bindings: int
    consumers: int
    messages: int
    memory_bytes: int
    processes: int
    descriptors: int

    @classmethod
    def of(cls, node: Node, vhost: str) -> Holdings:
        """The exchanges and bindings that each vhost and queue has anyway are not counted."""
        found = node.evaluate(
            f"V = {quoted(vhost)},"
            "Queues = [rabbit_amqqueue:info(Q, [consumers, messages]) || Q <- rabbit_amqqueue:list(V)],"
            "Total = fun(Key) -> lists:sum([N || Q <- Queues, {K, N} <- Q, K =:= Key, is_integer(N)]) end,"
            "[erlang:garbage_collect(P) || P <- erlang:processes()],"
            "#{connections => length(rabbit_networking:connections()),"
            "  channels => length(rabbit_channel:list()),"
            "  queues => length(Queues),"
            "  exchanges => length([N || [{name, {_, _, _, N}}] <- rabbit_exchange:info_all(V, [name]),"
            '                       N =/= <<>>, binary:longest_common_prefix([N, <<"amq.">>]) < 4]),'
            "  bindings => length([1 || [{source_name, S}] <- rabbit_binding:info_all(V, [source_name]),"
            "                      S =/= <<>>]),"
            "  consumers => Total(consumers), messages => Total(messages),"
            "  memory_bytes => erlang:memory(total), processes => erlang:system_info(process_count)}",
            timeout_s=120.0,
        )
        return cls(**found, descriptors=len(os.listdir(f"/proc/{node.pid}/fd")))

    def __sub__(self, other: Holdings) -> Holdings:
        return Holdings(**{key: value - getattr(other, key) for key, value in asdict(self).items()})


def delete_task_queues(node: Node, vhost: str) -> int:
    """As an operator does when actors do not come back; returns how many there were."""
    deleted: int = node.evaluate(
        f"Queues = rabbit_amqqueue:list({quoted(vhost)}),"
        "Names = [{Q, N} || Q <- Queues, {resource, _, _, N} <- [amqqueue:get_name(Q)]],"
        'Tasks = [Q || {Q, N} <- Names, binary:longest_common_suffix([N, <<".tasks">>]) =:= 6],'
        '[rabbit_amqqueue:delete(Q, false, false, <<"benchmark">>) || Q <- Tasks], length(Tasks)',
        timeout_s=120.0,
    )
    return deleted


def cpu_s(node: Node) -> float:
    """Of the node, since it started."""
    fields = Path(f"/proc/{node.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass(frozen=True)
class Piece:
    """What one more of something costs the node."""

    name: str
    memory_bytes: float
    processes: float
    descriptors: float
    seconds: float


def settled(node: Node, vhost: str) -> Holdings:
    """What it holds once it has let go of what it has just done, and needs no longer."""
    before = Holdings.of(node, vhost)
    for _ in range(MOST_LOOKS):
        time.sleep(LOOK_EVERY_S)
        now = Holdings.of(node, vhost)
        if abs(now.memory_bytes - before.memory_bytes) < STILL_BYTES:
            return now
        before = now
    return before


def connections(node: Node, count: int, name: str) -> Piece:
    """What one more connection costs that node."""
    parameters = pika.URLParameters(node.url())
    made = [pika.BlockingConnection(parameters)]
    before, began = settled(node, "/"), time.monotonic()
    made += [pika.BlockingConnection(parameters) for _ in range(count)]
    seconds = time.monotonic() - began
    piece = _piece(name, settled(node, "/") - before, seconds, count)
    for connection in made:
        connection.close()
    return piece


def _piece(name: str, more: Holdings, seconds: float, count: int) -> Piece:
    numbers = (more.memory_bytes, more.processes, more.descriptors, seconds)
    return Piece(name, *[number / count for number in numbers])


def pieces(node: Node, count: int) -> list[Piece]:
    """Each kind within a connection, so many of them, by plain pika and one after the other."""
    vhost = "pieces"
    node.add_vhost(vhost)
    parameters = pika.URLParameters(node.url(vhost=vhost))
    connection: Any = pika.BlockingConnection(parameters)
    channel: Any = connection.channel()
    for kind in ("topic", "fanout", "headers"):
        channel.exchange_declare(f"some-{kind}", kind, durable=True)
    # In this order: bindings need the queues. Bindings are small, so ten times as many.
    makers: list[tuple[str, int, Callable[[int], object]]] = [
        ("channel", 1, lambda n: connection.channel()),
        ("exchange", 1, lambda n: channel.exchange_declare(f"x.{n}", "fanout", durable=True)),
        ("classic queue", 1, lambda n: channel.queue_declare(f"q.{n}", durable=True)),
        ("exclusive queue", 1, lambda n: channel.queue_declare(f"e.{n}", exclusive=True)),
        ("consumer", 1, lambda n: channel.basic_consume(f"q.{n}", lambda *_: None)),
        ("binding to a topic exchange", 10, lambda n: bind(n, "some-topic", f"to.{n}.some.key")),
        ("binding to a fanout exchange", 10, lambda n: bind(n, "some-fanout", str(n))),
        ("binding to a headers exchange", 10, lambda n: bind(n, "some-headers", "", {"a.number": f"n:{n}"})),
        (
            "quorum queue",
            1,
            lambda n: channel.queue_declare(f"Q.{n}", durable=True, arguments={"x-queue-type": "quorum"}),
        ),
    ]

    def bind(number: int, exchange: str, key: str, wanted: dict[str, str] | None = None) -> None:
        arguments = None if wanted is None else {"x-match": "all", "a.cohort": "n:1", **wanted}
        channel.queue_bind(f"q.{number % count}", exchange, key, arguments)

    found = []
    for name, times, make in makers:
        make(0)
        before, began, number = settled(node, vhost), time.monotonic(), count * times
        for index in range(1, number + 1):
            make(index)
        seconds = time.monotonic() - began
        found.append(_piece(name, settled(node, vhost) - before, seconds, number))
    connection.close()
    node.delete_vhost(vhost)
    return found

"""The faults: each does something to a world in which calls never rest, and undoes it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from tests.broker.cluster import cluster, isolate, reunite, running_nodes
from tests.broker.node import Node, NoDiskError
from tests.faults.proxy import Proxy
from tests.faults.world import DEADLINE_S, Worker, World, is_frozen

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """`strike` returns when the fault is over; what it returns is when it began, by the monotonic clock."""

    name: str
    strike: Callable[[World], float]
    #: whether services may fail: only where the process that may have begun them is gone
    services_may_fail: bool = False
    #: whether tasks may run twice: only where a process is gone that had begun them
    tasks_may_repeat: bool = False
    #: part of `make test`
    short: bool = False
    #: how often `make faults` repeats it
    runs: int = 3
    #: of which node of a cluster the caller is; the callees are of the first
    caller_node: int = 0
    #: how the broker is before anybody connects, and until the end; gives it, or another one in its place
    condition: Callable[[Node], AbstractContextManager[Node]] = contextlib.nullcontext


Step = Callable[[World], object]

#: messages of a flood that have come when it counts as one; about 10,000 come in a second
FLOOD = 5000
#: of the broker that is to run out of space
DISK_BYTES = 256 << 20
#: by how much the memory of an actor may grow under a flood
FLOOD_BYTES = 128 << 20


def lasting(seconds: float, begin: Step, proof: Step, end: Step) -> Callable[[World], float]:
    """A fault that goes on for so long, from when its proof is true."""

    def strike(world: World) -> float:
        struck_s = time.monotonic()
        begin(world)
        try:
            world.took_effect(lambda: proof(world))
            threading.Event().wait(seconds)
        finally:
            end(world)
        return struck_s

    return strike


def at_once(*steps: Step) -> Callable[[World], float]:
    """A fault that is over when all has been done. The steps prove it themselves."""

    def strike(world: World) -> float:
        struck_s = time.monotonic()
        for step in steps:
            step(world)
        return struck_s

    return strike


def kill_both(world: World) -> None:
    for worker in world.workers:
        world.kill(worker)
    for worker in world.workers:
        worker.start()


def close_connections(world: World) -> None:
    closed = world.node.evaluate(
        'length([rabbit_networking:close_connection(Pid, "a fault")'
        " || Pid <- rabbit_networking:connections()])"
    )
    world.took_effect(lambda: closed >= 2 * (1 + len(world.workers)))


def close_connections_of_caller(world: World) -> None:
    closed = world.node.evaluate(
        'length([rabbit_networking:close_connection(Pid, "a fault")'
        " || [{pid, Pid}, {client_properties, Told}]"
        " <- rabbit_networking:connection_info_all([pid, client_properties]),"
        ' lists:keyfind(<<"actor">>, 1, Told) =:= {<<"actor">>, longstr, <<"caller">>}])'
    )
    world.took_effect(lambda: closed == 2)


def restart_broker(world: World) -> None:
    world.node.terminate()
    world.took_effect(lambda: not world.node.running)
    world.node.start()


def without_descriptors(world: World) -> None:
    """An actor loses its connections, and has nothing to make others with for five seconds."""
    worker = world.workers[0]
    worker.tell("take descriptors")
    world.proxy.cut()
    world.took_effect(lambda: not world.connections_of(worker.name))
    world.proxy.mend()
    threading.Event().wait(5.0)
    assert not world.connections_of(worker.name)
    worker.tell("free descriptors")


def turn_clock(*ways: str) -> Step:
    """The clock of an actor is turned by an hour, one way after the other, while its calls go on."""

    def step(world: World) -> None:
        worker, shift_s = world.workers[0], 0
        for way in ways:
            worker.tell(f"clock {way}")
            shift_s += {"forward": 3600, "back": -3600}[way]
            told_s = world.caller.call(worker.role, "clock")
            world.took_effect(lambda told_s=told_s, shift_s=shift_s: abs(told_s - time.time() - shift_s) < 60)
            world.wait_for_answers(5, time.monotonic())

    return step


def flood(
    what: str,
    came: Callable[[World, Worker], int] = lambda _, worker: worker.runs_of("flood"),
    *,
    most_bytes: int = FLOOD_BYTES,
) -> Step:
    """A member of the application publishes to an actor as fast as it can, for five seconds."""

    def step(world: World) -> None:
        worker = world.workers[0]
        before_bytes = worker.peak_bytes
        with world.flooded(worker, what):
            world.took_effect(lambda: came(world, worker) > FLOOD)
            world.wait_for_answers(3, time.monotonic())
            threading.Event().wait(5.0)
        assert worker.peak_bytes - before_bytes < most_bytes

    return step


@contextlib.contextmanager
def impatient(node: Node) -> Iterator[Node]:
    """What is held for longer than four seconds is taken back, and the broker looks every second."""
    names = ("consumer_timeout", "channel_tick_interval")
    before = [node.evaluate(f"{{ok, Value}} = application:get_env(rabbit, {name}), Value") for name in names]
    for values in ((4000, 1000), before):
        for name, value in zip(names, values, strict=True):
            node.evaluate(f"ok = application:set_env(rabbit, {name}, {value})")
        if values != before:
            yield node


def outstay(world: World) -> None:
    """Tasks that take longer than the broker waits for their acknowledgement, several times over."""
    taken_back = times_taken_back(world.node)
    tasks = [world.begin_task(worker, 20.0) for worker in world.workers]
    for number in range(1, 5):
        world.took_effect(lambda number=number: times_taken_back(world.node) >= taken_back + number)
    for task in tasks:
        task.result(DEADLINE_S)


def times_taken_back(node: Node) -> int:
    return node.log(1_000_000).count("delivery acknowledgement on channel")


@contextlib.contextmanager
def on_a_small_disk(node: Node) -> Iterator[Node]:
    """With RabbitMQ's own reserve, below which it takes nothing more."""
    with contextlib.ExitStack() as stack:
        settings = {"disk_free_limit.absolute": "50MB"}
        try:
            other = stack.enter_context(Node(node.server, data_bytes=DISK_BYTES, settings=settings))
        except NoDiskError as e:
            pytest.skip(str(e))
        yield other


def fill_disk(world: World) -> None:
    """Somebody else writes to the disk of the broker until nothing is left, and makes room again."""
    assert world.node.folder is not None
    filler = world.node.folder / "data" / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 20)):
            threading.Event().wait(0.02)
    left = os.statvfs(filler.parent)
    world.took_effect(lambda: is_blocked(world) and left.f_bavail * left.f_frsize < 1 << 20)
    threading.Event().wait(5.0)
    filler.unlink()


def has_stopped(node: Node) -> bool:
    """Whether the broker has ended, though its process may be there."""
    try:
        return not node.running or not node.evaluate("rabbit:is_running()")
    except OSError:
        return True


@contextlib.contextmanager
def in_a_cluster(node: Node) -> Iterator[Node]:
    """Three nodes instead of one."""
    with cluster(node.server) as first:
        yield first


def is_alone(world: World) -> bool:
    """Whether the first node of a cluster has stopped to serve, and the others go on without it."""
    return has_stopped(world.node) and all(running_nodes(other) == 2 for other in world.node.others)


NODE_KILLED = lasting(5.0, lambda w: w.node.kill(), is_alone, lambda w: w.node.start())
NODE_ISOLATED = lasting(5.0, lambda w: isolate(w.node), is_alone, lambda w: reunite(w.node))


def limit(bytes_per_s: float | None) -> Step:
    def step(world: World) -> None:
        world.proxy.bytes_per_s = bytes_per_s

    return step


def frozen(seconds: float) -> Callable[[World], float]:
    return lasting(
        seconds,
        lambda w: w.workers[0].pause(),
        lambda w: w.workers[0].frozen,
        lambda w: w.workers[0].resume(),
    )


Network = Callable[[World], Proxy]


def of_callees(world: World) -> Proxy:
    return world.proxy


def of_caller(world: World) -> Proxy:
    return world.caller_proxy


def cut(seconds: float, network: Network = of_callees) -> Callable[[World], float]:
    return lasting(
        seconds,
        lambda w: network(w).cut(),
        lambda w: not network(w).connections,
        lambda w: network(w).mend(),
    )


def silent(seconds: float, network: Network = of_callees) -> Callable[[World], float]:
    return lasting(
        seconds,
        lambda w: network(w).freeze(),
        lambda w: network(w).held_bytes,
        lambda w: network(w).mend(),
    )


def alarm(resource: str) -> Callable[[World], float]:
    return lasting(3.0, lambda w: w.node.raise_alarm(resource), is_blocked, lambda w: w.node.clear_alarms())


def is_blocked(world: World) -> bool:
    """Whether the broker takes nothing from somebody who sends."""
    return any(row["state"] == "blocked" for row in world.node.list_connections())


KILLED = lasting(
    1.5, lambda w: w.workers[0].kill(), lambda w: w.workers[0].killed, lambda w: w.workers[0].start()
)
BROKER_KILLED = lasting(1.0, lambda w: w.node.kill(), lambda w: not w.node.running, lambda w: w.node.start())
BROKER_FROZEN = lasting(
    3.0, lambda w: w.node.pause(), lambda w: is_frozen(w.node.pid), lambda w: w.node.resume()
)
SLOW = lasting(5.0, limit(2e6), lambda w: w.proxy.slowed_bytes, limit(None))


def restart_twice(world: World) -> None:
    """At a third time, a task that ran each time would be set aside."""
    for _ in range(2):
        world.kill(world.workers[0])
        world.workers[0].start()


#: A process may be gone that had begun something.
KILLS = {"services_may_fail": True, "tasks_may_repeat": True}
#: A request or its payload may be gone.
LOSES = {"services_may_fail": True}

FAULTS = [
    Fault("kill -9 of an actor, which is started again", KILLED, **KILLS, short=True, runs=10),
    Fault("kill -9 of all callees at once", at_once(kill_both), **KILLS),
    Fault("an actor is killed twice in a row", at_once(restart_twice), **KILLS),
    Fault("an actor is frozen for 3 s", frozen(3.0), short=True),
    Fault("an actor is frozen for a minute", frozen(60.0), **KILLS, runs=1),
    Fault("the broker is restarted", at_once(restart_broker), **LOSES, short=True),
    Fault("kill -9 of the broker", BROKER_KILLED, **LOSES, short=True),
    Fault("the broker is frozen for 3 s", BROKER_FROZEN),
    Fault("the broker closes all connections", at_once(close_connections), **LOSES, short=True),
    Fault("the network is cut for 3 s", cut(3.0), **LOSES, short=True),
    Fault("the network is cut for 20 s", cut(20.0), **LOSES, runs=1),
    Fault("the network loses everything for 5 s", silent(5.0)),
    Fault("the network loses everything for 45 s", silent(45.0), **KILLS, runs=1),
    Fault("a network of 2 MB/s for 5 s", SLOW),
    Fault("the network of the caller is cut for 3 s", cut(3.0, of_caller), **LOSES),
    Fault("the network of the caller is cut for 20 s", cut(20.0, of_caller), **LOSES, runs=1),
    Fault("the network of the caller loses everything for 5 s", silent(5.0, of_caller)),
    Fault("the network of the caller loses everything for 45 s", silent(45.0, of_caller), **LOSES, runs=1),
    Fault(
        "the broker closes the connections of the caller",
        at_once(close_connections_of_caller),
        **LOSES,
        short=True,
    ),
    Fault("no file descriptors left to connect again, 5 s", at_once(without_descriptors), **LOSES),
    Fault(
        "a member floods an actor with garbage for 5 s",
        at_once(flood("garbage", lambda world, worker: world.rejected(worker))),
    ),
    Fault(
        "a member floods an actor with services for 5 s",
        at_once(flood("services")),
    ),
    Fault(
        "a member floods an actor with tasks for 5 s",
        # all are given to the process at once, so it grows with what waits in it
        at_once(flood("tasks", most_bytes=4 * FLOOD_BYTES)),
    ),
    Fault(
        "the clock of an actor jumps by an hour, ahead and behind",
        at_once(turn_clock("forward", "back", "back", "forward")),
    ),
    Fault("an alarm for memory, 3 s", alarm("memory"), short=True),
    Fault("an alarm for disk, 3 s", alarm("disk")),
    Fault("the disk of the broker is full for 5 s", at_once(fill_disk), condition=on_a_small_disk),
    Fault("kill -9 of a node of three", NODE_KILLED, **LOSES, condition=in_a_cluster),
    Fault(
        "kill -9 of the node of the callees, not of the caller",
        NODE_KILLED,
        **LOSES,
        condition=in_a_cluster,
        caller_node=1,
    ),
    Fault("a node of three is cut off from the others", NODE_ISOLATED, **LOSES, condition=in_a_cluster),
    Fault("tasks of 20 s where consumer_timeout is 4 s", at_once(outstay), runs=1, condition=impatient),
]

"""The faults: each does something to a world in which calls never rest, and undoes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.world import World

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


Step = Callable[[World], object]


def lasting(seconds: float, begin: Step, end: Step) -> Callable[[World], float]:
    """A fault that goes on for so long."""

    def strike(world: World) -> float:
        struck_s = time.monotonic()
        begin(world)
        try:
            threading.Event().wait(seconds)
        finally:
            end(world)
        return struck_s

    return strike


def at_once(*steps: Step) -> Callable[[World], float]:
    """A fault that is over when all has been done."""

    def strike(world: World) -> float:
        struck_s = time.monotonic()
        for step in steps:
            step(world)
        return struck_s

    return strike


def kill_both(world: World) -> None:
    for worker in world.workers:
        worker.kill()
    for worker in world.workers:
        worker.start()


def close_connections(world: World) -> None:
    world.node.evaluate(
        '[rabbit_networking:close_connection(Pid, "a fault") || Pid <- rabbit_networking:connections()], ok'
    )


def limit(bytes_per_s: float | None) -> Step:
    def step(world: World) -> None:
        world.proxy.bytes_per_s = bytes_per_s

    return step


def frozen(seconds: float) -> Callable[[World], float]:
    return lasting(seconds, lambda w: w.workers[0].pause(), lambda w: w.workers[0].resume())


def cut(seconds: float) -> Callable[[World], float]:
    return lasting(seconds, lambda w: w.proxy.cut(), lambda w: w.proxy.mend())


def silent(seconds: float) -> Callable[[World], float]:
    return lasting(seconds, lambda w: w.proxy.freeze(), lambda w: w.proxy.mend())


def alarm(resource: str) -> Callable[[World], float]:
    return lasting(3.0, lambda w: w.node.raise_alarm(resource), lambda w: w.node.clear_alarms())


KILLED = lasting(1.5, lambda w: w.workers[0].kill(), lambda w: w.workers[0].start())
BROKER_KILLED = lasting(1.0, lambda w: w.node.kill(), lambda w: w.node.start())
BROKER_FROZEN = lasting(3.0, lambda w: w.node.pause(), lambda w: w.node.resume())


def restart_twice(world: World) -> None:
    """At a third time, a task that ran each time would be set aside."""
    for _ in range(2):
        world.workers[0].restart()


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
    Fault("the broker is restarted", at_once(lambda w: w.node.restart()), **LOSES, short=True),
    Fault("kill -9 of the broker", BROKER_KILLED, **LOSES, short=True),
    Fault("the broker is frozen for 3 s", BROKER_FROZEN),
    Fault("the broker closes all connections", at_once(close_connections), **LOSES, short=True),
    Fault("the network is cut for 3 s", cut(3.0), **LOSES, short=True),
    Fault("the network is cut for 20 s", cut(20.0), **LOSES, runs=1),
    Fault("the network loses everything for 5 s", silent(5.0)),
    Fault("the network loses everything for 45 s", silent(45.0), **KILLS, runs=1),
    Fault("a network of 2 MB/s for 5 s", lasting(5.0, limit(2e6), limit(None))),
    Fault("an alarm for memory, 3 s", alarm("memory"), short=True),
    Fault("an alarm for disk, 3 s", alarm("disk")),
]

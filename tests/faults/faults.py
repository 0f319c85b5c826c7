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


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def kill_a_worker(world: World) -> float:
    struck_s = time.monotonic()
    world.workers[0].kill()
    pause(1.5)
    world.workers[0].start()
    return struck_s


def kill_and_start_many_times(times: int) -> Callable[[World], float]:
    def strike(world: World) -> float:
        struck_s = time.monotonic()
        for _ in range(times):
            world.workers[0].restart()
        return struck_s

    return strike


def kill_both_workers(world: World) -> float:
    struck_s = time.monotonic()
    for worker in world.workers:
        worker.kill()
    for worker in world.workers:
        worker.start()
    return struck_s


def pause_a_worker(seconds: float) -> Callable[[World], float]:
    def strike(world: World) -> float:
        struck_s = time.monotonic()
        world.workers[0].pause()
        pause(seconds)
        world.workers[0].resume()
        return struck_s

    return strike


def restart_the_broker(world: World) -> float:
    struck_s = time.monotonic()
    world.node.restart()
    return struck_s


def kill_the_broker(world: World) -> float:
    struck_s = time.monotonic()
    world.node.kill()
    pause(1.0)
    world.node.start()
    return struck_s


def pause_the_broker(world: World) -> float:
    struck_s = time.monotonic()
    world.node.pause()
    pause(3.0)
    world.node.resume()
    return struck_s


def cut_the_network(seconds: float) -> Callable[[World], float]:
    def strike(world: World) -> float:
        struck_s = time.monotonic()
        world.proxy.cut()
        pause(seconds)
        world.proxy.mend()
        return struck_s

    return strike


def freeze_the_network(seconds: float) -> Callable[[World], float]:
    def strike(world: World) -> float:
        struck_s = time.monotonic()
        world.proxy.freeze()
        pause(seconds)
        world.proxy.mend()
        return struck_s

    return strike


def slow_the_network(world: World) -> float:
    struck_s = time.monotonic()
    world.proxy.bytes_per_s = 2e6
    pause(5.0)
    world.proxy.bytes_per_s = None
    return struck_s


def raise_an_alarm(resource: str) -> Callable[[World], float]:
    def strike(world: World) -> float:
        struck_s = time.monotonic()
        world.node.raise_alarm(resource)
        try:
            pause(3.0)
        finally:
            world.node.clear_alarms()
        return struck_s

    return strike


def close_all_connections(world: World) -> float:
    struck_s = time.monotonic()
    world.node.evaluate(
        '[rabbit_networking:close_connection(Pid, "a fault") || Pid <- rabbit_networking:connections()], ok'
    )
    return struck_s


FAULTS = [
    Fault("kill -9 of an actor, which is started again", kill_a_worker, services_may_fail=True,
          tasks_may_repeat=True, short=True, runs=10),
    Fault("kill -9 of all callees at once", kill_both_workers, services_may_fail=True, tasks_may_repeat=True),
    # at a third time, a task that ran each time would be set aside
    Fault("an actor is killed twice in a row", kill_and_start_many_times(2), services_may_fail=True,
          tasks_may_repeat=True),
    Fault("an actor is frozen for 3 s", pause_a_worker(3.0), short=True),
    Fault("an actor is frozen for a minute", pause_a_worker(60.0), services_may_fail=True,
          tasks_may_repeat=True, runs=1),
    Fault("the broker is restarted", restart_the_broker, services_may_fail=True, short=True),
    Fault("kill -9 of the broker", kill_the_broker, services_may_fail=True, short=True),
    Fault("the broker is frozen for 3 s", pause_the_broker),
    Fault("the broker closes all connections", close_all_connections, services_may_fail=True, short=True),
    Fault("the network is cut for 3 s", cut_the_network(3.0), services_may_fail=True, short=True),
    Fault("the network is cut for 20 s", cut_the_network(20.0), services_may_fail=True, runs=1),
    Fault("the network loses everything for 5 s", freeze_the_network(5.0), short=False),
    Fault("the network loses everything for 45 s", freeze_the_network(45.0), services_may_fail=True,
          tasks_may_repeat=True, runs=1),
    Fault("a network of 2 MB/s for 5 s", slow_the_network),
    Fault("an alarm for memory, 3 s", raise_an_alarm("memory"), short=True),
    Fault("an alarm for disk, 3 s", raise_an_alarm("disk")),
]  # fmt: skip

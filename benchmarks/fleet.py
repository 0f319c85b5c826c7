"""Many actors in a few processes, on one broker, and one actor here that speaks to all of them.

Each member of the fleet is an actor with two roles. Both listen to this process's role `hub`, to all of its
events and to some of them only, and to the same role of so many other members: in a ring, so that each has as
many neighbours as listeners, most of them in other processes.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from types import TracebackType
from typing import Any

from raw_pika import Pipe, memory_bytes

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context

__all__ = ["COHORTS", "Fleet", "Hub", "Plan", "Usage"]

DEADLINE_S = 300.0
#: Looking costs the time that is measured: a report of each member.
LOOK_EVERY_S = 0.2
COHORTS = 20
ROLES = ("worker", "peer")


@dataclass(frozen=True)
class Plan:
    """Who is in the fleet. ``neighbours``: how many others each role listens to."""

    prefix: str
    members: int
    neighbours: int
    processes: int

    @property
    def hub(self) -> rml.RoleInstanceID:
        return rml.RoleInstanceID(f"{self.prefix}-hub", "hub")

    @property
    def doomed(self) -> rml.RoleInstanceID:
        return rml.RoleInstanceID(f"{self.prefix}-doomed", "doomed")

    def name(self, number: int) -> str:
        return f"{self.prefix}-{number % self.members}"

    def of_process(self, process: int) -> range:
        """The members that a process hosts. Neighbours in the ring are in different ones."""
        return range(process, self.members, self.processes)

    def neighbours_of(self, number: int) -> list[str]:
        return [self.name(number + step) for step in range(1, min(self.neighbours, self.members - 1) + 1)]

    def subscriptions_of(self, number: int) -> int:
        return 4 + len(ROLES) * len(self.neighbours_of(number))

    @property
    def subscriptions(self) -> int:
        return sum(map(self.subscriptions_of, range(self.members)))

    @property
    def workers(self) -> list[rml.RoleInstanceID]:
        return [rml.RoleInstanceID(self.name(number), "worker") for number in range(self.members)]


@dataclass(frozen=True)
class Usage:
    """What a process needs."""

    memory_bytes: int
    threads: int
    descriptors: int
    cpu_s: float

    @classmethod
    def sum(cls, of_each: Iterable[Usage]) -> Usage:
        return cls(*map(sum, zip(*map(astuple, of_each), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(mine - its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @classmethod
    def here(cls) -> Usage:
        gc.collect()
        descriptors = len(os.listdir("/proc/self/fd")) - 1  # one of them looks
        return cls(memory_bytes("VmRSS"), threading.active_count(), descriptors, time.process_time())


class Tally:
    """Counts the runs of handlers in this process, and when the last one was."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._last = 0.0

    def add(self) -> None:
        with self._changed:
            self._count += 1
            self._last = time.monotonic()
            self._changed.notify_all()

    def take(self, expected: int) -> float:
        """Wait for as many, forget them, and say when the last one was."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= expected, DEADLINE_S):
                raise TimeoutError(f"{self._count} of {expected} handlers have run")
            if self._count > expected:
                raise RuntimeError(f"{self._count} handlers have run, and not {expected}")
            self._count = 0
            return self._last


class Hub(rml.Role):
    """Speaks to all."""

    news = rml.Event()
    picked = rml.Event()


class Member(rml.Role):
    def __init__(self, tally: Tally, cohort: int) -> None:
        super().__init__()
        self.tally = tally
        self.cohort = cohort

    @rml.Service(expand=True)
    def take(self, _: rml.RoleInstanceID, data: Any) -> float:
        return time.monotonic()

    @rml.Task(expand=True)
    def work(self, _: rml.RoleInstanceID, data: Any) -> float:
        return time.monotonic()

    @rml.EventHandler("hub", "news")
    def on_news(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None:
        self.tally.add()

    @rml.EventHandler("hub", "picked", conditions={"cohort": rml.attribute("cohort")})
    def on_picked(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None:
        self.tally.add()


class Worker(Member):
    done = rml.Event()

    @rml.EventHandler("neighbour-worker", "done", conditions={"cohort": rml.attribute("cohort")})
    def on_done(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None:
        self.tally.add()


class Peer(Member):
    note = rml.Event()

    @rml.EventHandler("neighbour-peer", "note")
    def on_note(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None:
        self.tally.add()


class Doomed(rml.Role):
    """Is called by everybody, answers nobody, and is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()

    @rml.Service
    def wait(self, _: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> None:
        self.tally.add()
        threading.Event().wait()


def actor(name: str, url: str, relationships: dict[str, list[tuple[str, str]]] | None = None) -> rml.Actor:
    return rml.Actor(Context.build(ActorProfile(name), initial_relationships=relationships), broker=url)


def leave(member: rml.Actor) -> None:
    """Remove the roles of an actor, so that no task waits for a successor, and stop it."""
    for role in reversed(list(member.roles)):
        member.stop_role(role)
    member.stop()


class Host:
    """What one process of the fleet does; each method is a command of `Fleet`."""

    def __init__(self, plan: Plan, url: str, process: int) -> None:
        self._plan = plan
        self._url = url
        self._numbers = list(plan.of_process(process))
        self._actors: dict[int, rml.Actor] = {}
        self._tally = Tally()
        self._callers: list[threading.Thread] = []
        self._noticed: list[float] = []

    def start(self) -> None:
        for number in self._numbers:
            neighbours = self._plan.neighbours_of(number)
            relationships: dict[str, list[tuple[str, str]]] = {
                f"neighbour-{role}": [(name, role) for name in neighbours] for role in ROLES
            }
            relationships["hub"] = [self._plan.hub]
            member = actor(self._plan.name(number), self._url, relationships)
            cohort = number % COHORTS
            member.add_role("worker", Worker(self._tally, cohort))
            member.add_role("peer", Peer(self._tally, cohort))
            member.start()
            self._actors[number] = member

    def complete(self) -> float:
        """When all subscriptions of the members here stood."""
        return self._when(
            lambda number, sources: len(sources) == self._plan.subscriptions_of(number), "subscriptions miss"
        )

    def without(self, lost: Sequence[int]) -> float:
        """When no member here had subscriptions to one of the lost ones any more."""
        names = {self._plan.name(number) for number in lost}
        return self._when(
            lambda _, sources: names.isdisjoint(source.partition("/")[0] for source in sources),
            "the lost are still there",
        )

    def _when(self, holds: Callable[[int, list[str]], bool], otherwise: str) -> float:
        waiting, end = dict(self._actors), time.monotonic() + DEADLINE_S
        while True:
            for number, member in list(waiting.items()):
                if holds(number, [each["source"] for each in member.report()["subscriptions"]]):
                    del waiting[number]
            if not waiting:
                return time.monotonic()
            if time.monotonic() > end:
                raise TimeoutError(f"{otherwise} at {', '.join(map(self._plan.name, waiting))}")
            time.sleep(LOOK_EVERY_S)

    def usage(self) -> Usage:
        return Usage.here()

    def heard(self, each: int, cohort: int | None = None) -> float:
        """When the last handler here has run, of so many for each role of the members, or of a cohort."""
        members = [n for n in self._numbers if cohort is None or n % COHORTS == cohort]
        return self._tally.take(each * len(ROLES) * len(members))

    def call_doomed(self) -> None:
        """Each member calls, and waits."""

        def call(member: rml.Actor) -> None:
            try:
                member.call("worker", self._plan.doomed, "wait", rml.Message({}, {}))
            except rml.HandlerError:
                self._noticed.append(time.monotonic())

        self._callers = [threading.Thread(target=call, args=[each]) for each in self._actors.values()]
        for caller in self._callers:
            caller.start()

    def noticed_doom(self) -> float:
        for caller in self._callers:
            caller.join(DEADLINE_S)
        if len(self._noticed) != len(self._callers):
            raise RuntimeError(f"{len(self._noticed)} of {len(self._callers)} calls have failed")
        return max(self._noticed)

    def stop(self) -> None:
        """Tasks wait for the members until they are back."""
        for member in self._actors.values():
            member.stop()
        self._actors.clear()


class DoomedHost:
    """The process that is killed."""

    def __init__(self, plan: Plan, url: str, process: int) -> None:
        self._plan = plan
        self._url = url
        self._role = Doomed()

    def start(self) -> None:
        self._actor = actor(self._plan.doomed.actor_name, self._url)
        self._actor.add_role("doomed", self._role)
        self._actor.start()

    def called(self, times: int) -> float:
        return self._role.tally.take(times)

    def leave(self) -> None:
        leave(self._actor)


def _run(pipe: Pipe, host_class: type[Host] | type[DoomedHost], plan: Plan, url: str, process: int) -> None:
    host = host_class(plan, url, process)
    pipe.send(None)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while (command := pipe.recv()) is not None:
            method, arguments = command
            try:
                pipe.send(getattr(host, method)(*arguments))
            except Exception as e:  # noqa: BLE001  # whatever it is, the one who asked waits for it
                pipe.send(e)


class Process:
    """One process, and the way to command it."""

    def __init__(self, host_class: type[Host] | type[DoomedHost], plan: Plan, url: str, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_run, args=(there, host_class, plan, url, number), daemon=True)
        self._process.start()
        there.close()

    def send(self, method: str, *arguments: Any) -> None:
        self._pipe.send((method, arguments))

    def answer(self) -> Any:
        if not self._pipe.poll(DEADLINE_S + 30):
            raise TimeoutError("a process of the fleet does not answer")
        value = self._pipe.recv()
        if isinstance(value, Exception):
            raise value
        return value

    def ask(self, method: str, *arguments: Any) -> Any:
        self.send(method, *arguments)
        return self.answer()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(DEADLINE_S)
        self._pipe.close()


class Fleet:
    """The hub in this process, and the processes of the members. A context manager."""

    def __init__(self, plan: Plan, url: str) -> None:
        self.plan = plan
        self._url = url
        self.hub = Hub()

    def __enter__(self) -> Fleet:
        self._actor = actor(self.plan.hub.actor_name, self._url)
        self._actor.add_role("hub", self.hub)
        self._actor.start()
        self._processes = [Process(Host, self.plan, self._url, n) for n in range(self.plan.processes)]
        for process in self._processes:
            process.answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill() if error else process.end()
        self._actor.stop()

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """The answers of all processes, which work at the same time."""
        for process in self._processes:
            process.send(method, *arguments)
        return [process.answer() for process in self._processes]

    def doomed(self) -> Process:
        """The process of one more actor, running."""
        process = Process(DoomedHost, self.plan, self._url, 0)
        process.answer()
        process.ask("start")
        return process

    def kill_process(self, number: int) -> float:
        """As the system does that is out of memory; returns when."""
        self._processes[number].kill()
        return time.monotonic()

    def survivors(self, lost: int, method: str, *arguments: Any) -> list[Any]:
        left = [process for number, process in enumerate(self._processes) if number != lost]
        for process in left:
            process.send(method, *arguments)
        return [process.answer() for process in left]

    def replace_process(self, number: int) -> float:
        """Another process for the same members; returns when they began to come."""
        self._processes[number] = Process(Host, self.plan, self._url, number)
        self._processes[number].answer()
        began = time.monotonic()
        self._processes[number].ask("start")
        return began

    def remove_hub(self) -> None:
        leave(self._actor)

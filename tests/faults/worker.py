"""An actor in a process of its own that notes each run of a handler: `python worker.py URL NAME JOURNAL`.

It does to itself what its input says, a line for each, and says when it is done, and with what result.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import roleml.essentials as rml
from roleml.core.actor.actor import BaseActor
from roleml.core.context import ActorProfile, Context
from tests.faults.measures import tables


class Worker(rml.Role):
    """Notes each run of a handler in the journal, in one write, before anything else."""

    def __init__(self, journal: str) -> None:
        super().__init__()
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, call_id: str) -> None:
        os.write(self._journal, f"{call_id} {os.getpid()}\n".encode())

    @rml.Service(expand=True)
    def ask(self, _: rml.RoleInstanceID, call_id: str, data: bytes) -> int:
        self.note(call_id)
        return zlib.crc32(data)

    @rml.Task(expand=True)
    def work(self, _: rml.RoleInstanceID, call_id: str, seconds: float, data: bytes) -> tuple[int, bytes]:
        self.note(call_id)
        time.sleep(seconds)
        return zlib.crc32(data), data

    @rml.Service(expand=True)
    def clock(self, _: rml.RoleInstanceID) -> float:
        """What this process takes for the time of day."""
        return time.time()

    @rml.Task(expand=True)
    def die(self, _: rml.RoleInstanceID, call_id: str) -> None:
        self.note(call_id)
        os.kill(os.getpid(), 9)

    @rml.Task(expand=True)
    def train(self, _: rml.RoleInstanceID, call_id: str, weights: Any, seconds: float) -> Any:
        """One step towards this worker's own data, out of nothing but its arguments."""
        self.note(call_id)
        time.sleep(seconds)
        number = int(self.ctx.profile.name.removeprefix("worker"))
        return weights + 0.25 * (number - weights)


class Clock:
    """Sets the time of day of this process, as all Python code in it sees it: `time.time` and `time_ns`."""

    def __init__(self) -> None:
        self._shift_s = 0
        told, told_ns = time.time, time.time_ns
        time.time = lambda: told() + self._shift_s
        time.time_ns = lambda: told_ns() + 1_000_000_000 * self._shift_s

    def turn(self, seconds: int) -> None:
        self._shift_s += seconds


class Hoarder:
    """Takes each file descriptor as soon as it is free, until told to free them all."""

    def __init__(self) -> None:
        self._taken: list[int] = []
        self._taking = threading.Event()
        self._full = threading.Event()

    def take(self) -> None:
        """Return when none is left."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
        self._taking.set()
        threading.Thread(target=self._take_on).start()
        self._full.wait()

    def free(self) -> None:
        self._taking.clear()

    def _take_on(self) -> None:
        while self._taking.is_set():
            try:
                self._taken.append(os.dup(0))
            except OSError:  # none is left
                self._full.set()
                time.sleep(0.001)
        while self._taken:
            os.close(self._taken.pop())
        self._full.clear()


def main(
    url: str,
    name: str,
    journal: str,
    role: Callable[[str], rml.Role] = Worker,
    actor_class: type[BaseActor] = rml.Actor,
) -> None:
    caller = rml.RoleInstanceID("caller", "caller")
    context = Context.build(ActorProfile(name), initial_relationships={"caller": [caller]})
    actor = actor_class(context, broker=url)
    actor.add_role("worker", role(journal))
    actor.start()
    hoarder, clock = Hoarder(), Clock()
    commands: dict[str, Callable[[], object]] = {
        "take descriptors": hoarder.take,
        "free descriptors": hoarder.free,
        "clock forward": lambda: clock.turn(3600),
        "clock back": lambda: clock.turn(-3600),
        "count tables": lambda: tables(actor),
        "end role": lambda: actor.stop_role("worker"),
    }
    os.write(1, b"ready\n")
    for line in sys.stdin:
        answer = commands[line.strip()]()
        os.write(1, f"done {json.dumps(answer)}\n".encode())
    actor.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

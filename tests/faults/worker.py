"""An actor in a process of its own that notes each run of a handler: `python worker.py URL NAME JOURNAL`."""

from __future__ import annotations

import os
import sys
import time
import zlib
from typing import Any

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context


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


def main(url: str, name: str, journal: str) -> None:
    actor = rml.Actor(Context.build(ActorProfile(name)), broker=url)
    actor.add_role("worker", Worker(journal))
    actor.start()
    os.write(1, b"ready\n")
    sys.stdin.read()
    actor.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

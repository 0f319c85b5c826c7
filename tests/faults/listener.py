"""A worker that also hears events, and answers each with one: `python listener.py URL NAME JOURNAL`."""

from __future__ import annotations

import os
import sys
import threading
import zlib
from typing import Any

import roleml.essentials as rml
from roleml.core.actor.actor import BaseActor
from tests.faults.worker import Worker, main


class Listener(Worker):
    """Notes each event in a file beside the journal, in one write, before anything else."""

    echo = rml.Event()

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._heard = os.open(f"{journal}.heard", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._order = threading.Lock()
        self._echoes = 0

    @rml.Service(expand=True)
    def ask_each(self, _: rml.RoleInstanceID, call_id: str, data: bytes) -> int:
        """One of a group that gets the same message."""
        self.note(f"{call_id}@{self.profile.name}")
        return zlib.crc32(data)

    def _note(self, channel: str, number: int) -> None:
        os.write(self._heard, f"{channel} {number} {os.getpid()}\n".encode())

    @rml.EventHandler("caller", "tick", expand=True)
    def on_tick(self, _: rml.RoleInstanceID, number: int, even: bool, data: bytes) -> None:
        self._note("tick", number)
        with self._order:
            self._echoes += 1
            self.echo.emit({"number": self._echoes, "life": os.getpid()})

    @rml.EventHandler("caller", "tick", conditions={"even": True})
    def on_even(self, _: rml.RoleInstanceID, args: Any, payloads: Any) -> None:
        self._note("even", args["number"])


if __name__ == "__main__":
    # A visitor has no native role, whose tasks would wait for it for a week.
    visits = sys.argv[2].startswith("visitor")
    main(*sys.argv[1:], role=Listener, actor_class=BaseActor if visits else rml.Actor)

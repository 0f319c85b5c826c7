"""The two roles that the demo adds to the library's: one begins the run, one writes down how it goes."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from operator import methodcaller
from pathlib import Path
from typing import Any

import roleml.essentials as rml
from roleml.cli.demo.display import Display, RoundRecord

__all__ = ["Conductor", "Recorder"]

LAST_EVENTS_TIMEOUT_S = 30.0


class Recorder(rml.Role):
    """Writes one line of JSON per completed round and tells the display what is going on.

    Relationships: `coordinator` and `trainer`, whose events it follows.
    """

    display: rml.Element[Display] = rml.Element(Display, default_destructor=methodcaller("end"))

    def __init__(self, metrics_path: str) -> None:
        super().__init__()
        self.metrics_path = Path(metrics_path)
        self.records: list[RoundRecord] = []
        # Handlers of one channel start in order and may overlap: who comes too early waits here.
        self._early: dict[int, RoundRecord] = {}
        self._recorded = threading.Condition()

    @rml.Service(expand=True)
    def begin(self, _: rml.RoleInstanceID, rounds: int, clients: Sequence[str]) -> None:
        """Forget what was recorded and expect a run of `rounds` rounds."""
        with self._recorded:
            self.records.clear()
            self.metrics_path.parent.mkdir(parents=True, exist_ok=True)
            self.metrics_path.write_text("", encoding="utf-8")
            self.display().begin(rounds, clients)

    @rml.Service(expand=True)
    def complete(self, _: rml.RoleInstanceID, rounds: int) -> list[RoundRecord]:
        """The records of all rounds, once the event of the last one has arrived."""
        with self._recorded:
            if not self._recorded.wait_for(lambda: len(self.records) >= rounds, LAST_EVENTS_TIMEOUT_S):
                raise TimeoutError(
                    f"the run is over, but {LAST_EVENTS_TIMEOUT_S:g} s later the events of only "
                    f"{len(self.records)} of {rounds} rounds have arrived"
                )
            return list(self.records)

    @rml.EventHandler("trainer", "epoch-completed")
    def on_epoch_completed(self, source: rml.RoleInstanceID, args: rml.Args, _: rml.Payloads) -> None:
        with self._recorded:
            self.display().trained(source.actor_name, args["loss"])

    @rml.EventHandler("coordinator", "round-completed")
    def on_round_completed(self, _: rml.RoleInstanceID, args: rml.Args, __: rml.Payloads) -> None:
        with self._recorded:
            record = round_record(args)
            self._early[record.round] = record
            while (next_record := self._early.pop(len(self.records) + 1, None)) is not None:
                with self.metrics_path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dataclasses.asdict(next_record)) + "\n")
                self.display().completed(next_record)
                self.records.append(next_record)
            self._recorded.notify_all()


def round_record(args: rml.Args) -> RoundRecord:
    """What a coordinator's `round-completed` says; people count rounds from 1."""
    return RoundRecord(
        round=args["round"] + 1,
        accuracy=args["result"]["accuracy"],
        loss=args["result"]["loss"],
        # client2 before client10
        participants=tuple(sorted((c.actor_name for c in args["participants"]), key=lambda n: (len(n), n))),
        seconds=round(args["seconds"], 6),
    )


class Conductor(rml.Role, rml.Runnable):
    """Begins the run as soon as it is itself ready, and keeps its outcome.

    Relationships: `coordinator`, and a `recorder` that is told when the run begins.
    """

    def __init__(self, rounds: int, select_ratio: float, clients: Sequence[str]) -> None:
        super().__init__()
        self.rounds = rounds
        self.select_ratio = select_ratio
        self.clients = list(clients)
        self.outcome: Future[list[RoundRecord]] = Future()
        """The records of all rounds, or the error that ended the run."""

    def run(self) -> None:
        try:
            self.outcome.set_result(self.conduct())
        except Exception as error:  # noqa: BLE001  # whoever waits for the outcome raises it
            self.outcome.set_exception(error)

    def conduct(self) -> Any:
        self.call("recorder", "begin", {"rounds": self.rounds, "clients": self.clients})
        options = {"num_rounds": self.rounds, "select_ratio": self.select_ratio}
        self.call_task("coordinator", "run", options).result()
        return self.call("recorder", "complete", {"rounds": self.rounds})

"""The Conductor of algorithms without a server: starts all peers, and watches them agree."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from roleml.core.actor.group.makers import Relationship
from roleml.core.context import RoleInstanceID
from roleml.library.roles.conductor.base import Conductor

__all__ = ["PeersConductor"]

#: How often the models are looked at.
LOOKS_EVERY_S = 0.5


class PeersConductor(Conductor):
    """Adds the command ``start``, which begins a run at all members of ``coordinator``, and waits.

    Each coordinator has a task ``start`` with the argument ``num_rounds``, and reports its end by the event
    ``done_event``, with its last test ``result`` among the args. Members of ``trainer`` are asked for their
    models (service ``get-model``) now and then.
    """

    def __init__(self, title: str = "peers", done_event: str = "completed", rounds: int = 75) -> None:
        super().__init__(title)
        self.done_event = done_event
        #: how far the models were apart each time, see `roleml.library.workload.util.consensus.spread`
        self.spreads: list[float] = []
        self._results: dict[RoleInstanceID, Mapping[str, Any]] = {}
        self._news = threading.Condition()
        self._ended = False
        parser = self.cli.add_command("start", self.start, expand_arguments=True)
        parser.set_defaults(num_rounds=rounds)

    def stop(self) -> None:
        super().stop()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def start(self, num_rounds: int = 75) -> dict[str, Any]:
        """Train, and wait until all peers have done so many rounds."""
        coordinators = list(Relationship("coordinator", self.ctx).targets)
        for coordinator in coordinators:
            self.subscribe(coordinator, self.done_event, self._note_end)
        self.spreads.append(self._spread())
        self.call_task_group(self.starting(), "start", {"num_rounds": num_rounds})
        while not self._all_done(len(coordinators)):
            self.spreads.append(self._spread())
        self.spreads.append(self._spread())
        self.finish()
        accuracies = [result["accuracy"] for result in self._results.values()]
        return {
            "rounds": num_rounds,
            "accuracy": sum(accuracies) / len(accuracies),
            "spread_before": self.spreads[0],
            "spread_after": self.spreads[-1],
            "spreads": list(self.spreads),
        }

    def starting(self) -> list[RoleInstanceID]:
        """Whose task ``start`` is called: all coordinators."""
        return list(Relationship("coordinator", self.ctx).targets)

    def finish(self) -> None:
        """All are done; for subclasses."""

    def _note_end(self, source: RoleInstanceID, args: Any, _: Any) -> None:
        with self._news:
            self._results[source] = args["result"]
            self._news.notify_all()

    def _all_done(self, number: int) -> bool:
        with self._news:
            self._news.wait_for(lambda: len(self._results) == number or self._ended, LOOKS_EVERY_S)
            if self._ended:
                raise RuntimeError("the actor stops before all peers are done")
            return len(self._results) == number

    def _spread(self) -> float:
        from roleml.library.workload.util.consensus import spread  # needs NumPy

        trainers = list(Relationship("trainer", self.ctx).targets)
        return spread([model for _, model in self.call_group(trainers, "get-model")])

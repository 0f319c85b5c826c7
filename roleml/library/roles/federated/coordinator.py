"""The rounds of federated averaging."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Task
from roleml.core.role.elements import Element
from roleml.core.role.metrics import Metrics
from roleml.core.role.types import ErrorHandlingStrategy
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.models.bases import TestableModel

__all__ = ["FLCoordinator"]


@dataclass
class _Progress:
    """How far a run has come, as a checkpoint keeps it."""

    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    rounds_done: int = 0
    result: dict[str, Any] | None = None


class FLCoordinator(Role):
    """Keeps the global model and has the other roles of the server do their part in each round.

    Where its actor keeps checkpoints, there is one after each round, of all roles of the server. Should it be
    started again, `run` goes on with the round that was not completed: trainers that keep checkpoints, too,
    do no work of it twice, and actors that are away are waited for.
    """

    model: Element[Any] = Element(TestableModel)
    dataset: Element[Any] = Element(IterableDataset, optional=True)

    round_completed = Event()
    fl_completed = Event()
    metrics = Metrics()

    #: of the run that is under way, or was when the last checkpoint was made
    _progress: _Progress | None = None
    #: of the run that an earlier process did not complete
    _interrupted: _Progress | None = None

    def state_dict(self) -> dict[str, Any]:
        """How far the run is."""
        return {"progress": asdict(self._progress) if self._progress else None}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if state_dict["progress"] is not None:
            self._progress = self._interrupted = _Progress(**state_dict["progress"])

    @Task(expand=True, checkpoint=True)
    def run(
        self,
        _: RoleInstanceID,
        num_rounds: int,
        select_ratio: float | None = None,
        count: int | None = None,
    ) -> dict[str, Any] | None:
        """Run `num_rounds` rounds; returns the last test result, or None without a test dataset.

        `round-completed` has the args `round` (from 0), `participants` (role instances), `seconds` of
        wall-clock time without the test, and `result` if there is a test dataset; `fl-completed` has
        `rounds`. The same goes into `metrics`, with the number of completed rounds as the step.
        """
        progress, self._interrupted = self._interrupted, None
        if progress is None:
            progress = self._progress = _Progress()
            self.save_checkpoint()
        else:
            self.logger.info("going on with round %d", progress.rounds_done)
        try:
            for i in range(progress.rounds_done, num_rounds):
                report = self._round(i, f"{progress.run}/{i}", select_ratio, count)
                progress.rounds_done, progress.result = i + 1, report.get("result")
                self._tell(report)
                self.save_checkpoint()
        finally:
            self._progress = None
        self.fl_completed.emit(args={"rounds": num_rounds})
        self.logger.info("FL is done!!!!")
        return progress.result

    def _round(self, i: int, key: str, select_ratio: float | None, count: int | None) -> dict[str, Any]:
        """One round; returns its report."""
        started, model = time.perf_counter(), self.model()
        clients = self.call("client-selector", "select-client", {"ratio": select_ratio, "count": count})
        options = self.call("configurator", "configure", payloads={"clients": clients})
        keyed, on_error = {}, ErrorHandlingStrategy.RAISE_FIRST
        if self.keeps_checkpoints:
            keyed, on_error = {"key": key}, ErrorHandlingStrategy.RETRY
        self.call_group(clients, "apply-update", payloads={"update": model.get_params()}, on_error=on_error)
        aggregation = self.call_task("aggregator", "aggregate", keyed, {"sources_and_options": options})
        model.set_params(aggregation.result())
        report = {"round": i, "participants": clients, "seconds": time.perf_counter() - started}
        if self.dataset.implemented:
            report["result"] = model.test(self.dataset())
            self.logger.info("round %d test result is: %s", i, report["result"])
        return report

    def _tell(self, report: Mapping[str, Any]) -> None:
        self.round_completed.emit(args=report)
        participants = [str(client) for client in report["participants"]]
        told = {"seconds": report["seconds"], "participants": participants}
        self.metrics.log(report["round"] + 1, **{**(report.get("result") or {}), **told})

"""The rounds of federated averaging."""

from __future__ import annotations

import time
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Task
from roleml.core.role.elements import Element
from roleml.core.role.metrics import Metrics
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.models.bases import TestableModel

__all__ = ["FLCoordinator"]


class FLCoordinator(Role):
    """Keeps the global model and has the other roles of the server do their part in each round."""

    model: Element[Any] = Element(TestableModel)
    dataset: Element[Any] = Element(IterableDataset, optional=True)

    round_completed = Event()
    fl_completed = Event()
    metrics = Metrics()

    @Task(expand=True)
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
        model = self.model()
        result = None
        for i in range(num_rounds):
            started = time.perf_counter()
            clients = self.call("client-selector", "select-client", {"ratio": select_ratio, "count": count})
            options = self.call("configurator", "configure", payloads={"clients": clients})
            self.call_group(clients, "apply-update", payloads={"update": model.get_params()})
            aggregation = self.call_task("aggregator", "aggregate", payloads={"sources_and_options": options})
            model.set_params(aggregation.result())
            report = {"round": i, "participants": clients, "seconds": time.perf_counter() - started}
            if self.dataset.implemented:
                report["result"] = result = model.test(self.dataset())
                self.logger.info("round %d test result is: %s", i, result)
            self.round_completed.emit(args=report)
            told = {"seconds": report["seconds"], "participants": [str(client) for client in clients]}
            self.metrics.log(i + 1, **{**(result or {}), **told})
        self.fl_completed.emit(args={"rounds": num_rounds})
        self.logger.info("FL is done!!!!")
        return result

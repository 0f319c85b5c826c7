"""A trainer that works in epochs: one epoch is one pass over the local dataset."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sized
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.channels import Event, Service, Task
from roleml.core.role.elements import Element
from roleml.core.role.metrics import Metrics
from roleml.library.roles.trainer.base import BaseModelMaintainer
from roleml.library.roles.trainer.planner import FixedTrainingPlanner, TrainingPlanner
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.datasets.views import DatasetViewFactory

__all__ = ["EpochTrainer", "FixedTrainingPlanner", "TrainingPlanner"]


class EpochTrainer(BaseModelMaintainer):
    """Trains `model` on `dataset`, epoch by epoch, as `planner` says."""

    def __init__(self) -> None:
        super().__init__()
        #: the epoch being trained or trained last, counted from 0 over all calls; -1 before the first
        self.current_epoch = -1

    dataset: Element[Any] = Element(IterableDataset, default_constructor=DatasetViewFactory)
    planner: Element[TrainingPlanner] = Element(TrainingPlanner, default_constructor=FixedTrainingPlanner)

    epoch_completed = Event()
    metrics = Metrics()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "current_epoch": self.current_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.current_epoch = state_dict["current_epoch"]

    @Service(expand=True)
    def get_data_size(self, _: RoleInstanceID) -> int:
        """The number of samples of the dataset. Raises TypeError if it has no length."""
        dataset = self.dataset()
        if not isinstance(dataset, Sized):
            raise TypeError(
                f"the dataset of role {self.name!r}, a {type(dataset).__qualname__}, has no length"
            )
        return len(dataset)

    @Task(expand=True, checkpoint=True)
    def train(self, _: RoleInstanceID, num_epochs: int = 1, **options: Any) -> Any:
        """Train `num_epochs` epochs; returns the parameters of the model afterwards."""
        with self.lock:
            self._train(num_epochs, options)
            return self.model().get_params()

    @Task(expand=True, checkpoint=True)
    def train2(self, _: RoleInstanceID, num_epochs: int = 1, **options: Any) -> dict[str, Any]:
        """As `train`, with the number of samples (0 if unknown) and the metrics of the last epoch."""
        with self.lock:
            metrics = self._train(num_epochs, options)
            dataset = self.dataset()
            return {
                "update": self.model().get_params(),
                "data_size": len(dataset) if isinstance(dataset, Sized) else 0,
                "metrics": metrics,
            }

    def _train(self, num_epochs: int, options: dict[str, Any]) -> dict[str, Any]:
        model, dataset, planner = self.model(), self.dataset(), self.planner()
        metrics: dict[str, Any] = {}
        plan = iter(planner.make_plan(num_epochs, **options))
        for done in range(num_epochs):
            hyperparams = next(plan, None)
            if hyperparams is None:
                raise RuntimeError(
                    f"the plan of {type(planner).__qualname__} ended after {done} of {num_epochs} epochs"
                )
            self.current_epoch += 1
            began_s = time.perf_counter()
            metrics = model.train(dataset, **hyperparams)
            self.metrics.log(self.current_epoch + 1, **{**metrics, "seconds": time.perf_counter() - began_s})
            self.logger.info("epoch %d: %s", self.current_epoch, metrics)
            self.epoch_completed.emit(args={**metrics, "epoch": self.current_epoch})
            planner.report(metrics)
        return metrics

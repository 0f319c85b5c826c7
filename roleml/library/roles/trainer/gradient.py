"""A trainer that computes gradients and leaves it to others what is done with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.channels import Event, Service, Task
from roleml.core.role.elements import Element
from roleml.core.role.metrics import Metrics
from roleml.core.role.types import Stateful
from roleml.library.roles.trainer.base import BaseModelMaintainer
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.models.bases import GradientsOperableModel

__all__ = ["GradientTrainer", "GradientsTrainer"]


class GradientsTrainer(BaseModelMaintainer):
    """Goes through `dataset` batch by batch, one per call, again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._batches: Iterator[Any] = iter(())
        self._computed = 0
        #: of the pass that is under way: how many of its batches were taken, and what the dataset was before
        self._taken = 0
        self._dataset_before: Any = None

    model: Element[Any] = Element(GradientsOperableModel)
    dataset: Element[Any] = Element(IterableDataset, default_constructor=DatasetViewFactory)

    gradient_computed = Event()
    gradient_applied = Event()
    metrics = Metrics()

    def state_dict(self) -> dict[str, Any]:
        progress = {"computed": self._computed, "taken": self._taken, "dataset": self._dataset_before}
        return {**super().state_dict(), **progress}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._computed = state_dict["computed"]
        if not state_dict["taken"]:
            return
        dataset = self.dataset()
        if isinstance(dataset, Stateful) and state_dict["dataset"] is not None:
            dataset.load_state_dict(state_dict["dataset"])
        self._begin_pass()
        for _ in range(state_dict["taken"]):
            self._next_batch()

    @Task(expand=True, checkpoint=True)
    def compute_gradients(self, _: RoleInstanceID) -> Any:
        """The gradients of the next batch. Raises ValueError if the dataset has none."""
        began_s = time.perf_counter()
        with self.lock:
            metrics, gradients = self.model().compute_gradients(self._next_batch())
            self._computed += 1
            step = self._computed
        self.gradient_computed.emit(args=metrics)
        self.metrics.log(step, **{**metrics, "seconds": time.perf_counter() - began_s})
        return gradients

    @Service(expand=True, checkpoint=True)
    def apply_gradients(self, _: RoleInstanceID, update: Any) -> None:
        """Make one optimiser step with gradients, usually those of several trainers together."""
        with self.lock:
            self.model().apply_gradients(update)
        self.gradient_applied.emit()

    def _next_batch(self) -> Any:
        for batch in self._batches:
            self._taken += 1
            return batch
        self._begin_pass()
        for batch in self._batches:
            self._taken += 1
            return batch
        raise ValueError(
            f"the dataset of role {self.name!r} is empty: it has no batch to compute gradients of"
        )

    def _begin_pass(self) -> None:
        dataset = self.dataset()
        self._dataset_before = dataset.state_dict() if isinstance(dataset, Stateful) else None
        self._batches, self._taken = iter(dataset), 0


#: the name the documentation uses
GradientTrainer = GradientsTrainer

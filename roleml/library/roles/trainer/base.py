"""What all trainers have in common: a model that can be read, replaced and tested."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service, Task
from roleml.core.role.elements import Element
from roleml.core.role.types import Stateful
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.models.bases import Testable, TrainableModel

__all__ = ["BaseModelMaintainer"]


class BaseModelMaintainer(Role):
    """Keeps a model. One handler works on it at a time: all of them hold `lock`, and so should a
    subclass's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()

    model: Element[Any] = Element(TrainableModel)
    dataset_test: Element[Any] = Element(
        IterableDataset, default_constructor=DatasetViewFactory, optional=True
    )

    test_completed = Event()

    def quiescent(self) -> AbstractContextManager[Any]:
        return self.lock

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds. Subclasses add what else they would need to go on."""
        if not self.model.implemented or isinstance(model := self.model(), Stateful):
            return {}
        return {"model": copy.deepcopy(model.get_params())}  # they may be live

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        if "model" in state_dict:
            self.model().set_params(state_dict["model"])

    @Service(expand=True, checkpoint=True)
    def apply_update(self, _: RoleInstanceID, update: Any) -> None:
        """Replace the parameters of the model."""
        with self.lock:
            self.model().set_params(update)

    @Service(expand=True)
    def get_model(self, _: RoleInstanceID) -> Any:
        """The parameters of the model."""
        with self.lock:
            return self.model().get_params()

    @Task(expand=True)
    def test(self, _: RoleInstanceID) -> dict[str, Any]:
        """The metrics of the model on `dataset_test`.

        Raises:
            TypeError: there is no such dataset, or the model cannot be tested.
        """
        with self.lock:
            if not self.dataset_test.implemented:
                raise TypeError(
                    f"role {self.name!r} cannot test: its element 'dataset-test' is not implemented"
                )
            model = self.model()
            if not isinstance(model, Testable):
                raise TypeError(
                    f"role {self.name!r} cannot test: {type(model).__qualname__} has no method 'test'"
                )
            metrics = model.test(self.dataset_test())
        self.test_completed.emit(args=metrics)
        return metrics

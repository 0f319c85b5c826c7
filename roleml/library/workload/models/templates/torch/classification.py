"""Classifiers whose data is an iterable of batches `(x, y)`, `y` of shape `(b,)` holding the class numbers.

Batches are tensors or NumPy arrays, so that the datasets of this library suit them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from roleml.library.workload.models.templates.torch.base import SimpleTorchModel
from roleml.library.workload.models.templates.torch.helpers.apply_gradients import default_xy_apply_gradients
from roleml.library.workload.models.templates.torch.helpers.compute_gradients import (
    default_xy_compute_gradients,
)
from roleml.library.workload.models.templates.torch.helpers.test import default_xy_test
from roleml.library.workload.models.templates.torch.helpers.train import default_xy_train

__all__ = [
    "SimpleTorchGradientsOperableModel",
    "SimpleTorchXYModel",
    "SimpleTorchXYTestableModel",
    "SimpleTorchXYTrainableModel",
]

Batch = tuple[torch.Tensor, torch.Tensor]


class SimpleTorchXYTestableModel(SimpleTorchModel):
    """Can be evaluated: see `default_xy_test` for the metrics."""

    def test(self, data: Iterable[Batch]) -> dict[str, float]:
        return default_xy_test(self.module, self.criterion, data, self.device)


class SimpleTorchXYTrainableModel(SimpleTorchModel):
    """Can be trained for an epoch: see `default_xy_train`. Hyper-parameters are ignored."""

    def train(self, data: Iterable[Batch], **_: Any) -> dict[str, float]:
        return default_xy_train(self.module, self.optimizer, self.criterion, data, self.device)


class SimpleTorchGradientsOperableModel(SimpleTorchModel):
    """Computes gradients of one batch, flat and one per parameter, and takes steps with such gradients."""

    def compute_gradients(self, data: Batch, **_: Any) -> tuple[dict[str, float], list[torch.Tensor]]:
        x, y = data
        return default_xy_compute_gradients(self.module, self.optimizer, self.criterion, x, y, self.device)

    def apply_gradients(self, gradients: Sequence[torch.Tensor]) -> None:
        default_xy_apply_gradients(self.module, self.optimizer, gradients)


class SimpleTorchXYModel(
    SimpleTorchXYTestableModel, SimpleTorchXYTrainableModel, SimpleTorchGradientsOperableModel
):
    """All abilities in one."""

"""CIFAR-10 as torch wants it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from roleml.library.workload.datasets.templates import XYDataset

__all__ = ["combine", "transform_torch"]


def transform_torch(dataset: XYDataset) -> XYDataset:
    """Each image as a float tensor `(3, 32, 32)` with values from -1 to 1; the labels stay as they are."""
    from torchvision import transforms

    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    )
    return XYDataset([transform(image) for image in dataset.x], dataset.y)


def combine(data: Iterable[tuple[torch.Tensor, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch: a float tensor `(b, 3, 32, 32)` and an int64 tensor `(b,)`."""
    x, y = zip(*data, strict=True)
    return torch.stack(x), torch.tensor([int(label) for label in y], dtype=torch.int64)

"""Datasets made of sequences that are already in memory."""

from __future__ import annotations

from typing import Any

from roleml.library.workload.datasets.bases import Dataset

__all__ = ["SimpleDataset", "XYDataset"]


class SimpleDataset:
    """Gives anything with indices and a length the form of a dataset; `source` is kept, not copied."""

    def __init__(self, source: Dataset) -> None:
        self.source = source

    def __getitem__(self, index: Any) -> Any:
        return self.source[index]

    def __len__(self) -> int:
        return len(self.source)


class XYDataset:
    """Labelled samples: item `i` is the pair `(x[i], y[i])`.

    `x` and `y` may be arrays, tensors or lists; they are kept, not copied.

    Raises:
        ValueError: they have different lengths.
    """

    def __init__(self, x: Any, y: Any) -> None:
        if len(x) != len(y):
            raise ValueError(f"there are {len(x)} samples x, but {len(y)} labels y")
        self.x = x
        self.y = y

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        return self.x[index], self.y[index]

    def __len__(self) -> int:
        return len(self.x)

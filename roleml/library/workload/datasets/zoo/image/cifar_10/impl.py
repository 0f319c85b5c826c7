"""CIFAR-10: 60,000 colour images of 32x32 pixels in 10 classes.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The files are those of
`cifar-10-python.tar.gz` from https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from roleml.library.workload.datasets.templates import XYDataset
from roleml.library.workload.datasets.zoo.image.cifar_10.util import (
    load_array_from_files,
    rows_to_images,
    unpickle,
)

__all__ = ["CiFar10Dataset", "CiFar10SlicedDataset"]

TRAINING_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))


class CiFar10Dataset(XYDataset):
    """The original files in `root`: all training files, training file `index` (1 to 5), or the test file.

    `x` is a uint8 array `(n, 32, 32, 3)`, `y` an int64 array `(n,)`. Any `part` but 'train' is the test set.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: there is no training file of that number.
        pickle.UnpicklingError, KeyError: a file is not one of CIFAR-10.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]

    def __init__(self, root: str | os.PathLike[str], part: str = "train", index: int | None = None) -> None:
        if part != "train":
            files: tuple[str, ...] = ("test_batch",)
        elif index is None:
            files = TRAINING_FILES
        elif index in range(1, 6):
            files = (f"data_batch_{index}",)
        else:
            raise ValueError(f"there is no training file {index!r}: they have the numbers 1 to 5")
        loaded = [unpickle(Path(root) / file) for file in files]
        super().__init__(
            rows_to_images(np.concatenate([rows for rows, _ in loaded])),
            np.concatenate([np.asarray(labels, dtype=np.int64) for _, labels in loaded]),
        )


class CiFar10SlicedDataset(XYDataset):
    """Slices made by the `splitter` module: one, several joined in the order given, or the first ten.

    `x` and `y` are as those of `CiFar10Dataset`. Slices that hold the rows of the original files instead of
    images are understood as well.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]

    def __init__(self, root: str | os.PathLike[str], index: int | Iterable[int] | None = None) -> None:
        if index is None:
            index = range(10)
        numbers = list(index) if isinstance(index, Iterable) else [index]
        x = load_array_from_files(*(Path(root) / f"data_{number}.npy" for number in numbers))
        y = load_array_from_files(*(Path(root) / f"labels_{number}.npy" for number in numbers))
        super().__init__(rows_to_images(x) if x.ndim == 2 else x, y.astype(np.int64, copy=False))

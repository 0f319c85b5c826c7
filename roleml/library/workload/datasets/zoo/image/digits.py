"""The handwritten digits that come with scikit-learn: a real dataset without a download.

1,797 grey images of 8x8 pixels in 10 classes, the test set of Alpaydin and Kaynak, "Optical Recognition of
Handwritten Digits", UCI Machine Learning Repository, 1998 (doi:10.24432/C50P49).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from roleml.library.workload.datasets.partition import (
    check_share,
    describe_labels,
    split_dirichlet,
    split_evenly,
)
from roleml.library.workload.datasets.templates import XYDataset

__all__ = ["DigitsDataset", "combine", "summary"]


class DigitsDataset(XYDataset):
    """The digits, or the share of them that one client owns.

    `x` is a float32 array scaled to [0, 1], of shape `(n, 64)`, or `(n, 1, 8, 8)` with `as_images`; `y` is an
    int64 array of labels 0 to 9.

    `part` 'train' and 'test' are disjoint and have the same label proportions; they depend on nothing but
    `test_fraction`, so that all actors of a run agree on them. With `clients`, this is the training share of
    client number `client` (counted from 0): an even share of the shuffled training set, or, with `alpha`, a
    share whose labels are skewed by a Dirichlet distribution. The shares of one `seed` are disjoint and cover
    the training set.

    Raises:
        ValueError: `client` without `clients` or the reverse, `alpha` without both, a number out of range,
            more clients than samples, or a share of the test set.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def __init__(
        self,
        part: Literal["train", "test"] = "train",
        client: int | None = None,
        clients: int | None = None,
        alpha: float | None = None,
        seed: int = 0,
        test_fraction: float = 0.2,
        as_images: bool = False,
    ) -> None:
        if part not in ("train", "test"):
            raise ValueError(f"there is no part {part!r} of the digits: choose 'train' or 'test'")
        check_share(client, clients, alpha)
        if part == "test" and client is not None:
            raise ValueError("the test set is not divided among clients: leave client and clients out")
        with _making:
            x, y = _digits()
            chosen = _part(part, test_fraction)
            if client is not None and clients is not None:
                chosen = chosen[_shares(clients, alpha, seed, test_fraction)[client]]
        if as_images:
            x = x.reshape(-1, 1, 8, 8)
        super().__init__(x[chosen], y[chosen])


# Hundreds of clients may live in one process: what they have in common is made once, and never written to.
_making = threading.Lock()


@lru_cache(maxsize=1)
def _digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    pixels, labels = load_digits(return_X_y=True)
    return (pixels / 16).astype(np.float32), labels.astype(np.int64)


@lru_cache(maxsize=8)
def _part(part: str, test_fraction: float) -> npt.NDArray[np.int64]:
    _, y = _digits()
    train, test = train_test_split(np.arange(len(y)), test_size=test_fraction, stratify=y, random_state=0)
    return np.sort(train if part == "train" else test)


@lru_cache(maxsize=8)
def _shares(
    clients: int, alpha: float | None, seed: int, test_fraction: float
) -> list[npt.NDArray[np.int64]]:
    chosen = _part("train", test_fraction)
    if alpha is None:
        return split_evenly(len(chosen), clients, seed=seed)
    return split_dirichlet(_digits()[1][chosen], clients, alpha=alpha, seed=seed)


def combine(samples: Iterable[tuple[Any, Any]]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A batch: the samples stacked along a new first axis, and their labels."""
    x, y = zip(*samples, strict=True)
    return np.stack(x), np.asarray(y, dtype=np.int64)


def summary(dataset: XYDataset) -> str:
    """One line that shows how many samples of which labels a client has."""
    return describe_labels(dataset.y)

"""Mergers that bear with some clients who send anything at all.

They need all models of a round at once, so their memory grows with the number of clients. Models are
dicts of arrays, or torch state dicts; the result has the types of the first one. None of what is pushed
is modified.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from roleml.library.workload.util.collections.merger.numpy import require_dict
from roleml.library.workload.util.collections.merger.server import as_array, as_like
from roleml.shared.collections.merger import ValueMerger

__all__ = ["CoordinateMedian", "Krum", "MultiKrum", "TrimmedMean"]

Array = npt.NDArray[Any]
Model = Mapping[str, Any]


class _Collected(ValueMerger[Model, dict[str, Any]]):
    """Keeps the models until all are there."""

    def __init__(self) -> None:
        self._models: list[dict[str, Array]] = []
        self._first: Model = {}

    def push(self, value: Model) -> None:
        """
        Raises:
            KeyError: an array that the first model had is missing.
            ValueError: an array has another shape than in the first model.
            TypeError: there is no dict at all.
        """
        require_dict(value)
        arrays = {name: np.array(as_array(each)) for name, each in value.items()}
        if not self._models:
            self._first = dict(value)
        for name, array in (self._models[0] if self._models else arrays).items():
            if name not in arrays:
                raise KeyError(f"cannot merge: {name!r} is missing, which the first model had")
            if arrays[name].shape != array.shape:
                raise ValueError(
                    f"cannot merge {name!r}: its shape is {arrays[name].shape}, but that of the first model "
                    f"is {array.shape}"
                )
        self._models.append(arrays)

    def merge(self) -> dict[str, Any]:
        """The merged model; `{}` if there was none."""
        if not self._models:
            return {}
        return {name: as_like(array, self._first[name]) for name, array in self._merged().items()}

    def _merged(self) -> dict[str, Array]:
        """Of one model or more. By default, `_along` the models for each array."""
        names = list(self._models[0])
        return {name: self._along(np.stack([model[name] for model in self._models])) for name in names}

    @abstractmethod
    def _along(self, stacked: Array) -> Array:
        """One array of those stacked along the first axis."""


class CoordinateMedian(_Collected):
    """The median of each single parameter. What is no number counts as larger than all numbers.

    Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
    Rates", ICML 2018 (arXiv:1803.01498), definition 1.
    """

    def _along(self, stacked: Array) -> Array:
        # not np.median, of which a single NaN makes a NaN: that would be anybody's to decide
        ordered, n = np.sort(stacked, axis=0), len(stacked)
        return np.asarray(ordered[[(n - 1) // 2, n // 2]].mean(axis=0, dtype=np.float64))


class TrimmedMean(_Collected):
    """The mean of each single parameter without the largest and the smallest values, a share of `beta` each.
    What is no number counts as larger than all numbers.

    Yin, Chen, Ramchandran, Bartlett, ICML 2018 (arXiv:1803.01498), definition 2.
    """

    def __init__(self, beta: float = 0.1) -> None:
        """
        Raises:
            ValueError: `beta` is not at least 0 and below one half.
        """
        super().__init__()
        if not 0 <= beta < 0.5:
            raise ValueError(f"beta must be at least 0 and below 0.5, not {beta}: it is cut off at both ends")
        self.beta = beta

    def _along(self, stacked: Array) -> Array:
        cut = int(self.beta * len(stacked))
        kept = np.sort(stacked, axis=0)[cut : len(stacked) - cut]
        return np.asarray(kept.mean(axis=0, dtype=np.float64))


class MultiKrum(_Collected):
    """The mean of the `m` models that have the least distance from their neighbours.

    Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent", NeurIPS 2017. The score of a model is the sum of its squared distances to the n-f-2
    closest others.
    """

    def __init__(self, f: int, m: int = 1) -> None:
        """`f`: how many of the clients may send anything at all."""
        super().__init__()
        if f < 0 or m < 1:
            raise ValueError(f"f is at least 0 and m at least 1, got f={f}, m={m}")
        self.f, self.m = f, m

    def _merged(self) -> dict[str, Array]:
        """
        Raises:
            ValueError: there are fewer than 2f+3 models, or fewer than m.
        """
        n = len(self._models)
        if n < 2 * self.f + 3:
            raise ValueError(f"to bear {self.f} of them, Krum needs {2 * self.f + 3} models; there are {n}")
        if self.m > n - self.f:
            raise ValueError(f"m is {self.m}, but only {n - self.f} of {n} models are sure to be good")
        best = np.argsort(self.scores(), kind="stable")[: self.m]
        chosen: list[dict[str, Array]] = [self._models[i] for i in best]
        if self.m == 1:
            return chosen[0]
        return {name: self._along(np.stack([model[name] for model in chosen])) for name in chosen[0]}

    def scores(self) -> Array:
        """Of each model pushed, in that order; the lower, the better."""
        flat = np.stack(
            [
                np.concatenate([np.ravel(a).astype(np.float64) for a in model.values()])
                for model in self._models
            ]
        )
        # row by row: not n * n copies of a model; infinities and NaN of a client are sorted behind the others
        with np.errstate(invalid="ignore", over="ignore"):
            distances = np.stack([np.square(flat - row).sum(axis=1) for row in flat])
        np.fill_diagonal(distances, np.inf)
        return np.asarray(np.sort(distances, axis=1)[:, : len(flat) - self.f - 2].sum(axis=1))

    def _along(self, stacked: Array) -> Array:
        return np.asarray(stacked.mean(axis=0, dtype=np.float64))


class Krum(MultiKrum):
    """The one model with the least distance from its neighbours: `MultiKrum` with m = 1."""

    def __init__(self, f: int) -> None:
        super().__init__(f, 1)

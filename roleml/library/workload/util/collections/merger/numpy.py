"""Averages of models that are dicts of NumPy arrays.

The result does not depend on the order in which the models arrive (see `exact` for the reasoning and its
limits), so that runs with the same seed give the same weights to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from roleml.library.workload.util.collections.merger.base import WeightedMerger
from roleml.library.workload.util.collections.merger.exact import ArraySum
from roleml.shared.collections.merger import CumulativeValueMerger, ValueMerger

__all__ = ["ArrayDictAverager", "ArrayDictCumulator", "ArrayDictSum", "WeightedArrayDictAverager"]

Arrays = Mapping[str, npt.NDArray[Any]]
Key = TypeVar("Key")


class ArrayDictSum:
    """The weighted sum of dicts of arrays.

    The first dict fixes keys, shapes and types; further keys of later ones are ignored. A dict that does
    not fit is refused as a whole, before anything is added. Memory does not grow with the number of dicts.
    """

    def __init__(self) -> None:
        self._sums: dict[str, ArraySum] = {}
        self._types: dict[str, np.dtype[Any]] = {}
        self._empty = True

    def add(self, values: Arrays, weight: float = 1.0) -> None:
        """
        Raises:
            KeyError: an array that the first dict had is missing.
            ValueError: an array has another shape than in the first dict.
            TypeError: an array does not hold real numbers, or there is no dict at all.
        """
        require_dict(values)
        names = list(values) if self._empty else list(self._sums)
        if missing := [name for name in names if name not in values]:
            raise KeyError(f"cannot merge: {missing} missing, which the first value had; got {list(values)}")
        arrays = {name: np.asarray(values[name]) for name in names}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise TypeError(f"cannot merge {name!r}: it holds {array.dtype}, not real numbers")
            if not self._empty and array.shape != self._sums[name].shape:
                raise ValueError(
                    f"cannot merge {name!r}: its shape is {array.shape}, but that of the first value is "
                    f"{self._sums[name].shape}"
                )
        if self._empty:
            self._sums = {name: ArraySum(array.shape) for name, array in arrays.items()}
            self._types = {name: _merged_type(array.dtype) for name, array in arrays.items()}
            self._empty = False
        for name, array in arrays.items():
            self._sums[name].add(array, weight)

    def value(self, divisor: float = 1.0) -> dict[str, npt.NDArray[Any]]:
        """New arrays: floats keep the type of the first dict, integers and booleans become float64."""
        # through float64 to the narrower type; an average that overflows it is an infinity, not an error
        with np.errstate(over="ignore"):
            return {
                name: total.value(divisor).astype(self._types[name], copy=False)
                for name, total in self._sums.items()
            }


class ArrayDictAverager(ValueMerger[Arrays, dict[str, npt.NDArray[Any]]]):
    """The mean of the dicts pushed; `{}` if there were none. Works as a key-value merger by
    `make_kv_merger`.
    """

    def __init__(self) -> None:
        self._sum = ArrayDictSum()
        self._count = 0

    def push(self, value: Arrays) -> None:
        self._sum.add(value)
        self._count += 1

    def merge(self) -> dict[str, npt.NDArray[Any]]:
        return self._sum.value(self._count or 1)


class ArrayDictCumulator(CumulativeValueMerger[Arrays]):
    """The sum of the dicts pushed, element by element; `None` if there were none."""

    def __init__(self) -> None:
        super().__init__()
        self._sum = ArrayDictSum()
        self._pushed = False

    def push(self, value: Arrays) -> None:
        self._sum.add(value)
        self._pushed = True

    def cumulate(self, current: Arrays, new: Arrays) -> Arrays:
        """One addition apart from the running sum; `push` does not go through it."""
        pair = ArrayDictSum()
        pair.add(current)
        pair.add(new)
        return pair.value()

    def merge(self) -> dict[str, npt.NDArray[Any]] | None:
        return self._sum.value() if self._pushed else None


class WeightedArrayDictAverager(WeightedMerger[Key, Arrays, dict[str, npt.NDArray[Any]]]):
    """`sum(w[k] * v[k]) / sum(w[k])` over the keys that arrived; `{}` if none did.

    This is the server's step of FedAvg when the weights are numbers of samples: McMahan et al.,
    "Communication- Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017
    (arXiv:1602.05629), algorithm 1. `merge` raises `ZeroDivisionError` if the weights that arrived add up
    to nothing.
    """

    def __init__(self, weights: Mapping[Key, float]) -> None:
        super().__init__(weights)
        self._sum = ArrayDictSum()
        self._arrived: list[float] = []

    def _push(self, key: Key, value: Arrays) -> None:
        weight = weight_of(self.weights, key)
        self._sum.add(value, weight)
        self._arrived.append(weight)

    def merge(self) -> dict[str, npt.NDArray[Any]]:
        return self._sum.value(total_weight(self._arrived)) if self._arrived else {}


def require_dict(model: Any) -> None:
    """Raise TypeError for what is no dict of arrays, such as what a `train` gives that returns nothing."""
    if not isinstance(model, Mapping):
        raise TypeError(f"cannot merge a {type(model).__name__}: a model is a dict of names to arrays")


def weight_of(weights: Mapping[Any, Any], key: Any) -> float:
    """The weight of a client. Raises TypeError or ValueError if it would make the average no number."""
    try:
        weight = float(weights[key])
    except (TypeError, ValueError):
        raise TypeError(f"the weight of {key} is no number, but {weights[key]!r}") from None
    if not math.isfinite(weight):
        raise ValueError(f"the weight of {key} is {weight}: an average with it is no number")
    return weight


def total_weight(weights: list[float]) -> float:
    """Their sum, rounded once and therefore the same in any order."""
    total = math.fsum(weights)
    if not total:
        raise ZeroDivisionError(f"the weights of the {len(weights)} values that arrived add up to 0")
    return total


def _merged_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "f" else np.dtype(np.float64)

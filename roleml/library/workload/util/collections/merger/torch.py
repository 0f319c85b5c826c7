"""Averages and sums of torch state dicts.

A state dict pushed is only read, never kept: `state_dict()` hands out the live tensors of a model, which
may be training on. Each merged value consists of new tensors. As in `numpy`, whose sums do the work, the
order of arrival does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy.typing as npt
import torch

from roleml.library.workload.util.collections.merger.base import WeightedMerger
from roleml.library.workload.util.collections.merger.numpy import (
    ArrayDictSum,
    require_dict,
    total_weight,
    weight_of,
)
from roleml.shared.collections.merger import CumulativeValueMerger, ValueMerger

__all__ = [
    "StateDictSum",
    "TorchStateDictAverager",
    "TorchStateDictCumulator",
    "WeightedTorchStateDictAverager",
]

StateDict = Mapping[str, torch.Tensor]
Key = TypeVar("Key")


class StateDictSum:
    """`ArrayDictSum` for tensors.

    Floating-point tensors keep type and device of the first dict. Integer ones, such as the batch counter
    of batch normalisation, are summed in floating point and come out as float64; `load_state_dict` casts
    them back.
    """

    def __init__(self) -> None:
        self._sum = ArrayDictSum()
        self._like: dict[str, tuple[torch.dtype, torch.device]] = {}

    def add(self, values: StateDict, weight: float = 1.0) -> None:
        """Raises as `ArrayDictSum.add`; a TypeError, too, for what is no dense tensor."""
        require_dict(values)
        self._sum.add({name: _as_array(name, tensor) for name, tensor in values.items()}, weight)
        if not self._like:
            self._like = {name: (_merged_type(t.dtype), t.device) for name, t in values.items()}

    def value(self, divisor: float = 1.0) -> dict[str, torch.Tensor]:
        merged = {}
        for name, array in self._sum.value(divisor).items():
            dtype, device = self._like[name]
            merged[name] = torch.from_numpy(array).to(device=device, dtype=dtype)
        return merged


class TorchStateDictAverager(ValueMerger[StateDict, dict[str, torch.Tensor]]):
    """The mean of the state dicts pushed, all of the same weight; `{}` if there were none."""

    def __init__(self) -> None:
        self._sum = StateDictSum()
        self._count = 0

    def push(self, value: StateDict) -> None:
        self._sum.add(value)
        self._count += 1

    def merge(self) -> dict[str, torch.Tensor]:
        return self._sum.value(self._count or 1)


class WeightedTorchStateDictAverager(WeightedMerger[Key, StateDict, dict[str, torch.Tensor]]):
    """`sum(w[k] * v[k]) / sum(w[k])` over the keys that arrived; `{}` if none did.

    `merge` raises `ZeroDivisionError` if the weights that arrived add up to nothing.
    """

    def __init__(self, weights: Mapping[Key, float]) -> None:
        super().__init__(weights)
        self._sum = StateDictSum()
        self._arrived: list[float] = []

    def _push(self, key: Key, value: StateDict) -> None:
        weight = weight_of(self.weights, key)
        self._sum.add(value, weight)
        self._arrived.append(weight)

    def merge(self) -> dict[str, torch.Tensor]:
        return self._sum.value(total_weight(self._arrived)) if self._arrived else {}


class TorchStateDictCumulator(CumulativeValueMerger[StateDict]):
    """The sum of the state dicts pushed, element by element; `None` if there were none."""

    def __init__(self) -> None:
        super().__init__()
        self._sum = StateDictSum()
        self._pushed = False

    def push(self, value: StateDict) -> None:
        self._sum.add(value)
        self._pushed = True

    def cumulate(self, current: StateDict, new: StateDict) -> StateDict:
        """One addition apart from the running sum; `push` does not go through it."""
        pair = StateDictSum()
        pair.add(current)
        pair.add(new)
        return pair.value()

    def merge(self) -> dict[str, torch.Tensor] | None:
        return self._sum.value() if self._pushed else None


def _as_array(name: str, tensor: torch.Tensor) -> npt.NDArray[Any]:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(
            f"cannot merge {name!r}: it is a {type(tensor).__name__}, not a tensor; for arrays there are the "
            "mergers in the module 'numpy' beside this one"
        )
    if tensor.layout is not torch.strided:
        raise TypeError(f"cannot merge {name!r}: it is a {tensor.layout}, not a dense tensor (see to_dense)")
    tensor = tensor.detach()
    if tensor.dtype.is_floating_point and tensor.element_size() < 4:
        tensor = tensor.float()  # exact, and NumPy knows neither bfloat16 nor what is narrower
    return tensor.cpu().resolve_conj().resolve_neg().numpy()


def _merged_type(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype.is_floating_point else torch.float64

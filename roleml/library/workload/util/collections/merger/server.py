"""The server's optimisers of federated learning: an average is a direction, which they take their way.

FedAvgM is Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", 2019 (arXiv:1909.06335). FedAdagrad, FedYogi and FedAdam are Reddi et al.,
"Adaptive Federated Optimization", ICLR 2021 (arXiv:2003.00295), algorithm 2.

Each is the constructor of an aggregator's `merger`, made once and called for each round, so that it
remembers the rounds before::

    merger:
      constructor: {type: roleml.library.workload.util.collections.merger.server.FedAdam, options: {lr: 0.1}}

Models are dicts of arrays, or torch state dicts. The direction of a round is the mean of the clients'
models minus the model that the round started from, which is what the round before gave. Of the first
round that is not known: it gives the mean itself. Counters and other integers are averaged and not
optimised.
"""

from __future__ import annotations

import copy
import pickle
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from roleml.library.workload.util.collections.merger.numpy import (
    ArrayDictSum,
    require_dict,
    total_weight,
    weight_of,
)
from roleml.shared.collections.merger import KeyValueMerger

__all__ = ["FedAdagrad", "FedAdam", "FedAvgM", "FedYogi", "RoundMerger", "ServerOptimizer"]

Key = TypeVar("Key")
Array = npt.NDArray[Any]
Arrays = dict[str, Array]


class ServerOptimizer(ABC):
    """Makes the merger of each round, and keeps what goes from one round to the next.

    Can be serialised (`serialize`, `deserialize`), so that a run goes on where it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Arrays | None = None
        self._state: dict[str, Arrays] = {}

    def __call__(self, weights: Mapping[Any, float] | None = None) -> RoundMerger[Any]:
        """The merger of a round; with the weights of the clients if they have some."""
        return RoundMerger(self, weights)

    def step(self, mean: Arrays) -> Arrays:
        """The next model, given the mean of what the clients have trained: float64 arrays."""
        with self._lock:
            if self._model is None:
                self._model = mean
                return dict(mean)
            updated = {}
            for name, before in self._model.items():
                if not np.issubdtype(mean[name].dtype, np.floating):
                    updated[name] = mean[name]
                    continue
                updated[name] = before + self._change(name, mean[name] - before)
            self._model = updated
            return dict(updated)

    @abstractmethod
    def _change(self, name: str, direction: Array) -> Array:
        """What is added to an array of the model; updates the state."""

    def _remembered(self, kind: str, name: str, like: Array, initial: float = 0.0) -> Array:
        return self._state.setdefault(kind, {}).setdefault(name, np.full_like(like, initial))

    def state_dict(self) -> dict[str, Any]:
        """What goes from one round to the next, for checkpoints."""
        with self._lock:
            return copy.deepcopy({"model": self._model, "state": self._state})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        with self._lock:
            self._model, self._state = state_dict["model"], dict(state_dict["state"])

    def serialize(self, file: IO[bytes]) -> None:
        """Write the state to a binary file."""
        with self._lock:
            pickle.dump((self._model, self._state), file)

    def deserialize(self, file: IO[bytes]) -> None:
        """Go on from a state that `serialize` wrote. Trust the file: it is a pickle."""
        with self._lock:
            self._model, self._state = pickle.load(file)


class RoundMerger(KeyValueMerger[Key, Mapping[str, Any], dict[str, Any]]):
    """Averages the models of one round as they arrive, and has the optimiser make its step with that."""

    def __init__(self, optimizer: ServerOptimizer, weights: Mapping[Key, float] | None = None) -> None:
        self._optimizer = optimizer
        self._weights = weights
        self._sum = ArrayDictSum()
        self._arrived: list[float] = []
        self._like: dict[str, Any] = {}
        self._merged: dict[str, Any] | None = None

    @property
    def allow_append(self) -> bool:
        return self._weights is None

    def push(self, key: Key, value: Mapping[str, Any]) -> None:
        """
        Raises:
            KeyError: there are weights, and none for this key; or an array is missing.
            ValueError, TypeError: see `ArrayDictSum.add`; or the weight is no finite number.
            RuntimeError: the step was made already.
        """
        if self._merged is not None:
            raise RuntimeError("the step of this round is made; a late model belongs to the next")
        weight = 1.0
        if self._weights is not None:
            if key not in self._weights:
                raise KeyError(f"no weight was given for {key}")
            weight = weight_of(self._weights, key)
        require_dict(value)
        self._sum.add({name: as_array(each) for name, each in value.items()}, weight)
        self._arrived.append(weight)
        self._like = self._like or dict(value)

    def merge(self) -> dict[str, Any]:
        """The next model, of the types of the first one that arrived; `{}` if there was none.

        Further calls give the same: a round is one step.
        """
        if self._merged is None:
            if not self._arrived:
                return {}
            mean = {
                name: array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array
                for name, array in self._sum.value(total_weight(self._arrived)).items()
            }
            integers = [name for name, each in self._like.items() if as_array(each).dtype.kind != "f"]
            step = self._optimizer.step({n: a for n, a in mean.items() if n not in integers})
            merged = {name: step[name] if name in step else mean[name] for name in mean}
            self._merged = {name: as_like(array, self._like[name]) for name, array in merged.items()}
        return dict(self._merged)


class FedAvgM(ServerOptimizer):
    """`m = momentum * m + direction; x = x + lr * m`. With momentum 0 and lr 1 this is FedAvg."""

    def __init__(self, lr: float = 1.0, momentum: float = 0.9) -> None:
        super().__init__()
        self.lr, self.momentum = lr, momentum

    def _change(self, name: str, direction: Array) -> Array:
        m = self._remembered("m", name, direction)
        m *= self.momentum
        m += direction
        return self.lr * m


class _Adaptive(ServerOptimizer):
    """`m = beta1 * m + (1 - beta1) * direction; x = x + lr * m / (sqrt(v) + tau)`, with v from tau**2 on."""

    def __init__(self, lr: float = 0.1, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3) -> None:
        """`tau` is the degree of adaptivity: the smaller, the more."""
        super().__init__()
        self.lr, self.beta1, self.beta2, self.tau = lr, beta1, beta2, tau

    def _change(self, name: str, direction: Array) -> Array:
        m = self._remembered("m", name, direction)
        v = self._remembered("v", name, direction, self.tau**2)
        m *= self.beta1
        m += (1 - self.beta1) * direction
        self._update_v(v, np.square(direction))
        step: Array = self.lr * m / (np.sqrt(v) + self.tau)
        return step

    def _update_v(self, v: Array, squared: Array) -> None:
        """Change v in place, given the square of the direction."""
        raise NotImplementedError


class FedAdagrad(_Adaptive):
    """`v = v + direction**2`. There, beta1 is 0."""

    def __init__(self, lr: float = 0.1, beta1: float = 0.0, tau: float = 1e-3) -> None:
        super().__init__(lr, beta1, tau=tau)

    def _update_v(self, v: Array, squared: Array) -> None:
        v += squared


class FedYogi(_Adaptive):
    """`v = v - (1 - beta2) * direction**2 * sign(v - direction**2)`."""

    def _update_v(self, v: Array, squared: Array) -> None:
        v -= (1 - self.beta2) * squared * np.sign(v - squared)


class FedAdam(_Adaptive):
    """`v = beta2 * v + (1 - beta2) * direction**2`."""

    def _update_v(self, v: Array, squared: Array) -> None:
        v *= self.beta2
        v += (1 - self.beta2) * squared


def as_array(value: Any) -> Array:
    """An array, or a torch tensor on any device, as an array."""
    if type(value).__module__.partition(".")[0] == "torch":
        tensor = value.detach().cpu()
        narrow = tensor.dtype.is_floating_point and tensor.element_size() < 4  # bfloat16 is no NumPy type
        return np.asarray(tensor.float() if narrow else tensor)
    return np.asarray(value)


def as_like(array: Array, like: Any) -> Any:
    """An array as what it was merged from: of its type if that holds fractions, a tensor if it is one."""
    if type(like).__module__.partition(".")[0] == "torch":
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(like.device, like.dtype if like.dtype.is_floating_point else tensor.dtype)
    kind = np.asarray(like).dtype
    return array.astype(kind) if np.issubdtype(kind, np.floating) else array

"""Mergers that know a weight for every key they will be given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from roleml.shared.collections.merger import KeyValueMerger

__all__ = ["DefaultWeightedMerger", "WeightedMerger"]

Key = TypeVar("Key")
Value = TypeVar("Value")
Merged = TypeVar("Merged")


class WeightedMerger(KeyValueMerger[Key, Value, Merged], Generic[Key, Value, Merged]):
    """Takes each key of `weights` at most once; `push` of another key raises `KeyError`."""

    def __init__(self, weights: Mapping[Key, Any]) -> None:
        self.weights = dict(weights)

    def push(self, key: Key, value: Value) -> None:
        if key not in self.weights:
            known = ", ".join(str(known) for known in self.weights) or "none"
            raise KeyError(f"no weight was given for {key}; there are weights for: {known}")
        self._push(key, value)

    @abstractmethod
    def _push(self, key: Key, value: Value) -> None:
        """Take in the value of a key that has a weight."""

    @property
    def allow_append(self) -> bool:
        return False


class DefaultWeightedMerger(WeightedMerger[Key, Value, dict[Key, Value]]):
    """Collects the values into a dict and leaves the weights to whoever reads it."""

    def __init__(self, weights: Mapping[Key, Any]) -> None:
        super().__init__(weights)
        self._values: dict[Key, Value] = {}

    def _push(self, key: Key, value: Value) -> None:
        self._values[key] = value

    def merge(self) -> dict[Key, Value]:
        return dict(self._values)

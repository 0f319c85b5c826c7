"""Mergers: objects that take values one by one and give one merged value.

None of them is thread-safe. Where results arrive from several threads, put one inside an
`AsynchronousKeyValueMerger`, which serialises the pushes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

__all__ = [
    "CumulativeAddingValueMerger",
    "CumulativeValueMerger",
    "DictKeyValueMerger",
    "KeyAgnosticKeyValueMerger",
    "KeyValueMerger",
    "ListValueMerger",
    "MergedValue",
    "ValueMerger",
    "make_kv_merger",
]

Key = TypeVar("Key")
Value = TypeVar("Value")
MergedValue = TypeVar("MergedValue")


class ValueMerger(ABC, Generic[Value, MergedValue]):
    """Merges values whose origin does not matter.

    Unless `disposable`, `merge` may be called any number of times and more values may be pushed in between.
    """

    @abstractmethod
    def push(self, value: Value) -> None: ...

    @abstractmethod
    def merge(self) -> MergedValue: ...

    @property
    def disposable(self) -> bool:
        """Whether `merge` may be called only once, e.g. because it gives away its accumulator."""
        return False


class ListValueMerger(ValueMerger[Value, list[Value]]):
    """Collects the values, in the order pushed. Each `merge` gives a new list."""

    def __init__(self) -> None:
        self._values: list[Value] = []

    def push(self, value: Value) -> None:
        self._values.append(value)

    def merge(self) -> list[Value]:
        return list(self._values)


class CumulativeValueMerger(ValueMerger[Value, "Value | None"]):
    """Keeps a running total instead of all values; `merge` gives `None` if nothing was pushed.

    The first value pushed becomes the total as it is. A subclass whose `cumulate` works in place modifies
    that first value: if it may belong to somebody else, override `first` to copy it.
    """

    def __init__(self) -> None:
        self._empty = True
        self._total: Value | None = None

    def push(self, value: Value) -> None:
        if self._empty:
            self._total = self.first(value)
            self._empty = False
        else:
            self._total = self.cumulate(self._total, value)  # type: ignore[arg-type]  # not empty: a Value

    def first(self, value: Value) -> Value:
        """The total to start from, given the first value."""
        return value

    @abstractmethod
    def cumulate(self, current: Value, new: Value) -> Value:
        """The total after `new`; `current` may be modified in place and returned, `new` may not."""

    def merge(self) -> Value | None:
        return self._total


class CumulativeAddingValueMerger(CumulativeValueMerger[Any]):
    """The sum of the values, by their own `+`, in the order pushed."""

    def cumulate(self, current: Any, new: Any) -> Any:
        return current + new


class KeyValueMerger(ABC, Generic[Key, Value, MergedValue]):
    """Merges values of which each belongs to a key, e.g. to the role instance that sent it."""

    @abstractmethod
    def push(self, key: Key, value: Value) -> None: ...

    @abstractmethod
    def merge(self) -> MergedValue: ...

    @property
    def allow_append(self) -> bool:
        """Whether a key may be pushed more than once."""
        return True

    @property
    def disposable(self) -> bool:
        """Whether `merge` may be called only once."""
        return False


class DictKeyValueMerger(KeyValueMerger[Key, Value, dict[Key, Value]]):
    """Collects into a dict; a key pushed again overwrites. Each `merge` gives a new dict."""

    def __init__(self) -> None:
        self._values: dict[Key, Value] = {}

    def push(self, key: Key, value: Value) -> None:
        self._values[key] = value

    def merge(self) -> dict[Key, Value]:
        return dict(self._values)


class KeyAgnosticKeyValueMerger(KeyValueMerger[Any, Value, MergedValue]):
    """Lets a `ValueMerger` stand where a `KeyValueMerger` is expected, by ignoring the keys."""

    def __init__(self, value_merger: ValueMerger[Value, MergedValue]) -> None:
        self._merger = value_merger

    def push(self, key: Any, value: Value) -> None:
        self._merger.push(value)

    def merge(self) -> MergedValue:
        return self._merger.merge()

    @property
    def disposable(self) -> bool:
        return self._merger.disposable


def make_kv_merger(value_merger: ValueMerger[Value, MergedValue]) -> KeyValueMerger[Any, Value, MergedValue]:
    """The same merger, taking key-value pairs and ignoring the keys."""
    return KeyAgnosticKeyValueMerger(value_merger)

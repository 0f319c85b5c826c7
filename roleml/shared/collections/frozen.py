"""An immutable set with an order, so that it can be sampled and indexed like a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

__all__ = ["OrderedFrozenSet"]

T_co = TypeVar("T_co", covariant=True)


class OrderedFrozenSet(frozenset[T_co]):
    """A `frozenset` that keeps the order in which its members were given.

    It equals, hashes and computes like the plain frozenset of the same members (the order does not count,
    the results of `|`, `&`, ... are plain frozensets), and is a `collections.abc.Sequence` as well:
    `random.sample` and `random.choice` accept it, and with the same seed and order they choose the same
    members in every process.
    """

    __slots__ = ("_order",)

    _order: tuple[T_co, ...]

    def __new__(cls, members: Iterable[T_co] = ()) -> OrderedFrozenSet[T_co]:
        order = tuple(dict.fromkeys(members))
        self = super().__new__(cls, order)
        self._order = order
        return self

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._order)

    def __reversed__(self) -> Iterator[T_co]:
        return reversed(self._order)

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        return self._order[index]

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        return self._order.index(value, start, len(self._order) if stop is None else stop)

    def count(self, value: Any) -> int:
        return int(value in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._order)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._order,)


Sequence.register(OrderedFrozenSet)

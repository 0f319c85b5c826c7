"""A list in parts, for algorithms that treat the parts of their data separately."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Generic, TypeVar

__all__ = ["SegmentedList"]

T = TypeVar("T")


class SegmentedList(Generic[T]):
    """A fixed number of lists, read one by one or as one chain."""

    def __init__(self, num_segments: int = 1) -> None:
        if num_segments < 1:
            raise ValueError(f"a SegmentedList needs at least one segment, not {num_segments}")
        self.segments: tuple[list[T], ...] = tuple([] for _ in range(num_segments))

    def get_segment(self, i: int) -> list[T]:
        """Segment `i` itself, not a copy: append to it to fill it."""
        return self.segments[i]

    def __getitem__(self, i: int) -> list[T]:
        return self.segments[i]

    def iter(
        self,
        start: int | None = None,
        end: int | None = None,
        *,
        range: tuple[int | None, int | None] | None = None,  # the published name
    ) -> Iterator[T]:
        """The items of segments `start` to `end - 1`, in order.

        `range` is the pair (start, end) for whichever of the two is not given by itself; without either,
        the chain covers all segments. Negative numbers count from the end.
        """
        if range is not None:
            start = range[0] if start is None else start
            end = range[1] if end is None else end
        return chain.from_iterable(self.segments[start:end])

"""Orders in which the samples of a dataset can be read, and their aliases for configuration files.

The random samplers draw from the shared `random` module, which an actor seeds when it is built. Several
actors in one process share that generator, so the order then depends on thread timing; pass `seed` to give
a sampler a generator of its own where runs must be repeatable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, SupportsIndex

from roleml.library.workload.datasets.bases import Dataset, IndexSampler

__all__ = [
    "BUILTIN_SAMPLERS",
    "RandomOneOffIndexSampler",
    "RandomReplaceIndexSampler",
    "SequentialCycleIndexSampler",
    "SequentialOneOffIndexSampler",
]


class SequentialOneOffIndexSampler(IndexSampler):
    """Every sample once, in the order of the dataset."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.source)))


class SequentialCycleIndexSampler(IndexSampler):
    """Every sample in the order of the dataset, again and again. An empty dataset ends at once."""

    def __iter__(self) -> Iterator[int]:
        while size := len(self.source):
            yield from range(size)


class _RandomIndexSampler(IndexSampler):
    def __init__(self, source: Dataset, limit: int = -1, *, seed: int | None = None) -> None:
        super().__init__(source)
        if not isinstance(limit, SupportsIndex):
            raise TypeError(f"limit is a whole number of samples, not {limit!r}")
        self.limit = limit
        # the functions of the `random` module are methods of one hidden generator: same interface, no copy
        self._generator = random if seed is None else random.Random(seed)

    def state_dict(self) -> dict[str, Any]:
        """That of the sampler's own generator; the shared one is the process's."""
        return {} if self._generator is random else {"generator": self._generator.getstate()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if self._generator is not random and "generator" in state_dict:
            self._generator.setstate(state_dict["generator"])


class RandomOneOffIndexSampler(_RandomIndexSampler):
    """`limit` different samples in random order, drawn anew in each pass.

    All of them if `limit` is not positive or exceeds the size of the dataset.
    """

    def __iter__(self) -> Iterator[int]:
        size = len(self.source)
        count = self.limit if 0 < self.limit < size else size
        return iter(self._generator.sample(range(size), count))


class RandomReplaceIndexSampler(_RandomIndexSampler):
    """`limit` independent draws with replacement; as many as the dataset has samples if not positive."""

    def __iter__(self) -> Iterator[int]:
        size = len(self.source)
        if size:
            for _ in range(self.limit if self.limit > 0 else size):
                yield self._generator.randrange(size)


BUILTIN_SAMPLERS: dict[str, type[IndexSampler]] = {
    "sequential": SequentialOneOffIndexSampler,
    "sequential-oneoff": SequentialOneOffIndexSampler,
    "sequential-cycle": SequentialCycleIndexSampler,
    "random-oneoff": RandomOneOffIndexSampler,
    "random": RandomReplaceIndexSampler,
    "random-replace": RandomReplaceIndexSampler,
}

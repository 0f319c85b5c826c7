"""Ways of reading a dataset: in which order, with which change to each sample, one by one or in batches.

The dataset itself is shared and never changed, so several views of it can exist side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, SupportsIndex

from roleml.core.role.types import Stateful
from roleml.library.workload.datasets.bases import (
    DataCombiner,
    DataModifier,
    Dataset,
    IndexSampler,
)
from roleml.library.workload.datasets.samplers import BUILTIN_SAMPLERS
from roleml.shared.errors import noted
from roleml.shared.importing import load

__all__ = ["DatasetBatchView", "DatasetPointView", "DatasetView", "DatasetViewFactory", "identity"]


def identity(data: Any) -> Any:
    """`data` itself: the modifier or combiner that does nothing."""
    return data


class DatasetView(ABC):
    """A dataset with a way of reading it.

    The length is the number of samples of the dataset, whatever one pass reads of it, and `view[i]` is the
    modified sample `i`. Each `iter()` starts a new pass; passes are independent of each other.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        modifier: DataModifier = identity,
        index_sampler: Any,
        index_sampler_options: Mapping[str, Any] | None = None,
    ) -> None:
        """
        `index_sampler` is an alias in `BUILTIN_SAMPLERS`, a class, the dotted name of one, or
        `{"type": ..., "options": ...}`; its first argument is `dataset`.
        """
        self.dataset = dataset
        self.modifier = modifier
        self.index_sampler: IndexSampler
        self.set_index_sampler(index_sampler, **(index_sampler_options or {}))

    def set_index_sampler(self, cls: Any, **options: Any) -> None:
        """Read in another order from the next pass on."""
        self.index_sampler = load(
            cls, IndexSampler, args=(self.dataset,), kwargs=options, builtin_sources=BUILTIN_SAMPLERS
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the order of further passes stands. A pass that is under way is not in it."""
        sampler = self.index_sampler
        return {"index_sampler": sampler.state_dict()} if isinstance(sampler, Stateful) else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        sampler = self.index_sampler
        if isinstance(sampler, Stateful) and "index_sampler" in state_dict:
            sampler.load_state_dict(state_dict["index_sampler"])

    def get_original_item(self, index: Any) -> Any:
        """The sample as it is in the dataset."""
        return self.dataset[index]

    def __getitem__(self, index: Any) -> Any:
        return self.modifier(self.dataset[index])

    def __len__(self) -> int:
        return len(self.dataset)

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...


class DatasetPointView(DatasetView):
    """Reads sample by sample."""

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in self.index_sampler)


class DatasetBatchView(DatasetView):
    """Reads `batch_size` samples at a time.

    `combiner` gets a generator of the modified samples of one batch and returns the batch. A batch need not
    be consumed before the next one is asked for.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int = 32,
        drop_last: bool = False,
        modifier: DataModifier = identity,
        combiner: DataCombiner = identity,
        index_sampler: Any,
        index_sampler_options: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        super().__init__(
            dataset,
            modifier=modifier,
            index_sampler=index_sampler,
            index_sampler_options=index_sampler_options,
        )
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.combiner = combiner

    def __iter__(self) -> Iterator[Any]:
        indices = iter(self.index_sampler)
        # the indices of a batch are drawn at once: a combiner that leaves samples unread does not shift the
        # next
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.combiner(self._samples(batch))

    def _samples(self, indices: list[int]) -> Iterator[Any]:
        return (self[index] for index in indices)


def DatasetViewFactory(  # noqa: N802 - named like the class it once was; configurations use it as a constructor
    dataset: Any,
    *,
    converters: Iterable[Any] | None = None,
    sampler: Any = "sequential",
    batch_size: int = 32,
    drop_last: bool = False,
    always_combine: bool = False,
    modifier: Any = identity,
    combiner: Any = list,
) -> DatasetView:
    """Makes the view that a configuration describes.

    `dataset`, `modifier`, `combiner` and each of `converters` may be an object, a dotted name, or
    `{"type": ..., "options": ...}`; `sampler` may be an alias as well. The converters are applied to the
    whole dataset, once, in the order given. With a `batch_size` of 1 the view yields samples instead of
    batches, unless `always_combine`.

    Raises:
        TypeError: one of the parts is not what it should be, for example a dataset without `__len__`.
        ValueError: `batch_size` is below 1.
    """
    if not isinstance(batch_size, SupportsIndex):
        raise TypeError(f"batch_size is a whole number, not {batch_size!r}")
    if batch_size.__index__() < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if isinstance(converters, str | Mapping) or callable(converters):
        raise TypeError(f"converters is a list, also of one: write [{converters}]")
    with noted("this is the 'dataset' of a DatasetViewFactory"):
        source = load(dataset, Dataset)
    for converter in converters or ():
        with noted("this is one of the 'converters' of a DatasetViewFactory"):
            source = load(converter, Callable)(source)
    if not isinstance(source, Dataset):
        raise TypeError(
            f"the converters made a {type(source).__qualname__}, which is no dataset: "
            "it needs both __getitem__ and __len__"
        )
    with noted("this is the 'modifier' of a DatasetViewFactory"):
        loaded_modifier = load(modifier, Callable)
    with noted("this is the 'combiner' of a DatasetViewFactory"):
        loaded_combiner = load(combiner, Callable)
    with noted("this is the 'sampler' of a DatasetViewFactory"):
        if batch_size.__index__() == 1 and not always_combine:
            return DatasetPointView(source, modifier=loaded_modifier, index_sampler=sampler)
        return DatasetBatchView(
            source,
            batch_size=batch_size,
            drop_last=drop_last,
            modifier=loaded_modifier,
            combiner=loaded_combiner,
            index_sampler=sampler,
        )

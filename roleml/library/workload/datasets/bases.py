"""What a role may ask of a dataset, and the callables that dataset views are put together from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

__all__ = [
    "DataBatch",
    "DataCombiner",
    "DataModifier",
    "DataPoint",
    "DataStreams",
    "Dataset",
    "DatasetConverter",
    "DatasetType",
    "IndexSampler",
    "IterableDataset",
]

DataPoint = TypeVar("DataPoint")
DataBatch = TypeVar("DataBatch")
DatasetType = TypeVar("DatasetType")


@runtime_checkable
class Dataset(Protocol):
    """A finite collection of samples with indices `0..len-1`."""

    def __getitem__(self, index: Any, /) -> Any: ...

    def __len__(self) -> int: ...


@runtime_checkable
class DataStreams(Protocol):
    """Something that can be iterated; the items are samples or batches, as the consumer expects."""

    def __iter__(self) -> Iterator[Any]: ...


@runtime_checkable
class IterableDataset(Dataset, DataStreams, Protocol):
    """A dataset that also says in which order, and in which batches, it wants to be read."""


@runtime_checkable
class DatasetConverter(Protocol):
    """Turns a whole dataset into another one, once, before it is read."""

    def __call__(self, dataset: Any, /) -> Any: ...


@runtime_checkable
class DataModifier(Protocol):
    """Changes one sample each time it is read, for example to augment it."""

    def __call__(self, sample: Any, /) -> Any: ...


@runtime_checkable
class DataCombiner(Protocol):
    """Makes a batch of samples. The iterable is a generator: it can be consumed once."""

    def __call__(self, samples: Iterable[Any], /) -> Any: ...


class IndexSampler(ABC):
    """Decides which samples of `source` one pass reads, and in which order.

    Subclasses take their options as further keyword arguments of `__init__`.
    """

    def __init__(self, source: Dataset) -> None:
        self.source = source

    @abstractmethod
    def __iter__(self) -> Iterator[int]:
        """Start a new pass. A pass may be endless."""

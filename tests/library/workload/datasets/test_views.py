from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.library.workload.datasets import bases
from roleml.library.workload.datasets.samplers import RandomOneOffIndexSampler
from roleml.library.workload.datasets.templates import SimpleDataset, XYDataset
from roleml.library.workload.datasets.views import (
    DatasetBatchView,
    DatasetPointView,
    DatasetViewFactory,
)

HERE = "roleml.library.workload.datasets"


def tenfold(sample: int) -> int:
    return sample * 10


def doubled(dataset: bases.Dataset) -> SimpleDataset:
    return SimpleDataset([2 * dataset[i] for i in range(len(dataset))])


def plus_one(dataset: bases.Dataset) -> SimpleDataset:
    return SimpleDataset([dataset[i] + 1 for i in range(len(dataset))])


def numbers(size: int = 7) -> SimpleDataset:
    return SimpleDataset(range(size))


class Multiply:
    def __init__(self, factor: int = 3) -> None:
        self.factor = factor

    def __call__(self, sample: int) -> int:
        return sample * self.factor


class Backwards(bases.IndexSampler):
    def __init__(self, source: bases.Dataset, step: int = 1) -> None:
        super().__init__(source)
        self.step = step

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.source) - 1, -1, -self.step))


def test_templates_and_views_are_iterable_datasets_where_they_should_be() -> None:
    assert isinstance(numbers(), bases.Dataset)
    assert not isinstance(numbers(), bases.DataStreams)
    assert isinstance(XYDataset([1], [2]), bases.Dataset)
    assert isinstance(DatasetPointView(numbers(), index_sampler="sequential"), bases.IterableDataset)


def test_an_xy_dataset_gives_pairs_and_has_the_length_of_x() -> None:
    dataset = XYDataset([1, 2, 3], "abc")
    assert dataset[1] == (2, "b")
    assert len(dataset) == 3
    assert (dataset.x, dataset.y) == ([1, 2, 3], "abc")


def test_a_point_view_modifies_each_sample_as_it_is_read() -> None:
    view = DatasetPointView(numbers(), modifier=tenfold, index_sampler="sequential")
    assert list(view) == [0, 10, 20, 30, 40, 50, 60] == list(view)
    assert view[3] == 30
    assert view.get_original_item(3) == 3
    assert len(view) == 7


@given(st.integers(0, 30), st.integers(1, 8), st.booleans())
def test_a_batch_view_cuts_the_samples_into_batches(size: int, batch_size: int, drop_last: bool) -> None:
    view = DatasetBatchView(
        numbers(size), batch_size=batch_size, drop_last=drop_last, combiner=list, index_sampler="sequential"
    )
    batches = list(view)
    assert len(view) == size
    assert len(batches) == (size // batch_size if drop_last else -(-size // batch_size))
    assert [sample for batch in batches for sample in batch] == list(
        range(size - size % batch_size if drop_last else size)
    )


def test_the_combiner_gets_a_generator_and_may_leave_it_unread() -> None:
    view = DatasetBatchView(numbers(5), batch_size=2, index_sampler="sequential")
    first, second, third = view
    assert (list(third), list(first), next(second)) == ([4], [0, 1], 2)


def test_passes_over_a_view_do_not_disturb_each_other() -> None:
    view = DatasetBatchView(numbers(4), batch_size=2, combiner=list, index_sampler="sequential")
    one, other = iter(view), iter(view)
    assert [next(one), next(other), next(one), next(other)] == [[0, 1], [0, 1], [2, 3], [2, 3]]


@pytest.mark.parametrize(
    "sampler",
    [
        Backwards,
        {"type": Backwards, "options": {"step": 1}},
        {"type": Backwards},
    ],
)
def test_an_index_sampler_may_be_a_class_or_a_description(sampler: Any) -> None:
    assert list(DatasetPointView(numbers(3), index_sampler=sampler)) == [2, 1, 0]


def test_an_index_sampler_may_be_a_dotted_name_with_options_beside_it() -> None:
    view = DatasetPointView(
        numbers(),
        index_sampler=f"{HERE}.samplers.RandomOneOffIndexSampler",
        index_sampler_options={"limit": 2},
    )
    assert isinstance(view.index_sampler, RandomOneOffIndexSampler)
    assert len(list(view)) == 2


def test_the_index_sampler_of_a_view_can_be_exchanged() -> None:
    view = DatasetPointView(numbers(4), index_sampler="sequential")
    view.set_index_sampler(Backwards, step=2)
    assert list(view) == [3, 1]


def test_an_unknown_sampler_alias_is_explained() -> None:
    with pytest.raises(ValueError, match="random-oneoff"):
        DatasetPointView(numbers(), index_sampler="random-oneof")


def test_the_factory_applies_converters_once_and_in_order() -> None:
    view = DatasetViewFactory(numbers(3), converters=[doubled, plus_one])
    assert list(view) == [[1, 3, 5]]


def test_the_factory_understands_names_and_descriptions() -> None:
    view = DatasetViewFactory(
        {"type": f"{HERE}.templates.SimpleDataset", "options": {"source": [1, 2, 3]}},
        modifier={"type": Multiply, "options": {"factor": 5}},
        sampler={"type": "random-oneoff", "options": {"limit": 3}},
        batch_size=2,
        combiner="builtins.sorted",
    )
    assert isinstance(view, DatasetBatchView)
    assert sorted(sample for batch in view for sample in batch) == [5, 10, 15]


def test_a_modifier_class_is_instantiated_and_a_combiner_class_like_tuple_is_not() -> None:
    view = DatasetViewFactory(numbers(3), modifier=Multiply, combiner=tuple, batch_size=3)
    assert list(view) == [(0, 3, 6)]


def test_batches_of_one_are_samples_unless_combined_always() -> None:
    assert list(DatasetViewFactory(numbers(2), batch_size=1)) == [0, 1]
    assert list(DatasetViewFactory(numbers(2), batch_size=1, always_combine=True)) == [[0], [1]]


def test_the_last_batch_is_dropped_on_request() -> None:
    assert list(DatasetViewFactory(numbers(5), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]


def test_something_without_a_length_is_refused_as_dataset() -> None:
    with pytest.raises(TypeError):
        DatasetViewFactory(iter([1]))

    def without_length(dataset: bases.Dataset) -> Iterable[int]:
        return iter([1])

    with pytest.raises(TypeError, match="no dataset"):
        DatasetViewFactory(numbers(), converters=[without_length])


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        DatasetBatchView(numbers(), batch_size=0, index_sampler="sequential")


@pytest.mark.parametrize(
    ("options", "error", "complaint", "part"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0", ""),
        ({"batch_size": "16"}, TypeError, "batch_size is a whole number, not '16'", ""),
        ({"converters": "builtins.list"}, TypeError, r"converters is a list, .* write \[builtins.list\]", ""),
        ({"converters": [3]}, TypeError, "not an instance", "converters"),
        ({"combiner": 3}, TypeError, "not an instance", "combiner"),
        ({"modifier": "no.thing"}, ModuleNotFoundError, "no module 'no'", "modifier"),
        ({"sampler": "randm"}, ValueError, "did you mean 'random'", "sampler"),
        ({"dataset": 3}, TypeError, "not an instance", "dataset"),
        (
            {"sampler": {"type": "random", "options": {"limit": "3"}}},
            TypeError,
            "limit is a whole number of samples, not '3'",
            "sampler",
        ),
    ],
)
def test_a_wrong_part_is_named(
    options: dict[str, Any], error: type[Exception], complaint: str, part: str
) -> None:
    with pytest.raises(error, match=complaint) as info:
        DatasetViewFactory(**{"dataset": [1, 2, 3], **options})
    notes = getattr(info.value, "__notes__", [])
    assert [note.split("'")[1] for note in notes] == ([part] if part else [])


def test_samples_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 3 samples x, but 2 labels y"):
        XYDataset([1, 2, 3], [0, 1])

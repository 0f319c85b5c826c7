from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.shared.collections.merger import (
    CumulativeAddingValueMerger,
    CumulativeValueMerger,
    DictKeyValueMerger,
    KeyAgnosticKeyValueMerger,
    KeyValueMerger,
    ListValueMerger,
    ValueMerger,
    make_kv_merger,
)


@given(st.lists(st.integers()))
def test_a_list_merger_gives_the_values_in_the_order_pushed(values: list[int]) -> None:
    merger: ListValueMerger[int] = ListValueMerger()
    for value in values:
        merger.push(value)
    assert merger.merge() == values


def test_a_merged_list_is_not_changed_by_later_pushes() -> None:
    merger: ListValueMerger[int] = ListValueMerger()
    merger.push(1)
    first = merger.merge()
    merger.push(2)
    assert first == [1]
    assert merger.merge() == [1, 2]


@given(st.lists(st.integers()))
def test_an_adding_merger_gives_the_sum_or_none(values: list[int]) -> None:
    merger = CumulativeAddingValueMerger()
    for value in values:
        merger.push(value)
    assert merger.merge() == (sum(values) if values else None)


def test_an_adding_merger_leaves_the_first_value_untouched() -> None:
    first = [1]
    merger = CumulativeAddingValueMerger()
    merger.push(first)
    merger.push([2])
    assert merger.merge() == [1, 2]
    assert first == [1]


def test_a_cumulative_merger_takes_none_for_a_value_like_any_other() -> None:
    class Last(CumulativeValueMerger[Any]):
        def cumulate(self, current: Any, new: Any) -> Any:
            return (current, new)

    merger = Last()
    merger.push(None)
    merger.push(1)
    assert merger.merge() == (None, 1)


def test_a_cumulative_merger_that_works_in_place_may_copy_the_first_value() -> None:
    class Extending(CumulativeValueMerger[list[int]]):
        def first(self, value: list[int]) -> list[int]:
            return list(value)

        def cumulate(self, current: list[int], new: list[int]) -> list[int]:
            current.extend(new)
            return current

    mine = [1]
    merger = Extending()
    merger.push(mine)
    merger.push([2])
    assert merger.merge() == [1, 2]
    assert mine == [1]


def test_a_dict_merger_keeps_the_last_value_of_a_key() -> None:
    merger: DictKeyValueMerger[str, int] = DictKeyValueMerger()
    merger.push("a", 1)
    merger.push("b", 2)
    before = merger.merge()
    merger.push("a", 3)
    assert merger.merge() == {"a": 3, "b": 2}
    assert before == {"a": 1, "b": 2}


def test_a_value_merger_wrapped_for_keys_ignores_them() -> None:
    merger = make_kv_merger(CumulativeAddingValueMerger())
    assert isinstance(merger, KeyAgnosticKeyValueMerger)
    merger.push("a", 1)
    merger.push("a", 2)
    assert merger.merge() == 3


def test_by_default_mergers_are_reusable_and_take_a_key_again() -> None:
    assert ListValueMerger[int]().disposable is False
    assert DictKeyValueMerger[str, int]().disposable is False
    assert DictKeyValueMerger[str, int]().allow_append is True


def test_a_wrapped_disposable_merger_is_disposable() -> None:
    class Disposable(ListValueMerger[int]):
        @property
        def disposable(self) -> bool:
            return True

    assert make_kv_merger(Disposable()).disposable is True


@pytest.mark.parametrize("abstract", [ValueMerger, KeyValueMerger, CumulativeValueMerger])
def test_the_contracts_cannot_be_instantiated(abstract: type) -> None:
    with pytest.raises(TypeError):
        abstract()

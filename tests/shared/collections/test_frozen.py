from __future__ import annotations

import copy
import pickle
import random
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.shared.collections.frozen import OrderedFrozenSet

members = st.lists(st.text(max_size=3))


@given(members)
def test_it_equals_and_hashes_like_the_plain_frozenset(items: list[str]) -> None:
    ordered = OrderedFrozenSet(items)
    assert ordered == frozenset(items)
    assert frozenset(items) == ordered
    assert hash(ordered) == hash(frozenset(items))
    assert {ordered: 1}[frozenset(items)] == 1  # type: ignore[index]  # a plain frozenset as the key
    assert ordered == OrderedFrozenSet(reversed(items))


@given(members)
def test_it_keeps_the_order_of_the_first_occurrences(items: list[str]) -> None:
    ordered = OrderedFrozenSet(items)
    expected = list(dict.fromkeys(items))
    assert list(ordered) == [ordered[i] for i in range(len(ordered))] == expected
    assert list(reversed(ordered)) == expected[::-1]
    assert [ordered.index(item) for item in expected] == list(range(len(expected)))
    assert tuple(expected[1:]) == ordered[1:]


@given(members, members)
def test_it_computes_like_a_set(left: list[str], right: list[str]) -> None:
    ordered, other = OrderedFrozenSet(left), set(right)
    assert ordered | other == set(left) | other
    assert ordered & other == set(left) & other
    assert ordered - other == set(left) - other
    assert ordered ^ other == set(left) ^ other
    assert (ordered <= other) == (set(left) <= other)
    assert other - ordered == other - set(left)


@given(members)
def test_copies_and_pickles_keep_the_order(items: list[str]) -> None:
    ordered = OrderedFrozenSet(items)
    for again in (pickle.loads(pickle.dumps(ordered)), copy.copy(ordered), copy.deepcopy(ordered)):
        assert isinstance(again, OrderedFrozenSet)
        assert list(again) == list(ordered)


def test_it_counts_a_member_once_and_a_stranger_never() -> None:
    ordered = OrderedFrozenSet("abca")
    assert (ordered.count("a"), ordered.count("z")) == (1, 0)
    with pytest.raises(ValueError, match="not in"):
        ordered.index("z")


def test_it_is_immutable() -> None:
    ordered = OrderedFrozenSet("abc")
    with pytest.raises(TypeError):
        ordered[0] = "z"  # type: ignore[index]
    assert not hasattr(ordered, "add")


@pytest.mark.filterwarnings("ignore:Sampling from a set:DeprecationWarning")  # Python 3.10 only
@given(st.lists(st.integers(), min_size=1), st.integers(), st.data())
def test_it_is_sampled_like_a_list_of_its_members(items: list[int], seed: int, data: st.DataObject) -> None:
    ordered = OrderedFrozenSet(items)
    k = data.draw(st.integers(0, len(ordered)))
    assert isinstance(ordered, Sequence)
    assert random.Random(seed).sample(ordered, k=k) == random.Random(seed).sample(list(ordered), k=k)
    assert random.Random(seed).choice(ordered) == random.Random(seed).choice(list(ordered))


def test_a_seeded_sample_is_the_same_in_every_process() -> None:
    program = (
        "import random, warnings\n"
        "from roleml.shared.collections.frozen import OrderedFrozenSet\n"
        "warnings.simplefilter('ignore')\n"
        "random.seed(7)\n"
        "print(random.sample(OrderedFrozenSet(f'client{i}' for i in range(50)), k=10))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.library.workload.datasets.samplers import (
    BUILTIN_SAMPLERS,
    RandomOneOffIndexSampler,
    RandomReplaceIndexSampler,
    SequentialCycleIndexSampler,
    SequentialOneOffIndexSampler,
)

sizes = st.integers(0, 40)
limits = st.integers(-3, 60)


@given(sizes)
def test_the_sequential_sampler_gives_every_index_once_in_order(size: int) -> None:
    sampler = SequentialOneOffIndexSampler(range(size))
    assert list(sampler) == list(range(size)) == list(sampler)


@given(st.integers(1, 10), st.integers(0, 50))
def test_the_cycling_sampler_starts_over_for_ever(size: int, count: int) -> None:
    sampler = SequentialCycleIndexSampler(range(size))
    assert list(islice(sampler, count)) == [i % size for i in range(count)]


@given(sizes, limits, st.integers(0, 2**63))
def test_the_one_off_sampler_draws_different_indices(size: int, limit: int, seed: int) -> None:
    drawn = list(RandomOneOffIndexSampler(range(size), limit, seed=seed))
    assert len(drawn) == (limit if 0 < limit < size else size)
    assert max(Counter(drawn).values(), default=1) == 1
    assert set(drawn) <= set(range(size))


@given(sizes, limits)
def test_the_replacing_sampler_draws_as_many_as_its_limit(size: int, limit: int) -> None:
    drawn = list(RandomReplaceIndexSampler(range(size), limit))
    assert len(drawn) == ((limit if limit > 0 else size) if size else 0)
    assert set(drawn) <= set(range(size))


@pytest.mark.parametrize("alias", BUILTIN_SAMPLERS)
def test_a_pass_over_an_empty_dataset_ends_at_once(alias: str) -> None:
    assert list(BUILTIN_SAMPLERS[alias]([])) == []


def test_each_pass_of_a_random_sampler_has_a_fresh_order() -> None:
    sampler = RandomOneOffIndexSampler(range(50), seed=1)
    assert list(sampler) != list(sampler)


def test_random_samplers_draw_from_the_random_module_unless_given_a_seed() -> None:
    random.seed(5)
    first = list(RandomOneOffIndexSampler(range(50)))
    random.seed(5)
    assert list(RandomOneOffIndexSampler(range(50))) == first
    seeded = list(RandomReplaceIndexSampler(range(50), seed=7))
    assert list(RandomReplaceIndexSampler(range(50), seed=7)) == seeded

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.library.workload.datasets.partition import (
    check_share,
    count_labels,
    describe_labels,
    split_by_shards,
    split_dirichlet,
    split_evenly,
)

labels_and_parts = st.lists(st.integers(0, 5), min_size=1, max_size=80).flatmap(
    lambda labels: st.tuples(st.just(labels), st.integers(1, len(labels)))
)
seeds = st.integers(0, 2**63)


def assert_partition(split: list[Any], size: int, parts: int) -> None:
    assert len(split) == parts
    assert all(len(part) for part in split)
    assert sorted(np.concatenate(split).tolist()) == list(range(size))


@given(labels_and_parts, seeds)
def test_even_parts_differ_by_at_most_one_sample(given_: tuple[list[int], int], seed: int) -> None:
    labels, parts = given_
    split = split_evenly(len(labels), parts, seed=seed)
    assert_partition(split, len(labels), parts)
    assert max(map(len, split)) - min(map(len, split)) <= 1


@given(labels_and_parts, seeds, st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 100.0]))
def test_dirichlet_parts_are_a_partition_for_any_alpha(
    given_: tuple[list[int], int], seed: int, alpha: float
) -> None:
    labels, parts = given_
    assert_partition(split_dirichlet(labels, parts, alpha=alpha, seed=seed), len(labels), parts)


@given(labels_and_parts, seeds)
def test_shards_are_a_partition(given_: tuple[list[int], int], seed: int) -> None:
    labels, parts = given_
    parts = max(1, parts // 3)
    shards = min(3, len(labels) // parts)
    split = split_by_shards(labels, parts, shards_per_part=shards, seed=seed)
    assert_partition(split, len(labels), parts)


def test_two_shards_leave_most_parts_with_two_labels() -> None:
    labels = np.repeat(np.arange(10), 40)
    for part in split_by_shards(labels, 10, shards_per_part=2):
        assert len(part) == 40
        assert len(count_labels(labels[part])) <= 2


def test_a_small_alpha_skews_labels_more_than_a_large_one() -> None:
    labels = np.repeat(np.arange(10), 100)

    def largest_share(alpha: float) -> float:
        split = split_dirichlet(labels, 5, alpha=alpha, seed=3)
        return float(np.mean([max(count_labels(labels[part]).values()) / len(part) for part in split]))

    assert largest_share(0.1) > 0.3 > largest_share(1000.0)


def test_the_seed_alone_decides_the_parts() -> None:
    labels = np.arange(60) % 7
    for split in (
        lambda seed: split_evenly(60, 4, seed=seed),
        lambda seed: split_by_shards(labels, 4, seed=seed),
        lambda seed: split_dirichlet(labels, 4, alpha=0.5, seed=seed),
    ):
        first, again, other = split(1), split(1), split(2)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_parts_of_a_seed_stay_the_same_in_later_versions() -> None:
    assert [part.tolist() for part in split_evenly(8, 3, seed=2**40)] == [[1, 2, 5], [3, 6, 7], [0, 4]]
    skewed = split_dirichlet([0, 0, 0, 0, 1, 1, 1, 1], 2, alpha=0.5, seed=1)
    assert [part.tolist() for part in skewed] == [[3], [0, 1, 2, 4, 5, 6, 7]]


@pytest.mark.parametrize("parts", [0, 6])
def test_more_parts_than_samples_are_refused(parts: int) -> None:
    with pytest.raises(ValueError, match="cannot cut 5 samples"):
        split_evenly(5, parts)


def test_alpha_must_be_positive() -> None:
    with pytest.raises(ValueError, match="alpha"):
        split_dirichlet([0, 1], 1, alpha=0.0)


def test_more_shards_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="shards"):
        split_by_shards([0, 1, 2], 2, shards_per_part=2)


def test_labels_are_counted_and_described() -> None:
    assert count_labels([3, 1, 3]) == {1: 1, 3: 2}
    assert describe_labels([3, 1, 3]) == "3 samples: 1 x1, 3 x2"
    assert describe_labels([]) == "no samples"


def test_alpha_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite, not inf: for even parts use split_evenly"):
        split_dirichlet([0, 1, 1], 2, alpha=float("inf"))


def test_labels_of_another_shape_are_refused() -> None:
    for split in (
        lambda y: split_dirichlet(y, 2, alpha=1),
        lambda y: split_by_shards(y, 2, shards_per_part=1),
    ):
        with pytest.raises(
            ValueError, match=r"labels have the shape \(n,\), one for each sample, not \(4, 4\)"
        ):
            split(np.eye(4))


@pytest.mark.parametrize(("client", "clients"), [("0", 5), (0, 5.0), (0, "5")])
def test_clients_are_counted_in_whole_numbers(client: Any, clients: Any) -> None:
    with pytest.raises(TypeError, match=r"clients? is a whole number, not"):
        check_share(client, clients, None)
    check_share(np.int64(4), np.int64(5), 0.5)

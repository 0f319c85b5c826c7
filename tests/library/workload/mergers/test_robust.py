"""Robust mergers, against their definitions written down in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from roleml.library.workload.util.collections.merger.robust import (
    CoordinateMedian,
    Krum,
    MultiKrum,
    TrimmedMean,
)

Make = Callable[[], Any]


def models(n: int = 9, seed: int = 0) -> list[dict[str, Any]]:
    draws = np.random.default_rng(seed)
    return [{"w": draws.normal(size=(3, 2)), "b": draws.normal(size=4)} for _ in range(n)]


def merged(merger: Any, values: list[dict[str, Any]]) -> dict[str, Any]:
    for value in values:
        merger.push(value)
    result: dict[str, Any] = merger.merge()
    return result


def flat(model: dict[str, Any]) -> Any:
    return np.concatenate([model["w"].ravel(), model["b"].ravel()])


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_median_is_that_of_each_parameter(n: int) -> None:
    values = models(n)
    result = merged(CoordinateMedian(), values)
    for name in ("w", "b"):
        np.testing.assert_allclose(result[name], np.median([each[name] for each in values], axis=0))


@pytest.mark.parametrize(
    ("n", "beta", "cut"), [(9, 0.1, 0), (10, 0.1, 1), (9, 0.3, 2), (3, 0.49, 1), (5, 0.0, 0)]
)
def test_the_trimmed_mean_leaves_out_a_share_at_both_ends(n: int, beta: float, cut: int) -> None:
    values = models(n)
    result = merged(TrimmedMean(beta), values)
    for name in ("w", "b"):
        ordered = np.sort(np.stack([each[name] for each in values]), axis=0)
        np.testing.assert_allclose(result[name], ordered[cut : n - cut].mean(axis=0))


@pytest.mark.parametrize("beta", [-0.1, 0.5, 1.0])
def test_nothing_would_be_left_of_half_of_them(beta: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below"):
        TrimmedMean(beta)


def scores(values: list[dict[str, Any]], f: int) -> list[float]:
    result = []
    for i, one in enumerate(values):
        others = [np.sum((flat(one) - flat(other)) ** 2) for j, other in enumerate(values) if j != i]
        result.append(sum(sorted(others)[: len(values) - f - 2]))
    return result


@pytest.mark.parametrize("f", [0, 1, 2])
def test_krum_takes_the_model_with_the_lowest_score(f: int) -> None:
    values = models(9)
    result = merged(Krum(f), values)
    best = values[int(np.argmin(scores(values, f)))]
    for name in ("w", "b"):
        np.testing.assert_array_equal(result[name], best[name])


@pytest.mark.parametrize("m", [1, 3, 7])
def test_multi_krum_averages_the_best(m: int) -> None:
    values = models(9)
    result = merged(MultiKrum(2, m), values)
    chosen = [values[i] for i in np.argsort(scores(values, 2))[:m]]
    for name in ("w", "b"):
        np.testing.assert_allclose(result[name], np.mean([each[name] for each in chosen], axis=0))


@pytest.mark.parametrize(
    ("f", "m", "n", "complaint"),
    [
        (2, 1, 6, "to bear 2 of them, Krum needs 7 models; there are 6"),
        (2, 8, 9, "m is 8, but only 7 of 9 models are sure to be good"),
    ],
)
def test_krum_needs_enough_models(f: int, m: int, n: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        merged(MultiKrum(f, m), models(n))
    with pytest.raises(ValueError, match="f is at least 0 and m at least 1"):
        MultiKrum(-1)


ALL: list[Make] = [CoordinateMedian, lambda: TrimmedMean(0.25), lambda: Krum(2), lambda: MultiKrum(2, 4)]


@pytest.mark.parametrize("make", ALL)
def test_two_liars_of_nine_do_not_matter_much(make: Make) -> None:
    honest = models(7)
    liars = [{"w": np.full((3, 2), 1e6), "b": np.full(4, -1e6)} for _ in range(2)]
    result = merged(make(), [*honest, *liars])
    low, high = (bound([flat(each) for each in honest], axis=0) for bound in (np.min, np.max))
    assert np.all(flat(result) >= low - 1e-9)
    assert np.all(flat(result) <= high + 1e-9)


@pytest.mark.parametrize("make", ALL)
def test_the_order_of_arrival_does_not_matter(make: Make) -> None:
    values = models(7)
    expected = merged(make(), values)
    for order in itertools.islice(itertools.permutations(range(7)), 0, 5040, 997):
        result = merged(make(), [values[i] for i in order])
        for name in expected:
            np.testing.assert_allclose(result[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize("make", ALL)
def test_what_is_pushed_stays_as_it_is_and_may_change_later(make: Make) -> None:
    values = models(9)
    copies = [{name: each.copy() for name, each in value.items()} for value in values]
    merger = make()
    for value in values:
        merger.push(value)
    for value, copy in zip(values, copies, strict=True):
        for name in value:
            np.testing.assert_array_equal(value[name], copy[name])
            value[name] *= 0
    for name, expected in merged(make(), copies).items():
        np.testing.assert_array_equal(merger.merge()[name], expected)


@pytest.mark.parametrize("make", ALL)
def test_torch_state_dicts_keep_their_type(make: Make) -> None:
    values = models(9)
    states = [
        {name: torch.tensor(each, dtype=torch.float32) for name, each in value.items()} for value in values
    ]
    result, expected = merged(make(), states), merged(make(), values)
    assert result["w"].dtype == torch.float32
    np.testing.assert_allclose(result["w"].numpy(), expected["w"], rtol=1e-5)


@pytest.mark.parametrize("make", ALL)
def test_models_must_fit_together(make: Make) -> None:
    merger = make()
    assert merger.merge() == {}
    merger.push({"w": np.zeros(3)})
    with pytest.raises(ValueError, match=r"'w'.*\(4,\).*\(3,\)"):
        merger.push({"w": np.zeros(4)})
    with pytest.raises(KeyError, match="'w' is missing"):
        merger.push({"v": np.zeros(3)})


@pytest.mark.parametrize(
    "make", [CoordinateMedian, lambda: TrimmedMean(0.3), lambda: Krum(2), lambda: MultiKrum(2, 3)]
)
@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf, 1e300])
def test_two_of_nine_that_send_no_numbers_do_not_matter(make: Make, lie: float) -> None:
    values = models(7)
    liars = [{name: np.full_like(array, lie) for name, array in values[0].items()} for _ in range(2)]
    result = merged(make(), [liars[0], *values, liars[1]])
    for name, array in result.items():
        honest = np.stack([each[name] for each in values])
        assert (honest.min(axis=0) <= array).all()
        assert (array <= honest.max(axis=0)).all()


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot merge a NoneType"):
        CoordinateMedian().push(None)  # type: ignore[arg-type]

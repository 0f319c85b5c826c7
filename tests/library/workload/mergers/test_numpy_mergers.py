from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from roleml.library.workload.util.collections.merger.base import DefaultWeightedMerger
from roleml.library.workload.util.collections.merger.exact import BLOCK, ArraySum
from roleml.library.workload.util.collections.merger.numpy import (
    ArrayDictAverager,
    WeightedArrayDictAverager,
)
from roleml.shared.collections.merger import KeyValueMerger, ValueMerger

Model = dict[str, Any]


def models(count: int, dtype: Any = np.float32) -> list[Model]:
    generator = np.random.default_rng(0)
    return [
        {"w": generator.normal(size=(3, 4)).astype(dtype), "b": generator.normal(size=4).astype(dtype)}
        for _ in range(count)
    ]


def averager(values: list[Model]) -> ArrayDictAverager:
    merger = ArrayDictAverager()
    for value in values:
        merger.push(value)
    return merger


def weighted(pairs: list[tuple[str, Model]], weights: dict[str, float]) -> WeightedArrayDictAverager[str]:
    merger = WeightedArrayDictAverager(weights)
    for key, value in pairs:
        merger.push(key, value)
    return merger


def assert_identical(a: Model, b: Model) -> None:
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].shape == b[name].shape
        assert a[name].tobytes() == b[name].tobytes()


def test_the_average_is_that_of_numpy() -> None:
    values = models(5)
    merged = averager(values).merge()
    for name in ("w", "b"):
        expected = np.mean([value[name].astype(np.float64) for value in values], axis=0)
        np.testing.assert_allclose(merged[name], expected, rtol=1e-6)
        assert merged[name].dtype == np.float32


def test_the_weighted_average_is_that_of_numpy_over_the_keys_that_arrived() -> None:
    values = models(3, np.float64)
    weights = {"a": 10, "b": 1, "c": 5, "absent": 1000}
    merged = weighted(list(zip("abc", values, strict=True)), weights).merge()
    for name in ("w", "b"):
        expected = np.average([value[name] for value in values], axis=0, weights=[10, 1, 5])
        np.testing.assert_allclose(merged[name], expected, rtol=1e-14)


# values of one element within a factor of 2**30, which is what the sum promises to be exact for
terms = st.one_of(st.just(0.0), st.floats(1e-4, 1e4), st.floats(-1e4, -1e-4))


@given(st.lists(arrays.arrays(np.float64, 5, elements=terms), min_size=1, max_size=12), st.randoms())
def test_the_average_does_not_depend_on_the_order_of_arrival(values: list[Any], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    assert_identical(
        averager([{"x": v} for v in values]).merge(), averager([{"x": v} for v in shuffled]).merge()
    )


@given(
    st.lists(
        st.tuples(
            arrays.arrays(np.float32, 5, elements=st.floats(-1, 1, width=32, allow_subnormal=False)),
            st.integers(1, 10**6),
        ),
        min_size=1,
        max_size=10,
    ),
    st.randoms(),
)
def test_the_weighted_average_does_not_depend_on_the_order_of_arrival(
    values: list[tuple[Any, int]], random: Any
) -> None:
    weights = {str(i): float(weight) for i, (_, weight) in enumerate(values)}
    pairs = [(str(i), {"x": value}) for i, (value, _) in enumerate(values)]
    shuffled = random.sample(pairs, len(pairs))
    assert_identical(weighted(pairs, weights).merge(), weighted(shuffled, weights).merge())


@given(st.lists(terms, min_size=1, max_size=30))
def test_the_sum_is_the_exact_one_rounded_once(values: list[float]) -> None:
    total = ArraySum(())
    for value in values:
        total.add(np.asarray(value))
    assert float(total.value()) == float(sum(map(Fraction, values), Fraction(0))) == math.fsum(values)


def test_a_plain_sum_would_depend_on_the_order() -> None:
    """The reason for all this: if it ever fails, `exact` can go."""
    values = [np.float64(1.0), np.float64(1e-16), np.float64(1e-16)]
    assert reduce(operator.add, values) != reduce(operator.add, reversed(values))  # sum() compensates for it


def test_sums_longer_than_a_block_are_complete() -> None:
    value = np.arange(2 * BLOCK + 3, dtype=np.float32)
    total = ArraySum(value.shape)
    total.add(value)
    total.add(value, weight=2.0)
    assert np.array_equal(total.value(divisor=3.0), value)


def test_pushed_values_are_not_modified_and_not_kept() -> None:
    values = models(2)
    copies = [{name: array.copy() for name, array in value.items()} for value in values]
    merger = averager(values)
    first = merger.merge()
    for value, copy in zip(values, copies, strict=True):
        assert_identical(value, copy)
    values[0]["w"] += 100
    first["w"] += 100
    assert_identical(merger.merge(), averager(copies).merge())


@pytest.mark.parametrize(
    "make",
    [
        lambda: averager(models(3)),
        lambda: weighted(list(zip("ab", models(2), strict=True)), {"a": 2.0, "b": 3.0}),
    ],
)
def test_merging_twice_gives_the_same(make: Callable[[], Any]) -> None:
    merger = make()
    assert_identical(merger.merge(), merger.merge())
    assert not merger.disposable


def test_more_can_be_pushed_after_merging() -> None:
    values = models(3)
    merger = averager(values[:2])
    merger.merge()
    merger.push(values[2])
    assert_identical(merger.merge(), averager(values).merge())


def test_nothing_pushed_gives_an_empty_dict() -> None:
    assert ArrayDictAverager().merge() == {}
    assert WeightedArrayDictAverager({"a": 1.0}).merge() == {}


def test_integers_are_averaged_as_floats() -> None:
    merged = averager([{"n": np.array([1, 2])}, {"n": np.array([2, 4])}]).merge()
    assert merged["n"].tolist() == [1.5, 3.0]
    assert merged["n"].dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_type(dtype: Any) -> None:
    assert averager(models(2, dtype)).merge()["w"].dtype == dtype


def test_many_half_precision_values_do_not_overflow() -> None:
    value = {"x": np.full(3, 60000, dtype=np.float16)}
    assert np.array_equal(averager([value] * 10).merge()["x"], value["x"])


def test_scalars_and_non_contiguous_arrays_are_accepted() -> None:
    value = {"s": np.float64(2.0), "t": np.arange(6.0).reshape(2, 3).T}
    merged = averager([value, value]).merge()
    assert merged["s"].shape == ()
    assert np.array_equal(merged["t"], value["t"])


def test_infinities_and_nan_pass_through() -> None:
    merged = averager([{"x": np.array([np.inf, np.nan, 1.0])}, {"x": np.array([1.0, 1.0, 1.0])}]).merge()
    assert merged["x"][0] == np.inf
    assert np.isnan(merged["x"][1])
    assert merged["x"][2] == 1.0


def test_the_first_value_decides_the_keys() -> None:
    merger = averager([{"a": np.ones(2)}])
    merger.push({"a": np.ones(2), "b": np.ones(3)})
    assert list(merger.merge()) == ["a"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"w": np.ones(4)}, KeyError),
        ({"w": np.ones((3, 4)), "b": np.ones(5)}, ValueError),
        ({"w": np.ones((3, 4)), "b": np.array(["?"] * 4)}, TypeError),
    ],
)
def test_a_value_that_does_not_fit_is_refused_as_a_whole(value: Model, error: type[Exception]) -> None:
    good = models(1)
    merger = averager(good)
    with pytest.raises(error):
        merger.push(value)
    assert_identical(merger.merge(), averager(good).merge())


def test_a_key_without_weight_is_refused() -> None:
    for merger in (WeightedArrayDictAverager({"a": 1.0}), DefaultWeightedMerger({"a": 1.0})):
        with pytest.raises(KeyError, match="no weight was given for b"):
            merger.push("b", models(1)[0])
        assert merger.merge() == {}
        assert not merger.allow_append


def test_weights_that_add_up_to_nothing_are_an_error() -> None:
    with pytest.raises(ZeroDivisionError, match="add up to 0"):
        weighted([("a", models(1)[0])], {"a": 0.0}).merge()


def test_the_default_weighted_merger_collects() -> None:
    merger = DefaultWeightedMerger({"a": 1, "b": 2})
    merger.push("b", "model")
    assert merger.merge() == {"b": "model"}


def test_the_averager_takes_values_and_the_weighted_one_pairs() -> None:
    assert isinstance(ArrayDictAverager(), ValueMerger)
    assert isinstance(WeightedArrayDictAverager({}), KeyValueMerger)


@pytest.mark.parametrize(
    ("weight", "error", "complaint"),
    [
        (math.nan, ValueError, "the weight of 2 is nan"),
        (math.inf, ValueError, "the weight of 2 is inf"),
        (None, TypeError, "the weight of 2 is no number, but None"),
    ],
)
def test_a_weight_that_is_no_number_is_refused_with_its_key(
    weight: Any, error: type[Exception], complaint: str
) -> None:
    merger: Any = WeightedArrayDictAverager({1: 3, 2: weight})
    merger.push(1, {"a": np.ones(2)})
    with pytest.raises(error, match=complaint):
        merger.push(2, {"a": np.zeros(2)})
    assert merger.merge()["a"].tolist() == [1, 1]


@pytest.mark.parametrize("nothing", [None, [np.ones(2)], 3])
def test_what_is_no_model_is_refused(nothing: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot merge a \w+: a model is a dict of names to arrays"):
        ArrayDictAverager().push(nothing)

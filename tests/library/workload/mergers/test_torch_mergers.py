from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from roleml.library.workload.util.collections.merger.torch import (
    TorchStateDictAverager,
    TorchStateDictCumulator,
    WeightedTorchStateDictAverager,
)
from roleml.shared.collections.merger import CumulativeValueMerger, KeyValueMerger, ValueMerger


def states(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {"w": torch.randn(3, 4, generator=generator), "n": torch.tensor(i, dtype=torch.int64)}
        for i in range(count)
    ]


def numpy_of(values: list[dict[str, torch.Tensor]], name: str) -> list[Any]:
    return [value[name].double().numpy() for value in values]


def test_the_average_is_that_of_numpy() -> None:
    values = states(4)
    merger = TorchStateDictAverager()
    for value in values:
        merger.push(value)
    merged = merger.merge()
    np.testing.assert_allclose(merged["w"].numpy(), np.mean(numpy_of(values, "w"), axis=0), rtol=1e-6)
    assert merged["w"].dtype == torch.float32
    assert float(merged["n"]) == 1.5
    assert merged["n"].dtype == torch.float64


def test_the_weighted_average_is_that_of_numpy_over_the_keys_that_arrived() -> None:
    values = states(2)
    merger = WeightedTorchStateDictAverager({"a": 3, "b": 1, "absent": 100})
    merger.push("a", values[0])
    merger.push("b", values[1])
    expected = np.average(numpy_of(values, "w"), axis=0, weights=[3, 1])
    for _ in range(2):
        np.testing.assert_allclose(merger.merge()["w"].numpy(), expected, rtol=1e-6)
    with pytest.raises(KeyError):
        merger.push("c", values[0])


def test_the_cumulator_adds_element_by_element() -> None:
    values = states(3)
    merger = TorchStateDictCumulator()
    assert merger.merge() is None
    for value in values:
        merger.push(value)
    merged = merger.merge()
    assert merged is not None
    np.testing.assert_allclose(merged["w"].numpy(), np.sum(numpy_of(values, "w"), axis=0), rtol=1e-6)
    pair = merger.cumulate(values[0], values[1])
    assert torch.equal(pair["w"], values[0]["w"] + values[1]["w"])


def test_the_merged_value_does_not_depend_on_the_order_of_arrival() -> None:
    results = []
    for order in itertools.permutations(enumerate(states(4))):
        averager, weighted = (
            TorchStateDictAverager(),
            WeightedTorchStateDictAverager({i: i + 1 for i in range(4)}),
        )
        for key, value in order:
            averager.push(value)
            weighted.push(key, value)
        results.append((averager.merge()["w"], weighted.merge()["w"]))
    assert all(torch.equal(a, results[0][0]) and torch.equal(w, results[0][1]) for a, w in results)


@pytest.mark.parametrize("merger", [TorchStateDictAverager(), TorchStateDictCumulator()])
def test_pushed_values_are_not_modified_and_not_kept(merger: Any) -> None:
    first, second = states(2)
    copy = first["w"].clone()
    merger.push(first)
    merger.push(second)
    assert torch.equal(first["w"], copy)
    merged = merger.merge()["w"].clone()
    first["w"] += 100
    merger.merge()["w"].add_(100)
    assert torch.equal(merger.merge()["w"], merged)


def test_the_live_parameters_of_a_module_can_be_pushed_and_the_average_loaded() -> None:
    modules = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2)]
    for steps, module in enumerate(modules, start=2):
        for _ in range(steps):
            module(torch.randn(4, 2))
    merger = TorchStateDictAverager()
    for module in modules:
        merger.push(module.state_dict(keep_vars=True))
    modules[0].load_state_dict(merger.merge())
    assert int(modules[0][1].num_batches_tracked) == 2
    assert modules[0][1].num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_floats_of_any_width_keep_their_type(dtype: torch.dtype) -> None:
    merger = TorchStateDictAverager()
    merger.push({"x": torch.ones(2, dtype=dtype)})
    merger.push({"x": torch.full((2,), 2, dtype=dtype)})
    assert merger.merge()["x"].dtype == dtype
    assert merger.merge()["x"].tolist() == [1.5, 1.5]


def test_nothing_pushed_gives_an_empty_dict() -> None:
    assert TorchStateDictAverager().merge() == {}
    assert WeightedTorchStateDictAverager({"a": 1}).merge() == {}


def test_the_averager_takes_values_and_the_weighted_one_pairs() -> None:
    assert isinstance(TorchStateDictAverager(), ValueMerger)
    assert not isinstance(TorchStateDictAverager(), KeyValueMerger)
    assert isinstance(WeightedTorchStateDictAverager({}), KeyValueMerger)
    assert isinstance(TorchStateDictCumulator(), CumulativeValueMerger)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_the_narrowest_floats_are_averaged(dtype: torch.dtype) -> None:
    merger = TorchStateDictAverager()
    for value in (1.0, 3.0):
        merger.push({"a": torch.tensor([value]).to(dtype)})
    merged = merger.merge()["a"]
    assert (merged.dtype, merged.float().tolist()) == (dtype, [2.0])


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": np.ones(2)}, "cannot merge 'a': it is a ndarray, not a tensor"),
        ({"a": torch.eye(2).to_sparse()}, "cannot merge 'a': it is a torch.sparse_coo, not a dense tensor"),
        (None, "cannot merge a NoneType"),
    ],
)
def test_what_is_no_state_dict_is_refused(value: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        TorchStateDictAverager().push(value)

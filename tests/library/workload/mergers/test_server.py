"""The server's optimisers, against their formulas written down in NumPy."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import roleml.essentials as rml
from roleml.core.builders.element import load_element_impl_spec
from roleml.library.workload.util.collections.merger.server import (
    FedAdagrad,
    FedAdam,
    FedAvgM,
    FedYogi,
    ServerOptimizer,
)
from tests.actors import Actors

ROUNDS, CLIENTS = 6, 4
Arrays = dict[str, Any]


def models(round_number: int) -> list[Arrays]:
    draws = np.random.default_rng(round_number)
    return [{"w": draws.normal(size=(3, 2)), "b": draws.normal(size=4)} for _ in range(CLIENTS)]


def mean_of(values: list[Arrays], weights: list[float] | None = None) -> Arrays:
    return {name: np.average([each[name] for each in values], axis=0, weights=weights) for name in values[0]}


def carry_out(optimizer: ServerOptimizer, rounds: range = range(ROUNDS), weights: Any = None) -> list[Arrays]:
    results = []
    for t in rounds:
        merger = optimizer(weights)
        for client, model in enumerate(models(t)):
            merger.push(client, model)
        results.append(merger.merge())
    return results


def adaptive(v_next: Callable[[Any, Any], Any], lr: float, beta1: float, tau: float) -> list[Arrays]:
    """Algorithm 2 of Reddi et al., from the second round on."""
    results = [mean_of(models(0))]
    x = results[0]
    m = {name: np.zeros_like(value) for name, value in x.items()}
    v = {name: np.full_like(value, tau**2) for name, value in x.items()}
    for t in range(1, ROUNDS):
        mean = mean_of(models(t))
        for name in x:
            delta = np.mean([each[name] - x[name] for each in models(t)], axis=0)
            np.testing.assert_allclose(delta, mean[name] - x[name])
            m[name] = beta1 * m[name] + (1 - beta1) * delta
            v[name] = v_next(v[name], delta)
        x = {name: x[name] + lr * m[name] / (np.sqrt(v[name]) + tau) for name in x}
        results.append(x)
    return results


def assert_same(ours: list[Arrays], theirs: list[Arrays]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        for name in other:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "v_next", "beta1"),
    [
        (FedAdagrad(0.3, tau=0.01), lambda v, d: v + d**2, 0.0),
        (FedYogi(0.3, 0.8, 0.9, 0.01), lambda v, d: v - 0.1 * d**2 * np.sign(v - d**2), 0.8),
        (FedAdam(0.3, 0.8, 0.9, 0.01), lambda v, d: 0.9 * v + 0.1 * d**2, 0.8),
    ],
)
def test_adaptive_optimisers_do_what_the_paper_says(
    optimizer: ServerOptimizer, v_next: Callable[[Any, Any], Any], beta1: float
) -> None:
    assert_same(carry_out(optimizer), adaptive(v_next, 0.3, beta1, 0.01))


def test_fedavgm_does_what_the_paper_says() -> None:
    x = mean_of(models(0))
    expected, m = [x], {name: np.zeros_like(value) for name, value in x.items()}
    for t in range(1, ROUNDS):
        m = {name: 0.7 * m[name] + mean_of(models(t))[name] - x[name] for name in x}
        x = {name: x[name] + 0.5 * m[name] for name in x}
        expected.append(x)
    assert_same(carry_out(FedAvgM(lr=0.5, momentum=0.7)), expected)


def test_without_momentum_it_is_fedavg() -> None:
    assert_same(carry_out(FedAvgM(1.0, 0.0)), [mean_of(models(t)) for t in range(ROUNDS)])


def test_clients_may_have_weights() -> None:
    weights = {0: 1, 1: 2, 2: 3, 3: 10}
    expected = [mean_of(models(t), list(weights.values())) for t in range(ROUNDS)]
    assert_same(carry_out(FedAvgM(1.0, 0.0), weights=weights), expected)
    merger = FedAdam()({"a": 1.0})
    with pytest.raises(KeyError, match="no weight was given for b"):
        merger.push("b", models(0)[0])
    assert not merger.allow_append


@pytest.mark.parametrize("make", [FedAvgM, FedAdagrad, FedYogi, FedAdam])
def test_the_order_of_arrival_does_not_matter_and_nothing_pushed_is_modified(
    make: Callable[[], ServerOptimizer],
) -> None:
    one, other = make(), make()
    for t in range(3):
        values = models(t)
        copies = [{name: each.copy() for name, each in value.items()} for value in values]
        first, second = one(), other()
        for client in range(CLIENTS):
            first.push(client, values[client])
        for client in reversed(range(CLIENTS)):
            second.push(client, values[client])
        for name in values[0]:
            np.testing.assert_array_equal(first.merge()[name], second.merge()[name])
            for value, copy in zip(values, copies, strict=True):
                np.testing.assert_array_equal(value[name], copy[name])


def test_a_round_is_one_step_however_often_it_is_merged() -> None:
    optimizer = FedAvgM()
    carry_out(optimizer, range(2))
    merger = optimizer()
    for client, model in enumerate(models(2)):
        merger.push(client, model)
    first = merger.merge()
    assert_same([merger.merge()], [first])
    with pytest.raises(RuntimeError, match="belongs to the next"):
        merger.push(9, models(2)[0])


def test_a_round_without_models_changes_nothing() -> None:
    optimizer, undisturbed = FedAdam(), FedAdam()
    carry_out(optimizer, range(2))
    assert optimizer().merge() == {}
    assert_same(carry_out(optimizer, range(2, 4)), carry_out(undisturbed)[2:4])


def test_it_goes_on_from_what_was_written() -> None:
    whole, part, rest = FedYogi(), FedYogi(), FedYogi()
    carry_out(part, range(3))
    file = io.BytesIO()
    part.serialize(file)
    file.seek(0)
    rest.deserialize(file)
    assert_same(carry_out(rest, range(3, ROUNDS)), carry_out(whole)[3:])


def test_torch_state_dicts_keep_their_types() -> None:
    optimizer = FedAdam()
    for t in range(3):
        merger = optimizer()
        for client, model in enumerate(models(t)):
            state = {name: torch.tensor(value, dtype=torch.float32) for name, value in model.items()}
            merger.push(client, {**state, "seen": torch.tensor(10 * client)})
        merged = merger.merge()
    assert merged["w"].dtype == torch.float32
    assert float(merged["seen"]) == 15.0
    expected = adaptive(lambda v, d: 0.99 * v + 0.01 * d**2, 0.1, 0.9, 1e-3)[2]
    np.testing.assert_allclose(merged["w"].numpy(), expected["w"], rtol=1e-4)


def test_memory_does_not_grow_with_the_number_of_clients() -> None:
    import tracemalloc

    model = {"w": np.zeros(200_000)}

    def peak(clients: int) -> int:
        merger = FedAdam()()
        tracemalloc.start()
        try:
            for client in range(clients):
                merger.push(client, {"w": model["w"] + client})
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(40) < 1.5 * peak(4)


def test_models_that_do_not_fit_are_refused() -> None:
    merger = FedAdam()()
    merger.push("a", {"w": np.zeros(3)})
    with pytest.raises(ValueError, match=r"'w'.*\(4,\).*\(3,\)"):
        merger.push("b", {"w": np.zeros(4)})


class Holder(rml.Role):
    merger: rml.Factory[Any] = rml.Factory(object)


def test_a_configuration_makes_it_once_for_all_rounds() -> None:
    kind = "roleml.library.workload.util.collections.merger.server.FedAdam"
    spec = load_element_impl_spec({"constructor": {"type": kind, "options": {"lr": 0.3}}})
    actors, holder = Actors(), Holder()
    try:
        actors.make("a", {"holder": holder}).implement_element("holder", "merger", spec)
        first, second = holder.merger(), holder.merger({"x": 1.0})
        assert first._optimizer is second._optimizer
        assert first._optimizer.lr == 0.3
    finally:
        actors.stop()

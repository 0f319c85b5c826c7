from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import roleml.essentials as rml
from roleml.core.role.elements import ElementImplementation
from roleml.library.roles.federated.aggregator import CollectiveAggregator, WeightedCollectiveAggregator
from roleml.library.roles.federated.configurator import ClientConfigurator, WarmUpClientConfigurator
from roleml.library.roles.federated.coordinator import FLCoordinator
from roleml.library.roles.federated.selector import ClientSelector
from roleml.library.roles.trainer.epoch import EpochTrainer
from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.datasets.zoo.image.digits import DigitsDataset, combine
from roleml.library.workload.models.templates.sklearn import MLPClassifierModel
from roleml.library.workload.util.collections.merger.numpy import (
    ArrayDictAverager,
    WeightedArrayDictAverager,
)

from .conftest import Caller

Host = Callable[..., rml.Actor]

# ids that need not exist
CLIENTS = [rml.RoleInstanceID(f"client{i}", "trainer") for i in range(10)]


class Source(rml.Role):
    """A client whose training gives what it was made with, or fails."""

    def __init__(self, value: Any, size: int = 1) -> None:
        super().__init__()
        self.value = value
        self.size = size

    @rml.Service(expand=True)
    def get_data_size(self, _: Any) -> int:
        return self.size

    @rml.Task(expand=True)
    def train(self, _: Any, factor: int = 1) -> Any:
        if self.value is None:
            raise ValueError("out of memory")
        return {"x": self.value * factor}

    @rml.Task(expand=True)
    def estimate(self, _: Any) -> Any:
        return {"x": np.zeros(1)}


@pytest.fixture
def server(host: Host) -> Callable[..., Caller]:
    def start(role: Any, sources: dict[str, rml.Role] | None = None, **options: Any) -> Caller:
        for name, source in (sources or {}).items():
            host(name, {"trainer": source})
        caller = Caller()
        host("server", {"role": role, "caller": caller}, **options)
        return caller

    return start


def sources_of(*names: str, **options: Any) -> dict[str, Any]:
    return {"sources_and_options": {rml.RoleInstanceID(name, "trainer"): dict(options) for name in names}}


def select(caller: Caller, **options: Any) -> list[rml.RoleInstanceID]:
    return caller.call("role", "select-client", options)


def factory(cls: type) -> ElementImplementation:
    return ElementImplementation(cls=cls)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1),
        ({"count": 4}, 4),
        ({"ratio": 0.5}, 5),
        ({"ratio": 0.0, "count": 3}, 3),
        ({"ratio": 0.5, "count": 3}, 5),
    ],
)
def test_the_ratio_goes_before_the_count(
    server: Callable[..., Caller], options: dict[str, Any], expected: int
) -> None:
    chosen = select(server(ClientSelector(), relationships={"client": CLIENTS}), **options)
    assert len(set(chosen)) == len(chosen) == expected
    assert set(chosen) <= set(CLIENTS)


def test_all_clients_are_selected_in_order(server: Callable[..., Caller]) -> None:
    caller = server(ClientSelector(), relationships={"client": CLIENTS[::-1]})
    assert select(caller, ratio=1.0) == CLIENTS == select(caller, count=10)


@pytest.mark.parametrize("options", [{"ratio": 0.01}, {"ratio": 1.5}, {"count": 11}, {"count": -1}])
def test_an_impossible_selection_is_the_callers_fault(
    server: Callable[..., Caller], options: dict[str, Any]
) -> None:
    caller = server(ClientSelector(), relationships={"client": CLIENTS})
    with pytest.raises(rml.CallerError, match="of the 10 members of relationship 'client'"):
        select(caller, **options)


def test_without_clients_nothing_can_be_selected(server: Callable[..., Caller]) -> None:
    with pytest.raises(rml.CallerError, match="0 members"):
        select(server(ClientSelector()))


def test_selections_depend_on_the_seed_alone(host: Host) -> None:
    def selections(actor_name: str, clients: list[Any], seed: int) -> list[Any]:
        caller = Caller()
        host(
            actor_name,
            {"role": ClientSelector(), "caller": caller},
            relationships={"client": clients},
            seed=seed,
        )
        return [select(caller, count=3) for _ in range(5)]

    first = selections("one", CLIENTS, 5)
    assert first == selections("two", CLIENTS[::-1], 5)
    assert first != selections("three", CLIENTS, 6)
    assert len({tuple(selection) for selection in first}) > 1


def test_every_client_gets_the_configured_number_of_epochs(server: Callable[..., Caller]) -> None:
    caller = server(ClientConfigurator(num_epochs=3))
    options = caller.call("role", "configure", payloads={"clients": CLIENTS[:2]})
    assert options == {CLIENTS[0]: {"num_epochs": 3}, CLIENTS[1]: {"num_epochs": 3}}


def test_clients_warm_up_in_the_first_rounds_they_are_selected_for(server: Callable[..., Caller]) -> None:
    caller = server(WarmUpClientConfigurator())
    a, b = CLIENTS[:2]
    epochs = []
    for clients in ([a], [a, b], [a, b], [b]):
        options = caller.call("role", "configure", payloads={"clients": clients})
        epochs.append({client: option["num_epochs"] for client, option in options.items()})
    assert epochs == [{a: 2}, {a: 2, b: 2}, {a: 1, b: 2}, {b: 1}]


def test_an_aggregator_averages_what_the_sources_return(server: Callable[..., Caller]) -> None:
    caller = server(
        (CollectiveAggregator(), {"merger": factory(ArrayDictAverager)}),
        {"a": Source(np.array([1.0, 2.0])), "b": Source(np.array([3.0, 6.0]))},
    )
    caller.listen("role", "aggregation-completed")
    payloads = sources_of("a", "b", factor=2)
    for _ in range(2):  # with a merger of its own each time
        merged = caller.call_task("role", "aggregate", payloads=payloads).result(10)
        assert merged["x"].tolist() == [4.0, 8.0]
        assert caller.next_event() == {"sources": list(payloads["sources_and_options"])}


def test_without_a_configured_merger_the_results_are_collected(server: Callable[..., Caller]) -> None:
    caller = server(CollectiveAggregator(), {"a": Source(1), "b": Source(2)})
    merged = caller.call_task("role", "aggregate", payloads=sources_of("a", "b")).result(10)
    assert {str(source): value for source, value in merged.items()} == {
        "a/trainer": {"x": 1},
        "b/trainer": {"x": 2},
    }


def test_another_channel_can_be_collected(server: Callable[..., Caller]) -> None:
    caller = server(CollectiveAggregator(), {"a": Source(1)})
    task = caller.call_task("role", "aggregate", {"collect_channel": "estimate"}, sources_of("a"))
    ((_, value),) = task.result(10).items()
    assert value["x"].tolist() == [0.0]


def test_a_source_that_fails_is_left_out_with_a_warning(
    server: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    caller = server(
        (CollectiveAggregator(), {"merger": factory(ArrayDictAverager)}),
        {"a": Source(np.array([1.0])), "b": Source(None)},
    )
    merged = caller.call_task("role", "aggregate", payloads=sources_of("a", "b")).result(10)
    assert merged["x"].tolist() == [1.0]
    assert "b/trainer" in caplog.text


def test_an_aggregation_of_failures_only_is_an_error(server: Callable[..., Caller]) -> None:
    caller = server(CollectiveAggregator(), {"a": Source(None), "b": Source(None)})
    with pytest.raises(rml.HandlerError, match=r"task 'train' failed at all 2 sources; the first"):
        caller.call_task("role", "aggregate", payloads=sources_of("a", "b")).result(10)


def test_a_source_that_is_not_there_fails_the_aggregation(server: Callable[..., Caller]) -> None:
    caller = server(CollectiveAggregator(), {"a": Source(1)})
    with pytest.raises(rml.HandlerError, match="absent"):
        caller.call_task("role", "aggregate", payloads=sources_of("a", "absent")).result(10)


def test_nothing_to_aggregate_is_the_callers_fault(server: Callable[..., Caller]) -> None:
    with pytest.raises(rml.CallerError, match="nothing to aggregate"):
        server(CollectiveAggregator()).call_task("role", "aggregate", payloads=sources_of()).result(10)


def test_a_weighted_aggregator_asks_the_sources_for_their_weights(server: Callable[..., Caller]) -> None:
    caller = server(
        (WeightedCollectiveAggregator(), {"merger": factory(WeightedArrayDictAverager)}),
        {"a": Source(np.array([1.0]), size=3), "b": Source(np.array([5.0]), size=1)},
    )
    merged = caller.call_task("role", "aggregate", payloads=sources_of("a", "b")).result(10)
    assert merged["x"].tolist() == [2.0]


def digits(part: str, client: int | None = None, clients: int | None = None) -> Any:
    return DatasetViewFactory(DigitsDataset(part, client, clients), batch_size=16, combiner=combine)


def federation(host: Host, coordinator: dict[str, Any], name: str = "") -> Caller:
    """Three clients and a server, each an actor of its own; the caller is on the server."""
    clients = [f"{name}client{i}" for i in range(3)]
    for i, client in enumerate(clients):
        trainer = {"model": MLPClassifierModel(), "dataset": digits("train", i, 3)}
        host(client, {"trainer": (EpochTrainer(), trainer)})
    caller = Caller()
    host(
        f"{name}server",
        {
            "client-selector": ClientSelector(),
            "configurator": ClientConfigurator(),
            "aggregator": (
                WeightedCollectiveAggregator(),
                {"merger": factory(WeightedArrayDictAverager)},
            ),
            "coordinator": (FLCoordinator(), coordinator),
            "caller": caller,
        },
        relationships={"client": [rml.RoleInstanceID(client, "trainer") for client in clients]},
        seed=3,
    )
    return caller


def test_the_rounds_are_reported_and_the_model_improves(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    model = MLPClassifierModel()
    caller = federation(host, {"model": model, "dataset": digits("test")})
    caller.listen("coordinator", "round-completed")
    with caplog.at_level(logging.INFO, "roleml.roles.coordinator"):
        task = caller.call_task("coordinator", "run", {"num_rounds": 4, "select_ratio": 0.7})
        result = task.result(25)
    rounds = [caller.next_event() for _ in range(4)]
    assert [report["round"] for report in rounds] == [0, 1, 2, 3]
    assert all(len(report["participants"]) == 2 and report["seconds"] > 0 for report in rounds)
    assert rounds[-1]["result"] == result == model.test(digits("test"))
    assert result["accuracy"] > 0.6
    assert f"round 3 test result is: {result}" in caplog.text
    assert "FL is done!!!!" in caplog.text


def test_without_a_test_dataset_the_rounds_have_no_result(host: Host) -> None:
    caller = federation(host, {"model": MLPClassifierModel()})
    caller.listen("coordinator", "round-completed")
    assert caller.call_task("coordinator", "run", {"num_rounds": 1}).result(25) is None
    report = caller.next_event()
    assert set(report) == {"round", "participants", "seconds"}
    assert len(report["participants"]) == 1


def test_the_end_of_a_run_is_announced(host: Host) -> None:
    caller = federation(host, {"model": MLPClassifierModel()})
    caller.listen("coordinator", "fl-completed")
    caller.call_task("coordinator", "run", {"num_rounds": 0}).result(25)
    assert caller.next_event() == {"rounds": 0}


def test_two_runs_with_one_seed_give_the_same_weights_to_the_last_bit(host: Host) -> None:
    models = [MLPClassifierModel(), MLPClassifierModel()]
    for name, model in zip(("a", "b"), models, strict=True):
        caller = federation(host, {"model": model}, name=name)
        caller.call_task("coordinator", "run", {"num_rounds": 3, "select_ratio": 1.0}).result(25)
    one, other = (model.get_params() for model in models)
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)

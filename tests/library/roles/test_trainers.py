from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.library.roles.trainer import gradient
from roleml.library.roles.trainer.epoch import EpochTrainer, FixedTrainingPlanner, TrainingPlanner
from roleml.library.roles.trainer.gradient import GradientsTrainer
from roleml.library.workload.datasets.templates import SimpleDataset
from roleml.library.workload.datasets.views import DatasetViewFactory

from .conftest import Caller

Host = Callable[..., rml.Actor]


class Adder:
    """A model with one parameter, to which training adds up the data."""

    def __init__(self) -> None:
        self.total = 0
        self.options: list[dict[str, Any]] = []
        self.busy = threading.Lock()

    def get_params(self) -> int:
        return self.total

    def set_params(self, params: int) -> None:
        self.total = params

    def train(self, data: Iterable[list[int]], **options: Any) -> dict[str, Any]:
        assert self.busy.acquire(blocking=False), "two handlers at a time"
        self.options.append(options)
        self.total += sum(map(sum, data))
        self.busy.release()
        return {"total": self.total}

    def test(self, data: Iterable[list[int]]) -> dict[str, Any]:
        return {"error": self.total - sum(map(sum, data))}

    def compute_gradients(self, batch: list[int]) -> tuple[dict[str, Any], int]:
        return {"size": len(batch)}, sum(batch)

    def apply_gradients(self, gradients: int) -> None:
        self.total += gradients


class Stream:
    def __iter__(self) -> Iterator[list[int]]:
        return iter([[1]])


def data(*samples: int, batch_size: int = 2) -> Any:
    return DatasetViewFactory(SimpleDataset(samples), batch_size=batch_size)


def elements(model: Any = None, **others: Any) -> dict[str, Any]:
    return {"model": model or Adder(), "dataset": data(1, 2, 3), **others}


@pytest.fixture
def trainer(host: Host) -> Callable[..., Caller]:
    def start(role: rml.Role, given: dict[str, Any]) -> Caller:
        caller = Caller()
        host("client", {"trainer": (role, given), "caller": caller})
        return caller

    return start


def test_the_parameters_can_be_replaced_and_read(trainer: Callable[..., Caller]) -> None:
    caller = trainer(EpochTrainer(), elements())
    assert caller.call("trainer", "apply-update", payloads={"update": 7}) is None
    assert caller.call("trainer", "get-model") == 7


def test_training_returns_the_parameters_and_reports_each_epoch(
    trainer: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    caller = trainer(EpochTrainer(), elements())
    caller.listen("trainer", "epoch-completed")
    with caplog.at_level(logging.INFO, "roleml.roles.trainer"):
        assert caller.call_task("trainer", "train", {"num_epochs": 2}).result(10) == 12
        assert caller.call_task("trainer", "train").result(10) == 18
    assert [caller.next_event() for _ in range(3)] == [
        {"total": 6, "epoch": 0},
        {"total": 12, "epoch": 1},
        {"total": 18, "epoch": 2},
    ]
    assert "epoch 2: {'total': 18}" in caplog.text


def test_options_become_hyper_parameters_of_each_epoch(trainer: Callable[..., Caller]) -> None:
    model = Adder()
    caller = trainer(EpochTrainer(), elements(model))
    caller.call_task("trainer", "train", {"num_epochs": 2, "lr": 0.5}).result(10)
    assert model.options == [{"lr": 0.5}, {"lr": 0.5}]


def test_a_planner_sees_the_metrics_of_an_epoch_before_it_plans_the_next(
    trainer: Callable[..., Caller],
) -> None:
    class Halving(TrainingPlanner):
        seen: list[dict[str, Any]] = []

        def make_plan(self, num_steps: int, **hyperparams: Any) -> Iterator[dict[str, Any]]:
            for step in range(num_steps):
                assert len(self.seen) == step
                yield {"lr": hyperparams["lr"] / 2**step}

        def report(self, result: dict[str, Any]) -> None:
            self.seen.append(result)

    model, planner = Adder(), Halving()
    caller = trainer(EpochTrainer(), elements(model, planner=planner))
    caller.call_task("trainer", "train", {"num_epochs": 3, "lr": 1.0}).result(10)
    assert model.options == [{"lr": 1.0}, {"lr": 0.5}, {"lr": 0.25}]
    assert planner.seen == [{"total": 6}, {"total": 12}, {"total": 18}]


def test_a_plan_that_is_too_short_is_an_error(trainer: Callable[..., Caller]) -> None:
    class Short(TrainingPlanner):
        def make_plan(self, num_steps: int, **_: Any) -> list[dict[str, Any]]:
            return [{}]

    caller = trainer(EpochTrainer(), elements(planner=Short()))
    with pytest.raises(rml.HandlerError, match="ended after 1 of 2 epochs"):
        caller.call_task("trainer", "train", {"num_epochs": 2}).result(10)


def test_the_fixed_planner_repeats_the_options() -> None:
    assert list(FixedTrainingPlanner().make_plan(2, lr=1)) == [{"lr": 1}, {"lr": 1}]


def test_train2_adds_data_size_and_metrics(trainer: Callable[..., Caller]) -> None:
    caller = trainer(EpochTrainer(), elements())
    result = caller.call_task("trainer", "train2", {"num_epochs": 2}).result(10)
    assert result == {"update": 12, "data_size": 3, "metrics": {"total": 12}}


def test_a_dataset_without_length_can_be_trained_on_but_not_measured(trainer: Callable[..., Caller]) -> None:
    caller = trainer(EpochTrainer(), elements(dataset=Stream()))
    assert caller.call_task("trainer", "train2").result(10)["data_size"] == 0
    with pytest.raises(rml.HandlerError, match="Stream, has no length"):
        caller.call("trainer", "get-data-size")


def test_the_data_size_counts_samples(trainer: Callable[..., Caller]) -> None:
    assert trainer(EpochTrainer(), elements()).call("trainer", "get-data-size") == 3


def test_handlers_of_one_trainer_exclude_each_other(trainer: Callable[..., Caller]) -> None:
    caller = trainer(EpochTrainer(), elements())
    tasks = [caller.call_task("trainer", "train", {"num_epochs": 3}) for _ in range(8)]
    assert sorted(task.result(10) for task in tasks) == [18 * (i + 1) for i in range(8)]


def test_testing_returns_and_emits_the_metrics(trainer: Callable[..., Caller]) -> None:
    caller = trainer(EpochTrainer(), elements(dataset_test=data(10)))
    caller.listen("trainer", "test-completed")
    assert caller.call_task("trainer", "test").result(10) == {"error": -10}
    assert caller.next_event() == {"error": -10}


def test_without_a_test_dataset_testing_is_an_error(trainer: Callable[..., Caller]) -> None:
    caller = trainer(EpochTrainer(), elements())
    with pytest.raises(rml.HandlerError, match="TypeError"):
        caller.call_task("trainer", "test").result(10)


def test_a_model_that_cannot_be_tested_is_an_error(trainer: Callable[..., Caller]) -> None:
    class Untestable(Adder):
        test = None

    caller = trainer(EpochTrainer(), elements(Untestable(), dataset_test=data(10)))
    with pytest.raises(rml.HandlerError, match="has no method 'test'"):
        caller.call_task("trainer", "test").result(10)


def test_gradients_are_those_of_one_batch_after_the_other(trainer: Callable[..., Caller]) -> None:
    caller = trainer(GradientsTrainer(), elements())
    caller.listen("trainer", "gradient-computed")
    computed = [caller.call_task("trainer", "compute-gradients").result(10) for _ in range(4)]
    assert computed == [3, 3, 3, 3]  # 1+2, 3, then from the beginning
    assert [caller.next_event()["size"] for _ in range(4)] == [2, 1, 2, 1]


def test_gradients_are_applied_and_announced(trainer: Callable[..., Caller]) -> None:
    caller = trainer(GradientsTrainer(), elements())
    caller.listen("trainer", "gradient-applied")
    caller.call("trainer", "apply-gradients", payloads={"update": 5})
    assert caller.next_event() == {}
    assert caller.call("trainer", "get-model") == 5


def test_gradients_of_an_empty_dataset_are_an_error(trainer: Callable[..., Caller]) -> None:
    caller = trainer(GradientsTrainer(), elements(dataset=data()))
    with pytest.raises(rml.HandlerError, match="is empty"):
        caller.call_task("trainer", "compute-gradients").result(10)


def test_gradients_take_no_options(trainer: Callable[..., Caller]) -> None:
    caller = trainer(GradientsTrainer(), elements())
    with pytest.raises(rml.HandlerError, match="lr"):
        caller.call_task("trainer", "compute-gradients", {"lr": 1}).result(10)


def test_the_gradients_trainer_has_two_names() -> None:
    assert gradient.GradientTrainer is gradient.GradientsTrainer

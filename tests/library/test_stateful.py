"""What the library's parts save of themselves: who goes on from it does what the first would have done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import roleml.essentials as rml
from roleml.core.role.elements import ElementImplementation
from roleml.library.roles.federated.configurator import WarmUpClientConfigurator
from roleml.library.roles.federated.selector import ClientSelector
from roleml.library.roles.trainer.epoch import EpochTrainer
from roleml.library.roles.trainer.gradient import GradientsTrainer
from roleml.library.workload.datasets.templates import SimpleDataset
from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.models.templates.sklearn import MLPClassifierModel
from roleml.library.workload.models.templates.torch.classification import SimpleTorchXYModel
from roleml.library.workload.util.collections.merger.server import FedAdam
from roleml.messaging.codec import Codec
from tests.actors import Actors, Probe, at


def over_the_disk(state: Any) -> Any:
    return Codec().decode(Codec().encode(state).snapshot())


class Net(SimpleTorchXYModel):
    def build_model(self, **_: Any) -> Any:
        module = nn.Linear(3, 2)
        return module, torch.optim.Adam(module.parameters(), lr=0.1), nn.CrossEntropyLoss()


def batch(seed: int, features: int = 3, classes: int = 2) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(8, features)).astype(np.float32), generator.integers(0, classes, 8)


def torch_batch(seed: int) -> tuple[Any, Any]:
    x, y = batch(seed)
    return torch.from_numpy(x), torch.from_numpy(y)


def mlp(momentum: float) -> MLPClassifierModel:
    return MLPClassifierModel(3, 2, hidden=[4], momentum=momentum, seed=1)


@pytest.mark.parametrize(
    ("make", "make_batch"),
    [(lambda: mlp(0.9), batch), (lambda: mlp(0.0), batch), (lambda: Net(seed=1), torch_batch)],
    ids=["mlp-momentum", "mlp", "torch-adam"],
)
@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_model_goes_on_with_its_optimiser(make: Any, make_batch: Any, steps_before: int) -> None:
    first, second = make(), make()
    first.train([make_batch(seed) for seed in range(steps_before)])
    second.train([make_batch(99)])  # what is loaded replaces all of this
    second.load_state_dict(over_the_disk(first.state_dict()))
    for model in (first, second):
        model.train([make_batch(seed) for seed in range(10, 13)])
    wanted, got = first.get_params(), second.get_params()
    assert wanted.keys() == got.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(np.asarray(array), np.asarray(got[name]))


def test_the_state_of_a_model_does_not_change_with_it() -> None:
    for model, make_batch in ((mlp(0.9), batch), (Net(seed=1), torch_batch)):
        model.train([make_batch(1)])  # type: ignore[operator]
        state = model.state_dict()
        before = Codec().encode(state).to_frame()
        model.train([make_batch(2)])  # type: ignore[operator]
        assert Codec().encode(state).to_frame() == before


@pytest.mark.parametrize("sampler", ["random-oneoff", "random"])
def test_the_passes_over_a_dataset_go_on(sampler: str) -> None:
    def view() -> Any:
        given = {"type": sampler, "options": {"seed": 5}}
        return DatasetViewFactory(SimpleDataset(range(20)), sampler=given, batch_size=4)

    first, second = view(), view()
    assert list(first) != list(first)
    second.load_state_dict(over_the_disk(first.state_dict()))
    assert [list(second), list(second)] == [list(first), list(first)]
    unseeded = DatasetViewFactory(SimpleDataset(range(20)), sampler="sequential")
    assert unseeded.state_dict() == {}
    unseeded.load_state_dict({})


def test_a_server_optimiser_goes_on() -> None:
    def rounds(optimizer: FedAdam, means: list[float]) -> list[Any]:
        results = []
        for mean in means:
            merger = optimizer()
            merger.push("client", {"w": np.array([mean])})
            results.append(merger.merge()["w"].tolist())
        return results

    whole, first, second = FedAdam(), FedAdam(), FedAdam()
    wanted = rounds(whole, [1.0, 2.0, 4.0, 8.0])
    done = rounds(first, [1.0, 2.0])
    second.load_state_dict(over_the_disk(first.state_dict()))
    assert done + rounds(second, [4.0, 8.0]) == wanted


# roles, in actors that are started again

CLIENTS = [at(f"client{i}/trainer") for i in range(10)]


class Host:
    """Starts the actor `A` with a role again and again."""

    def __init__(self, actors: Actors, folder: Any) -> None:
        self.actors = actors
        self.folder = folder
        self.probe = Probe()
        self.actor: Any = None
        actors.start("P", {"probe": self.probe})

    def again(self, role: rml.Role, **impls: Callable[[], Any]) -> Any:
        """An actor that goes on, after a checkpoint of the last one."""
        if self.actor is not None:
            self.actor.roles["role"].save_checkpoint()
            self.actor.stop()
        self.actor = self.actors.make(
            "A",
            {"role": role},
            relationships={"client": [str(client) for client in CLIENTS]},
            checkpoint=self.folder,
            resume=True,
        )
        for name, constructor in impls.items():
            self.actor.implement_element("role", name, ElementImplementation(constructor=constructor))
        self.actor.start()
        return role


@pytest.fixture
def actors() -> Any:
    made = Actors()
    yield made
    made.stop()


@pytest.fixture
def host(actors: Actors, tmp_path: Any) -> Host:
    return Host(actors, tmp_path)


def test_a_selector_goes_on_with_its_draws(host: Host) -> None:
    def draw() -> Any:
        return host.probe.call(at("A/role"), "select-client", {"count": 3})

    host.again(ClientSelector())
    host.again(ClientSelector())  # before the first draw there is no generator
    draw()
    host.actor.roles["role"].save_checkpoint()
    wanted = [draw(), draw()]
    host.actor.stop()
    host.actor = None
    host.again(ClientSelector())
    assert [draw(), draw()] == wanted


def test_a_configurator_remembers_whom_it_has_warmed_up(host: Host) -> None:
    def configure() -> Any:
        return host.probe.call(at("A/role"), "configure", payloads={"clients": CLIENTS[:1]})[CLIENTS[0]]

    epochs = []
    for _ in range(4):
        host.again(WarmUpClientConfigurator(selected_rounds_threshold=2))
        epochs.append(configure()["num_epochs"])
    assert epochs == [2, 2, 1, 1]
    assert host.again(WarmUpClientConfigurator())._selected == Counter({CLIENTS[0]: 4})


class Plain:
    """A model without a state of its own."""

    def __init__(self) -> None:
        self.params = np.zeros(1)

    def get_params(self) -> Any:
        return self.params

    def set_params(self, params: Any) -> None:
        self.params = np.array(params)

    def train(self, data: Any, **_: Any) -> dict[str, Any]:
        self.params += sum(map(sum, data))
        return {}

    def compute_gradients(self, data: Any, **_: Any) -> tuple[dict[str, Any], Any]:
        return {}, list(data)

    def apply_gradients(self, gradients: Any) -> None:
        self.params += sum(gradients)


def shuffled() -> Any:
    sampler = {"type": "random-oneoff", "options": {"seed": 3}}
    return DatasetViewFactory(SimpleDataset(range(12)), sampler=sampler, batch_size=2)


def test_an_epoch_trainer_goes_on(host: Host) -> None:
    def train() -> Any:
        return host.probe.call_task(at("A/role"), "train", {"num_epochs": 2}).result(10).tolist()

    impls = {"model": Plain, "dataset": shuffled}
    host.again(EpochTrainer(), **impls)
    assert train() == [132.0]
    trainer = host.again(EpochTrainer(), **impls)
    assert trainer.current_epoch == 1
    assert train() == [264.0]
    host.probe.call(at("A/role"), "apply-update", payloads={"update": np.array([5.0])})
    host.actor.stop()  # without a checkpoint: the service made one
    host.actor = None
    host.again(EpochTrainer(), **impls)
    assert train() == [137.0]


def test_a_gradients_trainer_goes_on_in_the_middle_of_a_pass(host: Host) -> None:
    def batches(number: int) -> list[Any]:
        task = lambda: host.probe.call_task(at("A/role"), "compute-gradients").result(10)  # noqa: E731
        return [task() for _ in range(number)]

    impls = {"model": Plain, "dataset": shuffled}
    host.again(GradientsTrainer(), **impls)
    wanted = [list(each) for view in [shuffled()] for _ in range(3) for each in view]
    got = []
    for number in (0, 2, 4, 5, 7):
        got += batches(number)
        host.again(GradientsTrainer(), **impls)
    assert got == wanted

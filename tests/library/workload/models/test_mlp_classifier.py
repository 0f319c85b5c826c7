from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roleml.library.workload.datasets.views import DatasetViewFactory
from roleml.library.workload.datasets.zoo.image.digits import DigitsDataset, combine
from roleml.library.workload.models import bases
from roleml.library.workload.models.templates.sklearn import MLPClassifierModel
from roleml.library.workload.util.collections.merger.numpy import WeightedArrayDictAverager

Params = dict[str, Any]


def batches(count: int = 3, size: int = 8, features: int = 5, classes: int = 3) -> list[tuple[Any, Any]]:
    generator = np.random.default_rng(1)
    return [
        (
            generator.normal(size=(size, features)).astype(np.float32),
            generator.integers(0, classes, size, dtype=np.int64),
        )
        for _ in range(count)
    ]


def small(**options: Any) -> MLPClassifierModel:
    return MLPClassifierModel(5, 3, **{"hidden": (4,), "lr": 0.5, **options})


def same(a: Params, b: Params) -> bool:
    return list(a) == list(b) and all(a[name].tobytes() == b[name].tobytes() for name in a)


def sgd_step(params: Params, x: Any, y: Any, lr: float) -> tuple[Params, float]:
    """One step of gradient descent on the cross entropy of a ReLU network, written out, in float64."""
    p = {name: array.astype(np.float64) for name, array in params.items()}
    hidden = np.maximum(x @ p["weight_0"] + p["bias_0"], 0)
    logits = hidden @ p["weight_1"] + p["bias_1"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    loss = -np.log(probabilities[np.arange(len(y)), y]).mean()
    d_logits = (probabilities - np.eye(3)[y]) / len(y)
    d_hidden = (d_logits @ p["weight_1"].T) * (hidden > 0)
    gradients = {
        "weight_0": x.T @ d_hidden,
        "weight_1": hidden.T @ d_logits,
        "bias_0": d_hidden.sum(axis=0),
        "bias_1": d_logits.sum(axis=0),
    }
    return {name: p[name] - lr * gradients[name] for name in p}, float(loss)


def test_the_model_satisfies_the_protocols() -> None:
    model = small()
    assert isinstance(model, bases.TrainableModel)
    assert isinstance(model, bases.TestableModel)
    assert isinstance(model, bases.Predictable)


def test_each_batch_is_one_step_of_gradient_descent() -> None:
    model = small()
    expected: Params = model.get_params()
    losses = []
    for x, y in batches():
        expected, loss = sgd_step(expected, x, y, lr=0.5)
        losses.append(loss)
    metrics = model.train(batches())
    for name, array in model.get_params().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-6)
    assert metrics == {"loss": pytest.approx(np.mean(losses), rel=1e-5)}


def test_a_large_batch_is_one_step_too() -> None:
    model = small()
    ((x, y),) = batches(count=1, size=1000)
    expected, _ = sgd_step(model.get_params(), x, y, lr=0.5)
    model.train([(x, y)])
    np.testing.assert_allclose(model.get_params()["weight_0"], expected["weight_0"], rtol=1e-4, atol=1e-6)


def test_a_new_model_has_weights_that_its_seed_decides() -> None:
    params = small(seed=3).get_params()
    assert {name: (array.shape, array.dtype) for name, array in params.items()} == {
        "weight_0": ((5, 4), np.float32),
        "weight_1": ((4, 3), np.float32),
        "bias_0": ((4,), np.float32),
        "bias_1": ((3,), np.float32),
    }
    assert np.abs(params["weight_0"]).max() <= np.sqrt(6 / 9)
    assert same(params, small(seed=3).get_params())
    assert not same(params, small(seed=4).get_params())
    small(seed=2**62)


def test_a_new_model_can_be_tested_and_can_predict() -> None:
    x, y = batches(1)[0]
    assert small().predict(x).shape == (8,)
    metrics = small().test([(x, y)])
    assert metrics["accuracy"] == np.mean(small().predict(x) == y)
    assert metrics["loss"] == pytest.approx(sgd_step(small().get_params(), x, y, 0.5)[1], rel=1e-5)


def test_metrics_weigh_each_sample_the_same() -> None:
    (x, y), *_ = batches(1)
    cut = small().test([(x[:1], y[:1]), (x[1:], y[1:])])
    assert cut == {name: pytest.approx(value, rel=1e-6) for name, value in small().test([(x, y)]).items()}


def test_testing_changes_nothing() -> None:
    model = small()
    before = model.get_params()
    model.test(batches())
    assert same(before, model.get_params())


def test_parameters_are_copied_in_and_out() -> None:
    model = small()
    params = model.get_params()
    params["weight_0"][...] = 7
    assert not same(params, model.get_params())
    model.set_params(params)
    params["weight_0"][...] = 8
    assert model.get_params()["weight_0"][0, 0] == 7


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_set_params_leaves_nothing_of_the_training_before(momentum: float) -> None:
    """Also fails if scikit-learn keeps the optimiser elsewhere than `_forget_momentum` believes."""
    trained, fresh = small(momentum=momentum, seed=1), small(momentum=momentum, seed=2)
    trained.train(batches())
    trained.set_params(fresh.get_params())
    assert trained.train(batches()) == fresh.train(batches())
    assert same(trained.get_params(), fresh.get_params())


def test_momentum_changes_the_steps_after_the_first() -> None:
    plain, heavy = small(), small(momentum=0.9)
    for model in (plain, heavy):
        model.train(batches(1))
    assert same(plain.get_params(), heavy.get_params())
    for model in (plain, heavy):
        model.train(batches(1))
    assert not same(plain.get_params(), heavy.get_params())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda params: params.pop("bias_1"), KeyError),
        (lambda params: params.update(weight_1=np.zeros((4, 2))), ValueError),
    ],
)
def test_parameters_that_do_not_fit_are_refused_as_a_whole(change: Any, error: type[Exception]) -> None:
    model = small()
    before = model.get_params()
    wrong = {name: array + 1 for name, array in before.items()}
    change(wrong)
    with pytest.raises(error, match="_1"):
        model.set_params(wrong)
    assert same(before, model.get_params())


def test_no_data_gives_no_metrics() -> None:
    assert small().train([]) == {}
    assert small().test([]) == {}


def test_unknown_hyper_parameters_are_ignored() -> None:
    assert "loss" in small().train(batches(), colour="red")


def test_images_are_flattened() -> None:
    model = MLPClassifierModel(seed=1)
    images = DigitsDataset("test", as_images=True)
    assert np.array_equal(model.predict(images.x), model.predict(DigitsDataset("test").x))


def test_a_client_with_few_labels_can_train() -> None:
    x, _ = batches(1)[0]
    assert "loss" in small().train([(x, np.full(8, 2))])


def federated_averaging(rounds: int, alpha: float | None, finishing_order: list[int]) -> tuple[Params, float]:
    """Five clients, one local epoch, all of them in every round; no actors."""
    clients = [
        DatasetViewFactory(DigitsDataset("train", i, 5, alpha=alpha), batch_size=16, combiner=combine)
        for i in range(5)
    ]
    test_set = DatasetViewFactory(DigitsDataset("test"), batch_size=500, combiner=combine)
    model, local = MLPClassifierModel(), MLPClassifierModel()
    for _ in range(rounds):
        merger = WeightedArrayDictAverager({i: len(client) for i, client in enumerate(clients)})
        for i in finishing_order:
            local.set_params(model.get_params())
            local.train(clients[i])
            merger.push(i, local.get_params())
        model.set_params(merger.merge())
    return model.get_params(), model.test(test_set)["accuracy"]


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_federated_averaging_learns_the_digits(alpha: float | None) -> None:
    _, accuracy = federated_averaging(25, alpha, [0, 1, 2, 3, 4])
    assert accuracy > 0.95


def test_the_order_in_which_clients_finish_changes_no_bit_of_the_model() -> None:
    one, _ = federated_averaging(3, None, [0, 1, 2, 3, 4])
    other, _ = federated_averaging(3, None, [3, 0, 4, 2, 1])
    assert same(one, other)

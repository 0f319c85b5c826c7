from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn, optim

from roleml.core.builders.arguments import check_arguments
from roleml.core.builders.errors import ConfigError, Problems
from roleml.library.workload.models import bases
from roleml.library.workload.models.templates.torch.base import SimpleTorchModel
from roleml.library.workload.models.templates.torch.classification import SimpleTorchXYModel


class TwoLayers(SimpleTorchXYModel):
    def build_model(self, lr: float = 0.1, momentum: float = 0.0) -> Any:
        module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
        return module, optim.SGD(module.parameters(), lr=lr, momentum=momentum), nn.CrossEntropyLoss()


def batches(count: int = 3, size: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, 1, 4, 4, generator=generator), torch.randint(0, 3, (size,), generator=generator))
        for _ in range(count)
    ]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_the_model_satisfies_the_protocols() -> None:
    model = TwoLayers()
    assert isinstance(model, bases.TrainableModel)
    assert isinstance(model, bases.TestableModel)
    assert isinstance(model, bases.GradientsOperableModel)


def test_training_makes_one_step_per_batch_and_reports_the_mean_loss() -> None:
    model = TwoLayers(seed=1)
    reference, optimizer, criterion = TwoLayers(seed=1).module, None, nn.CrossEntropyLoss()
    optimizer = optim.SGD(reference.parameters(), lr=0.1)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        loss = criterion(reference(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert model.train(batches(), unknown="ignored") == {"loss": pytest.approx(sum(losses) / 3)}
    assert same(model.get_params(), reference.state_dict())


def test_gradients_computed_and_applied_are_one_step_of_gradient_descent() -> None:
    trained, other = TwoLayers(seed=1), TwoLayers(seed=1)
    metrics, gradients = other.compute_gradients(batches(1)[0])
    assert [gradient.shape for gradient in gradients] == [(p.numel(),) for p in other.module.parameters()]
    assert metrics == trained.train(batches(1))
    other.apply_gradients(gradients)
    assert same(trained.get_params(), other.get_params())


def test_gradients_can_be_applied_by_a_model_that_never_computed_any() -> None:
    computing, applying = TwoLayers(seed=1), TwoLayers(seed=1)
    _, gradients = computing.compute_gradients(batches(1)[0])
    computing.apply_gradients(gradients)
    shaped = [g.reshape(p.shape) for g, p in zip(gradients, applying.module.parameters(), strict=True)]
    applying.apply_gradients(shaped)
    assert torch.equal(computing.module[0].weight, applying.module[0].weight)


def test_gradients_are_copied_in_and_out() -> None:
    model = TwoLayers(seed=1)
    _, gradients = model.compute_gradients(batches(1)[0])
    before = [gradient.clone() for gradient in gradients]
    model.compute_gradients(batches(2)[1])
    assert all(torch.equal(a, b) for a, b in zip(gradients, before, strict=True))
    model.apply_gradients(gradients)
    model.module[0].weight.grad.zero_()
    assert torch.equal(gradients[0], before[0])


def test_a_parameter_without_influence_has_a_gradient_of_zeros() -> None:
    class Unused(TwoLayers):
        def build_model(self, **options: Any) -> Any:
            module, optimizer, criterion = super().build_model(**options)
            module.register_parameter("unused", nn.Parameter(torch.ones(2, 2)))
            return module, optimizer, criterion

    model = Unused()
    _, gradients = model.compute_gradients(batches(1)[0])
    assert gradients[0].tolist() == [0.0] * 4
    assert len(gradients) == len(list(model.module.parameters()))


@pytest.mark.parametrize(
    "spoil", [lambda gradients: gradients[:-1], lambda gradients: [gradients[0][:-1], *gradients[1:]]]
)
def test_gradients_that_do_not_fit_are_refused_before_the_step(spoil: Any) -> None:
    model = TwoLayers()
    _, gradients = model.compute_gradients(batches(1)[0])
    before = model.get_params()
    with pytest.raises(ValueError, match="gradient"):
        model.apply_gradients(spoil(gradients))
    assert same(before, model.get_params())


def test_testing_weighs_each_sample_the_same_and_changes_nothing() -> None:
    model = TwoLayers(seed=1)
    before = model.get_params()
    ((x, y),) = batches(1)
    whole = model.test([(x, y)])
    assert model.test([(x[:1], y[:1]), (x[1:], y[1:])]) == {
        k: pytest.approx(v, rel=1e-5) for k, v in whole.items()
    }
    predicted = model.module(x).argmax(dim=1)
    assert whole["accuracy"] == pytest.approx((predicted == y).float().mean().item())
    assert same(before, model.get_params())
    assert not any(parameter.grad is not None for parameter in model.module.parameters())


def test_no_data_gives_no_metrics() -> None:
    model = TwoLayers()
    assert model.train([]) == {}
    assert model.test([]) == {}


def test_parameters_are_copies_unless_live_ones_are_asked_for() -> None:
    copying, live = TwoLayers(), TwoLayers(copy_on_get_params=False)
    for model, follows in ((copying, False), (live, True)):
        params = model.get_params()
        with torch.no_grad():
            model.module[0].weight.add_(1)
        assert torch.equal(params["0.weight"], model.module[0].weight) is follows


def test_parameters_of_one_model_can_be_loaded_into_another() -> None:
    trained, other = TwoLayers(seed=1), TwoLayers(seed=2)
    trained.train(batches())
    other.set_params(trained.get_params())
    assert same(trained.get_params(), other.get_params())
    trained.train(batches())
    assert not same(trained.get_params(), other.get_params())


def test_a_seed_makes_the_weights_repeatable_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert same(TwoLayers(seed=5).get_params(), TwoLayers(seed=5).get_params())
    assert torch.rand(1) == expected
    assert not same(TwoLayers(seed=5).get_params(), TwoLayers(seed=6).get_params())


def test_options_reach_build_model() -> None:
    assert TwoLayers(lr=0.7).optimizer.param_groups[0]["lr"] == 0.7
    with pytest.raises(TypeError, match="colour"):
        TwoLayers(colour="red")


def test_cuda_is_replaced_by_the_cpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert TwoLayers(device="CUDA").device == torch.device("cpu")
    assert TwoLayers(device="cuda:1").device == torch.device("cpu")


def test_num_threads_is_set_for_the_process() -> None:
    before = torch.get_num_threads()
    try:
        TwoLayers(num_threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_model_must_say_how_it_is_built() -> None:
    with pytest.raises(TypeError, match="build_model"):
        SimpleTorchModel()


def test_batches_of_arrays_are_as_good_as_those_of_tensors() -> None:
    arrays = [(x.numpy(), y.numpy()) for x, y in batches()]
    one, other = TwoLayers(seed=0), TwoLayers(seed=0)
    assert one.train(arrays) == other.train(batches())
    assert one.test(arrays) == other.test(batches())
    gradients = [
        model.compute_gradients(data)[1] for model, data in ((one, arrays[0]), (other, batches()[0]))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_misspelt_option_is_seen_before_the_model_is_built() -> None:
    problems = Problems()
    for options in ({"momentum": 0.5, "device": "cpu"}, {"momentun": 0.5}):
        check_arguments(TwoLayers, options, (), problems, of="TwoLayers")
    with pytest.raises(ConfigError) as info:
        problems.raise_if_any()
    assert [problem.text for problem in info.value.problems] == [
        "unknown argument 'momentun' of TwoLayers; did you mean 'momentum'?"
    ]


def test_a_model_with_a_constructor_of_its_own_says_itself_what_it_takes() -> None:
    class Own(TwoLayers):
        def __init__(self, width: int) -> None:
            super().__init__()

    assert list(inspect.signature(Own).parameters) == ["width"]
    assert list(inspect.signature(TwoLayers).parameters)[-2:] == ["lr", "momentum"]

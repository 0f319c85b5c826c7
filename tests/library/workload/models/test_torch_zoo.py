from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn, optim

from roleml.library.workload.models.zoo.torch.cnn.lenet_5 import LeNet5Model, LeNet5RGBModel
from roleml.library.workload.models.zoo.torch.cnn.vgg import VGGLiteModel, VGGModel


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolutions(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_channels, m.out_channels) for m in module.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("cls", "shape", "parameters"), [(LeNet5Model, (1, 28, 28), 61706), (LeNet5RGBModel, (3, 32, 32), 62006)]
)
def test_lenet_maps_images_to_ten_classes(cls: Any, shape: tuple[int, ...], parameters: int) -> None:
    model = cls()
    assert model.module(torch.zeros(2, *shape)).shape == (2, 10)
    assert parameter_count(model.module) == parameters
    assert isinstance(model.criterion, nn.CrossEntropyLoss)


@pytest.mark.parametrize("cls", [LeNet5Model, LeNet5RGBModel])
def test_lenet_is_optimised_by_sgd_or_adam(cls: Any) -> None:
    sgd, adam = cls(lr=0.3).optimizer, cls(optimizer="adam", lr=0.2, weight_decay=0.1).optimizer
    assert isinstance(sgd, optim.SGD)
    assert sgd.param_groups[0]["lr"] == 0.3
    assert isinstance(adam, optim.Adam)
    assert (adam.param_groups[0]["lr"], adam.param_groups[0]["weight_decay"]) == (0.2, 0.1)
    with pytest.raises(TypeError, match="weight_decay"):
        cls(optimizer="adam")
    with pytest.raises(ValueError, match="'lbfgs'"):
        cls(optimizer="lbfgs")


def test_lenet_learns_a_small_batch_by_heart() -> None:
    generator = torch.Generator().manual_seed(0)
    data = [(torch.randn(8, 3, 32, 32, generator=generator), torch.arange(8))]
    model = LeNet5RGBModel(lr=0.05, seed=0)
    first = model.train(data)["loss"]
    for _ in range(60):
        model.train(data)
    assert model.test(data)["loss"] < first / 4


@pytest.mark.parametrize(("name", "depth"), [("VGG11", 8), ("VGG16", 13), ("VGG19", 16)])
def test_vgg_lite_has_the_convolutions_of_its_type(name: str, depth: int) -> None:
    model = VGGLiteModel(type=name, in_channels=3, lr=0.001)
    layers = convolutions(model.module)
    assert len(layers) == depth
    assert (layers[0], layers[-1]) == ((3, 64), (512, 512))
    assert model.module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert isinstance(model.optimizer, optim.Adam)


def test_vgg_ends_in_a_layer_from_4096_to_10() -> None:
    with torch.device("meta"):  # shapes without the half gigabyte of weights
        module, _, _ = VGGModel.build_model(object.__new__(VGGModel), in_channels=1)
        assert module(torch.zeros(2, 1, 224, 224)).shape == (2, 10)
    last = module[-1]
    assert (last.in_features, last.out_features) == (4096, 10)
    # the 132,863,336 of torchvision's vgg11, which has 2 more channels and 990 more classes
    assert parameter_count(module) == 132_863_336 - 2 * 64 * 9 - 990 * 4097


@pytest.mark.parametrize("cls", [VGGModel, VGGLiteModel])
def test_an_unknown_vgg_type_is_refused(cls: Any) -> None:
    with pytest.raises(ValueError, match="VGG11, VGG16, VGG19"):
        cls(type="VGG12")


@pytest.mark.parametrize("cls", [LeNet5Model, LeNet5RGBModel, VGGLiteModel])
def test_a_misspelt_option_is_refused(cls: Any) -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        cls(learning_rate=0.1)

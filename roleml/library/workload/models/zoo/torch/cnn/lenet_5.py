"""LeNet-5, for grey and for colour images.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of
the IEEE 86(11), 1998.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn, optim

from roleml.library.workload.models.templates.torch.classification import SimpleTorchXYModel

__all__ = ["LeNet5Model", "LeNet5RGBModel"]


class LeNet5Model(SimpleTorchXYModel):
    """Grey images `(b, 1, 28, 28)`, 10 classes; sigmoids and average pooling as in the paper.

    Options: `optimizer` is 'sgd', or 'adam', which needs a `weight_decay`; `lr` is its learning rate. Others
    are those of `SimpleTorchModel`. The loss is the cross entropy. There are 61,706 parameters.
    """

    def build_model(  # type: ignore[override]  # other options are mistakes
        self, *, optimizer: str = "sgd", lr: float = 0.01, weight_decay: float | None = None
    ) -> tuple[nn.Module, optim.Optimizer, nn.Module]:
        module = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.Sigmoid(),
            nn.Linear(120, 84),
            nn.Sigmoid(),
            nn.Linear(84, 10),
        )
        return module, _optimizer(optimizer, module.parameters(), lr, weight_decay), nn.CrossEntropyLoss()


class LeNet5RGBModel(SimpleTorchXYModel):
    """Colour images `(b, 3, 32, 32)`, 10 classes; one ReLU and maximum pooling.

    Options and loss are those of `LeNet5Model`. There are 62,006 parameters.
    """

    def build_model(  # type: ignore[override]  # other options are mistakes
        self, *, optimizer: str = "sgd", lr: float = 0.01, weight_decay: float | None = None
    ) -> tuple[nn.Module, optim.Optimizer, nn.Module]:
        module = nn.Sequential(
            nn.Conv2d(3, 6, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.MaxPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.Linear(120, 84),
            nn.Linear(84, 10),
        )
        return module, _optimizer(optimizer, module.parameters(), lr, weight_decay), nn.CrossEntropyLoss()


def _optimizer(
    name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float | None
) -> optim.Optimizer:
    if name == "sgd":
        return optim.SGD(parameters, lr=lr)
    if name == "adam":
        if weight_decay is None:
            raise TypeError("optimizer 'adam' needs the option weight_decay, e.g. weight_decay=0.0")
        return optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    raise ValueError(f"there is no optimizer {name!r} here: choose 'sgd' or 'adam'")

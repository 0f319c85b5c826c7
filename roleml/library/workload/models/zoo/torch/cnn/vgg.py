"""VGG networks.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015
(arXiv:1409.1556), configurations A, D and E.
"""

from __future__ import annotations

from torch import nn, optim

from roleml.library.workload.models.templates.torch.classification import SimpleTorchXYModel

__all__ = ["VGGLiteModel", "VGGModel"]

# (convolutions, channels) of each block; every block halves width and height
BLOCKS = {
    "VGG11": ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)),
    "VGG16": ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "VGG19": ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
}


class VGGModel(SimpleTorchXYModel):
    """Images `(b, in_channels, 224, 224)`, 10 classes, trained by Adam. About 130 million parameters.

    Options: `type` is 'VGG11', 'VGG16' or 'VGG19'; `lr` is the learning rate. Others are those of
    `SimpleTorchModel`. The loss is the cross entropy.
    """

    def build_model(  # type: ignore[override]  # other options are mistakes
        self,
        *,
        type: str = "VGG11",
        in_channels: int = 1,
        lr: float = 0.01,
    ) -> tuple[nn.Module, optim.Optimizer, nn.Module]:
        module = nn.Sequential(
            *_convolutions(type, in_channels),
            nn.Flatten(),
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 10),
        )
        return module, optim.Adam(module.parameters(), lr=lr), nn.CrossEntropyLoss()


class VGGLiteModel(SimpleTorchXYModel):
    """Images `(b, in_channels, 32, 32)`, 10 classes: the convolutions and one linear layer.

    Options and loss are those of `VGGModel`.
    """

    def build_model(  # type: ignore[override]  # other options are mistakes
        self,
        *,
        type: str = "VGG11",
        in_channels: int = 1,
        lr: float = 0.01,
    ) -> tuple[nn.Module, optim.Optimizer, nn.Module]:
        module = nn.Sequential(*_convolutions(type, in_channels), nn.Flatten(), nn.Linear(512, 10))
        return module, optim.Adam(module.parameters(), lr=lr), nn.CrossEntropyLoss()


def _convolutions(name: str, in_channels: int) -> list[nn.Module]:
    if name not in BLOCKS:
        raise ValueError(f"there is no VGG type {name!r}: choose {', '.join(BLOCKS)}")
    layers: list[nn.Module] = []
    for convolutions, channels in BLOCKS[name]:
        for _ in range(convolutions):
            layers += [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), nn.ReLU()]
            in_channels = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return layers

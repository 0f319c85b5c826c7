"""What the tests of the examples train: small torch models on fixed batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import roleml.essentials as rml
from roleml.library.roles.conductor import Conductor
from roleml.library.roles.federated.coordinator import FLCoordinator
from roleml.library.workload.datasets.templates import XYDataset
from roleml.library.workload.models.templates.torch.classification import SimpleTorchXYModel

BATCH = 8
CLIENTS = 4
LR = 0.3


class Linear(SimpleTorchXYModel):
    def build_model(self, **_: Any) -> Any:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
        return module, torch.optim.SGD(module.parameters(), lr=LR), nn.CrossEntropyLoss()


def batch(client: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(client)
    return torch.randn(BATCH, 6, generator=generator), torch.randint(0, 3, (BATCH,), generator=generator)


class Batch(XYDataset):
    def __init__(self, client: int) -> None:
        super().__init__(*batch(client))


def stack(samples: Any) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = zip(*samples, strict=True)
    return torch.stack(x), torch.stack(y)


class ReadableCoordinator(FLCoordinator):
    @rml.Service(expand=True)
    def get_params(self, _: rml.RoleInstanceID) -> Any:
        return self.model().get_params()


class Reads(Conductor):
    """Trains, and returns the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int) -> Any:
        self.call_task("coordinator", "run", {"num_rounds": num_rounds, "select_ratio": 1.0}).result()
        return self.call("coordinator", "get-params")

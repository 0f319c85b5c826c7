"""Split learning: clients hold the first layers, a server the others. Activations go up, gradients come down.

Gupta, Raskar, "Distributed learning of deep neural network over multiple agents", Journal of Network and
Computer Applications 116, 2018 (arXiv:1810.06060), algorithm 2: clients take turns, and hand their layers
on to the next. No image leaves its client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

import roleml.essentials as rml
from roleml.library.roles.conductor import Conductor
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.datasets.zoo.image.digits import combine

__all__ = ["LowerHalf", "SplitClient", "SplitConductor", "SplitServer", "UpperHalf", "tensors"]


class SplitClient(rml.Role):
    """Has the data, and the first layers."""

    layers: rml.Element[Any] = rml.Element(object)
    dataset: rml.Element[Any] = rml.Element(IterableDataset)
    dataset_test: rml.Element[Any] = rml.Element(IterableDataset)

    @rml.Task(expand=True)
    def train(self, _: rml.RoleInstanceID, weights: Any = None) -> Any:
        """One pass over the own data, from the weights of the client before."""
        lower = self.layers()
        if weights is not None:
            lower.module.load_state_dict(weights)
        for x, y in self.dataset():
            activations = lower.module(x)
            gradient = self.call(
                "server", "step", payloads={"activations": activations.detach(), "labels": y}
            )
            lower.optimizer.zero_grad()
            activations.backward(gradient)
            lower.optimizer.step()
        return lower.module.state_dict()

    @rml.Task(expand=True)
    def test(self, _: rml.RoleInstanceID) -> dict[str, float]:
        correct = total = 0
        with torch.no_grad():
            for x, y in self.dataset_test():
                scores = self.call("server", "predict", payloads={"activations": self.layers().module(x)})
                correct += int((scores.argmax(dim=1) == y).sum())
                total += len(y)
        return {"accuracy": correct / total}


class SplitServer(rml.Role):
    """Has the other layers, and no data."""

    layers: rml.Element[Any] = rml.Element(object)

    @rml.Service(expand=True)
    def step(self, _: rml.RoleInstanceID, activations: torch.Tensor, labels: torch.Tensor) -> Any:
        """Train on one batch; the gradient of the loss by the activations."""
        upper = self.layers()
        activations.requires_grad_()
        loss = nn.functional.cross_entropy(upper.module(activations), labels)
        upper.optimizer.zero_grad()
        loss.backward()
        upper.optimizer.step()
        return activations.grad

    @rml.Service(expand=True)
    def predict(self, _: rml.RoleInstanceID, activations: torch.Tensor) -> Any:
        with torch.no_grad():
            return self.layers().module(activations)


class SplitConductor(Conductor):
    def __init__(self) -> None:
        super().__init__("split")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 15) -> dict[str, Any]:
        """Let the clients train in turn; in the end the last one tests."""
        clients = sorted(self.ctx.relationships.get_relationship("client"))
        weights = None
        for _ in range(num_rounds):
            for client in clients:
                weights = self.call_task(client, "train", payloads={"weights": weights}).result()
        return {"rounds": num_rounds, **self.call_task(clients[-1], "test").result()}


# the workload


class _Half:
    """Some layers, and what trains them."""

    def __init__(self, module: nn.Module, lr: float) -> None:
        self.module = module
        self.optimizer = torch.optim.SGD(module.parameters(), lr=lr)


class LowerHalf(_Half):
    def __init__(self, lr: float = 0.2, seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(nn.Sequential(nn.Linear(64, 64), nn.ReLU()), lr)


class UpperHalf(_Half):
    def __init__(self, lr: float = 0.2, seed: int = 1) -> None:
        torch.manual_seed(seed)
        super().__init__(nn.Linear(64, 10), lr)


def tensors(samples: Iterable[tuple[Any, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of digits for torch."""
    x, y = combine(samples)
    return torch.from_numpy(x), torch.from_numpy(y)

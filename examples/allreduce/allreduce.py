"""Ring all-reduce: each member sends to the next one only, and all end up with the mean of the gradients.

Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", Journal of
Parallel and Distributed Computing 69(2), 2009. Each member sends 2 (n-1)/n times the
gradients, whatever n is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

import roleml.essentials as rml
from roleml.core.actor.group.makers import Relationship
from roleml.library.roles.conductor import Conductor
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.datasets.zoo.image.digits import combine
from roleml.library.workload.models.bases import TestableModel
from roleml.library.workload.models.templates.torch.classification import SimpleTorchXYModel

__all__ = [
    "AllReduceAggregator",
    "AllReduceConductor",
    "AllReduceGlobalCoordinator",
    "FlatGradientsModel",
    "he_initialisation",
    "split_gradients",
    "tensors",
]


class AllReduceAggregator(rml.Role):
    """A member of the ring. The coordinator has all members do the same step at the same time."""

    split_op: rml.Factory[Any] = rml.Factory(object)
    add_op: rml.Factory[Any] = rml.Factory(object, default_constructor=lambda a, b: a + b)
    divide_op: rml.Factory[Any] = rml.Factory(object, default_constructor=lambda a, count: a / count)
    recover_op: rml.Factory[Any] = rml.Factory(object)

    def __init__(
        self,
        client_id: int = 0,
        num_clients: int = 0,
        collect_channel: str | None = None,
        apply_update_channel: str | None = None,
        source_relationship: str | None = None,
    ) -> None:
        super().__init__()
        self.client_id, self.num_clients = client_id, num_clients
        self.collect_channel = collect_channel or "train"
        self.apply_update_channel = apply_update_channel or "apply-update"
        self.source = source_relationship or "source"
        self.blocks: list[Any] = []
        self.index = 0

    @rml.Service(expand=True)
    def scatter_reduce_initialize(self, _: rml.RoleInstanceID, **options: Any) -> None:
        update = self.call_task(self.source, self.collect_channel, options).result()
        self.blocks = list(self.split_op(update, self.num_clients))
        self.index = self.client_id

    @rml.Service(expand=True)
    def scatter_reduce_step(self, _: rml.RoleInstanceID) -> None:
        self.send("accept-add")

    @rml.Service(expand=True)
    def accept_add(self, _: rml.RoleInstanceID, block_id: int, data: Any) -> None:
        self.blocks[block_id] = self.add_op(self.blocks[block_id], data)

    @rml.Service(expand=True)
    def all_gather_initialize(self, _: rml.RoleInstanceID) -> None:
        self.index = (self.client_id + 1) % self.num_clients

    @rml.Service(expand=True)
    def all_gather_step(self, _: rml.RoleInstanceID) -> None:
        self.send("accept-replace")

    @rml.Service(expand=True)
    def accept_replace(self, _: rml.RoleInstanceID, block_id: int, data: Any) -> None:
        self.blocks[block_id] = data

    @rml.Service(expand=True)
    def all_reduce_finished(self, _: rml.RoleInstanceID) -> None:
        update = self.recover_op([self.divide_op(block, self.num_clients) for block in self.blocks])
        self.call(self.source, self.apply_update_channel, payloads={"update": update})

    def send(self, channel: str) -> None:
        """Give the block whose turn it is to the next member."""
        block = self.blocks[self.index]
        self.call("peer-aggregator", channel, {"block_id": self.index}, {"data": block})
        self.index = (self.index - 1) % self.num_clients


class AllReduceGlobalCoordinator(rml.Role):
    """Keeps the members of the ring in step: the next step begins when all have done the one before."""

    model: rml.Element[Any] = rml.Element(TestableModel)
    dataset: rml.Element[Any] = rml.Element(IterableDataset)
    init_op: rml.Factory[Any] = rml.Factory(object)

    def __init__(self, num_clients: int) -> None:
        super().__init__()
        self.num_clients = num_clients

    @rml.Task(expand=True)
    def start(self, _: rml.RoleInstanceID, num_rounds: int) -> Any:
        trainers = list(Relationship("trainer", self.ctx).targets)
        ring = list(Relationship("aggregator", self.ctx).targets)
        first = self.init_op(self.call(trainers[0], "get-model"))
        self.call_group(trainers, "apply-update", payloads={"update": first})
        result = None
        for i in range(num_rounds):
            self.call_group(ring, "scatter-reduce-initialize")
            for _step in range(self.num_clients - 1):
                self.call_group(ring, "scatter-reduce-step")
            self.call_group(ring, "all-gather-initialize")
            for _step in range(self.num_clients - 1):
                self.call_group(ring, "all-gather-step")
            self.call_group(ring, "all-reduce-finished")
            if (i + 1) % 10 == 0 or i == num_rounds - 1:
                self.model().set_params(self.call(trainers[0], "get-model"))
                result = self.model().test(self.dataset())
                self.logger.info("round %d test result is: %s", i, result)
        return result


class AllReduceConductor(Conductor):
    def __init__(self) -> None:
        super().__init__("all_reduce")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 15) -> dict[str, Any]:
        """Train, and wait for the result."""
        result = self.call_task("coordinator", "start", {"num_rounds": num_rounds}).result()
        return {"rounds": num_rounds, **result}


# the workload


class FlatGradientsModel(SimpleTorchXYModel):
    """A small network on the digits, whose gradients are one flat tensor."""

    def build_model(self, lr: float = 0.5, hidden: int = 64, seed: int = 0) -> Any:  # type: ignore[override]
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
        return module, torch.optim.SGD(module.parameters(), lr=lr), nn.CrossEntropyLoss()

    def compute_gradients(self, data: Any, **options: Any) -> tuple[dict[str, float], Any]:
        metrics, gradients = super().compute_gradients(data, **options)
        return metrics, torch.cat(gradients)

    def apply_gradients(self, gradients: Any) -> None:
        sizes = [parameter.numel() for parameter in self.module.parameters()]
        super().apply_gradients(torch.split(gradients, sizes))


def tensors(samples: Iterable[tuple[Any, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of digits for torch."""
    x, y = combine(samples)
    return torch.from_numpy(x), torch.from_numpy(y)


def split_gradients(update: torch.Tensor, n: int) -> Sequence[torch.Tensor]:
    """n blocks of nearly the same size, in order."""
    return torch.tensor_split(update, n)


def he_initialisation(params: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """New weights (He, Zhang, Ren, Sun, ICCV 2015), and biases of 0."""
    generator = torch.Generator().manual_seed(0)
    drawn: Callable[..., torch.Tensor] = torch.randn
    return {
        name: drawn(value.shape, generator=generator) * (2 / value.shape[1]) ** 0.5
        if value.dim() > 1
        else torch.zeros_like(value)
        for name, value in params.items()
    }

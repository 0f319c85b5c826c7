"""FedBuff: asynchronous federated learning. The server makes a step whenever its buffer of updates is full.

Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba, "Federated Learning with Buffered Asynchronous
Aggregation", AISTATS 2022 (arXiv:2106.06639), algorithms 1 and 2, with updates that count 1/sqrt(1 +
staleness).
"""

from __future__ import annotations

import queue
import random
from typing import Any

import numpy as np

import roleml.essentials as rml
from roleml.library.roles.conductor import Conductor
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.models.bases import TestableModel

__all__ = ["BufferedServer", "FedBuffConductor", "UpdateClient", "staleness_weight"]


def staleness_weight(staleness: int) -> float:
    """What an update counts that was made from a model ``staleness`` steps ago."""
    return float(1 / np.sqrt(1 + staleness))


class UpdateClient(rml.Role):
    """Trains from the model that it is given, and returns how much that changed."""

    @rml.Task(expand=True)
    def update(self, _: rml.RoleInstanceID, model: Any, num_epochs: int = 1) -> Any:
        self.call("trainer", "apply-update", payloads={"update": model})
        trained = self.call_task("trainer", "train", {"num_epochs": num_epochs}).result()
        return {name: model[name] - trained[name] for name in model}


class BufferedServer(rml.Role):
    """Always keeps some clients busy, and never waits for a particular one."""

    model: rml.Element[Any] = rml.Element(TestableModel)
    dataset: rml.Element[Any] = rml.Element(IterableDataset)
    step_completed = rml.Event()

    def __init__(self, buffer_size: int = 3, concurrency: int = 5, server_lr: float = 1.0) -> None:
        super().__init__()
        self.buffer_size, self.concurrency, self.server_lr = buffer_size, concurrency, server_lr
        self.version = 0
        self.stalenesses: list[int] = []
        self.arrivals: queue.SimpleQueue[tuple[rml.RoleInstanceID, int, Any]] = queue.SimpleQueue()

    @rml.Task(expand=True)
    def run(self, _: rml.RoleInstanceID, num_steps: int) -> dict[str, Any]:
        idle = sorted(self.ctx.relationships.get_relationship("client"))
        random.shuffle(idle)
        for client in [idle.pop() for _ in range(self.concurrency)]:
            self.begin(client)
        result: dict[str, Any] = {}
        while self.version < num_steps:
            self.apply(self.fill_buffer(idle))
            result = self.model().test(self.dataset())
            self.logger.info("step %d test result is: %s", self.version, result)
            self.step_completed.emit(args={"step": self.version, "result": result})
        return {"rounds": num_steps, **result, "max_staleness": max(self.stalenesses)}

    def fill_buffer(self, idle: list[rml.RoleInstanceID]) -> list[tuple[float, Any]]:
        """The next updates, as they come, with what each counts. Whoever returns makes room for another."""
        buffer: list[tuple[float, Any]] = []
        while len(buffer) < self.buffer_size:
            client, version, task = self.arrivals.get()
            idle.insert(random.randrange(len(idle) + 1), client)
            self.begin(idle.pop())
            if failure := task.exception():
                self.logger.warning("%s is left out: %s", client, failure)
                continue
            self.stalenesses.append(self.version - version)
            buffer.append((staleness_weight(self.stalenesses[-1]), task.result()))
        return buffer

    def begin(self, client: rml.RoleInstanceID) -> None:
        version = self.version
        task = self.call_task(client, "update", payloads={"model": self.model().get_params()})
        task.add_done_callback(lambda done: self.arrivals.put((client, version, done)))

    def apply(self, buffer: list[tuple[float, Any]]) -> None:
        model = self.model().get_params()
        for weight, update in buffer:
            for name in model:
                model[name] = model[name] - self.server_lr * weight * update[name] / len(buffer)
        self.model().set_params(model)
        self.version += 1


class FedBuffConductor(Conductor):
    def __init__(self) -> None:
        super().__init__("FedBuff")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_steps: int = 40) -> Any:
        """Train, and wait for the result."""
        return self.call_task("server", "run", {"num_steps": num_steps}).result()

"""AD-PSGD: peers train all the time, and average with a neighbour now and then, waiting for no one else.

Lian, Zhang, Zhang, Liu, "Asynchronous Decentralized Parallel Stochastic Gradient Descent", ICML 2018
(arXiv:1710.06952), algorithm 1. So that no two peers wait for each other in a circle, the graph is
bipartite, as is proposed there: active peers begin an exchange, passive ones answer.
"""

from __future__ import annotations

import random
import threading
from typing import Any

import roleml.essentials as rml
from roleml.core.actor.group.makers import Relationship
from roleml.library.roles.conductor.peers import PeersConductor

__all__ = [
    "ActiveAggregator",
    "ActiveCoordinator",
    "AdConductor",
    "PassiveAggregator",
    "PassiveCoordinator",
    "PassiveCoordinatorV2",
    "average",
]


def average(own: Any, received: Any, count: int) -> Any:
    return {name: (own[name] + received[name]) / count for name in own}


class Trains(rml.Role):
    """What coordinators have their trainer do."""

    def train(self) -> None:
        self.call_task("trainer", "train", {"num_epochs": 1}).result()

    def test(self) -> Any:
        return self.call_task("trainer", "test").result()


class ActiveAggregator(rml.Role):
    """Begins an exchange with a random neighbour; both end up with the mean of their models."""

    merge_completed = rml.Event()

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    @rml.Task(expand=True)
    def aggregate(self, _: rml.RoleInstanceID) -> None:
        peer = random.choice(sorted(self.ctx.relationships.get_relationship("peer")))
        with self.lock:
            own = self.call("trainer", "get-model")
            merged = self.call_task(peer, "merge-model", payloads={"data": own}).result()
            self.call("trainer", "apply-update", payloads={"update": merged})
        self.merge_completed.emit(args={"peer": peer})


class ActiveCoordinator(Trains):
    train_completed = rml.Event()

    @rml.Task(expand=True)
    def start(self, _: rml.RoleInstanceID, num_rounds: int) -> None:
        result = None
        for i in range(num_rounds):
            self.train()
            self.call_task("aggregator", "aggregate").result()
            result = self.test()
            self.logger.info("round %d aggregation done, test result is %s", i, result)
        self.train_completed.emit(args={"result": result})


class PassiveAggregator(rml.Role):
    """Answers: takes the mean of both models, and gives it back."""

    merge_op: rml.Factory[Any] = rml.Factory(object, default_constructor=average)
    merge_completed = rml.Event()

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    @rml.Task(expand=True)
    def merge_model(self, _: rml.RoleInstanceID, data: Any) -> Any:
        with self.lock:
            merged = self.merge_op(self.call("trainer", "get-model"), data, 2)
            self.call("trainer", "apply-update", payloads={"update": merged})
        self.merge_completed.emit()
        return merged


class PassiveCoordinator(Trains):
    """Version 1: trains once at the start, and once after each exchange."""

    @rml.Task(expand=True)
    def start(self, _: rml.RoleInstanceID, num_rounds: int = 0) -> None:
        self.train()
        self.logger.info("test result is %s", self.test())

    @rml.EventHandler("aggregator", "merge-completed")
    def on_merge(self, *_: Any) -> None:
        self.train()


class PassiveCoordinatorV2(Trains):
    """Version 2: trains all the time, until the active peers around it are done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: set[rml.RoleInstanceID] = set()

    @rml.Task(expand=True)
    def start(self, _: rml.RoleInstanceID, num_rounds: int) -> None:
        peers = set(Relationship("relevant-coordinator", self.ctx).targets)
        for _round in range(10 * num_rounds):
            self.train()
            self.logger.info("test result is %s", self.test())
            if self.done >= peers:
                return

    @rml.EventHandler("relevant-coordinator", "train-completed")
    def on_completed(self, source: rml.RoleInstanceID, *_: Any) -> None:
        self.done.add(source)


class AdConductor(PeersConductor):
    """Starts active and passive peers, and waits for the active ones."""

    def __init__(self) -> None:
        super().__init__("AD-PSGD", done_event="train-completed", rounds=20)

    def starting(self) -> list[rml.RoleInstanceID]:
        return [*Relationship("passive-coordinator", self.ctx).targets, *super().starting()]

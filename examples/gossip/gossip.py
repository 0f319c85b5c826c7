"""Gossip learning: models walk from peer to peer, and each peer trains what it gets.

Ormandi, Hegedus, Jelasity, "Gossip learning with linear models on fully distributed data", Concurrency and
Computation 25(4), 2013 (arXiv:1109.1396), algorithm 1.
"""

from __future__ import annotations

import random
import threading
from typing import Any

import roleml.essentials as rml
from roleml.library.roles.conductor.peers import PeersConductor
from roleml.library.workload.util.collections.merger.numpy import ArrayDictCumulator
from roleml.shared.collections.merger import ValueMerger

__all__ = ["GLCoordinator", "GossipAggregator", "GossipConductor", "average"]


def average(own: Any, received: Any, count: int) -> Any:
    """The mean of the own model and the sum of those received; ``count`` models in all."""
    return {name: (own[name] + received[name]) / count for name in own}


class GossipAggregator(rml.Role):
    """Takes models that others pass on, and passes on ours."""

    buffer: rml.Element[Any] = rml.Element(ValueMerger, default_constructor=ArrayDictCumulator)
    gossip_accepted = rml.Event()

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.count = 0

    @rml.Service(expand=True)
    def accept_gossip(self, source: rml.RoleInstanceID, data: Any) -> None:
        with self.lock:
            self.buffer().push(data)
            self.count += 1
        self.gossip_accepted.emit(args={"source_name": source.actor_name})

    @rml.Service(expand=True)
    def get_data(self, _: rml.RoleInstanceID) -> tuple[Any, int]:
        with self.lock:
            merged, count = self.buffer().merge(), self.count
            self.buffer.reset()
            self.count = 0
        return merged, count

    @rml.Service(expand=True)
    def propagate_gossip(self, _: rml.RoleInstanceID, data: Any) -> None:
        peers = sorted(self.ctx.relationships.get_relationship("peer"))
        self.call(random.choice(peers), "accept-gossip", payloads={"data": data})


class GLCoordinator(rml.Role):
    """Trains when a model comes, and hands on the outcome."""

    merge_op: rml.Factory[Any] = rml.Factory(object, default_constructor=average)
    gl_completed = rml.Event()

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.round, self.num_rounds = 0, 0
        self.ended = False

    @rml.Task(expand=True)
    def start(self, _: rml.RoleInstanceID, num_rounds: int) -> None:
        with self.lock:
            self.num_rounds = num_rounds
            self.train_and_test()
            self.propagate()

    @rml.EventHandler("aggregator", "gossip-accepted", expand=True)
    def on_gossip(self, _: rml.RoleInstanceID, source_name: str) -> None:
        with self.lock:
            received, count = self.call("aggregator", "get-data")
            if count == 0 or self.ended:
                return
            if self.round < self.num_rounds:
                self.round += 1
                own = self.call("trainer", "get-model")
                merged = self.merge_op(own, received, count + 1)
                self.call("trainer", "apply-update", payloads={"update": merged})
                result = self.train_and_test()
                self.logger.info("round %d test result is: %s", self.round, result)
                if self.round == self.num_rounds:
                    self.logger.info("GL is done!!!!")
                    self.gl_completed.emit(args={"result": result})
            self.propagate()  # also when this peer is done: others wait for models

    @rml.Service(expand=True)
    def finish(self, _: rml.RoleInstanceID) -> None:
        """All peers are done: pass on nothing more."""
        self.ended = True

    def train_and_test(self) -> Any:
        self.call_task("trainer", "train", {"num_epochs": 1}).result()
        return self.call_task("trainer", "test").result()

    def propagate(self) -> None:
        model = self.call("trainer", "get-model")
        self.call("aggregator", "propagate-gossip", payloads={"data": model})


class GossipConductor(PeersConductor):
    def __init__(self) -> None:
        super().__init__("GL", done_event="gl-completed")

    def finish(self) -> None:
        self.call_group(self.starting(), "finish")

"""Hierarchical federated averaging, in which an edge node is exchanged while the training runs.

Liu, Zhang, Song, Letaief, "Client-Edge-Cloud Hierarchical Federated Learning", ICC 2020 (arXiv:1905.06641),
algorithm 1, with one edge step in each round. The move is ours: it uses nothing but the native role.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

import roleml.essentials as rml
from roleml.core.actor.group.util.collections import TaskResultCollector
from roleml.library.roles.conductor import Conductor
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.models.bases import TestableModel
from roleml.library.workload.util.collections.merger.numpy import ArrayDictAverager, WeightedArrayDictAverager
from roleml.shared.collections.merger import make_kv_merger

__all__ = ["Cloud", "Edge", "Mover", "MovingConductor"]


class Edge(rml.Role):
    """Averages the clients around it."""

    def __init__(self, served: int = 0) -> None:
        super().__init__()
        self.served = served

    @rml.Task(expand=True)
    def aggregate(self, _: rml.RoleInstanceID, update: Any) -> tuple[Any, int]:
        """Have the clients train from a model; the mean of theirs, and how many they are."""
        clients = sorted(self.ctx.relationships.get_relationship("client"))
        self.call_group(clients, "apply-update", payloads={"update": update})
        merger = make_kv_merger(ArrayDictAverager())
        collector: TaskResultCollector[Any] = TaskResultCollector(clients, merger=merger)
        self.call_task_group(clients, "train", on_result=collector.push)
        merged = collector.result()
        self.served += 1
        return merged, len(clients)

    @rml.Service(expand=True)
    def get_served(self, _: rml.RoleInstanceID) -> int:
        """How many rounds this edge, or the one it comes from, has served."""
        return self.served


class Cloud(rml.Role):
    """Averages the edges, round by round."""

    model: rml.Element[Any] = rml.Element(TestableModel)
    dataset: rml.Element[Any] = rml.Element(IterableDataset)
    round_completed = rml.Event()

    def __init__(self) -> None:
        super().__init__()
        self.between_rounds = threading.Lock()

    @rml.Task(expand=True)
    def run(self, _: rml.RoleInstanceID, num_rounds: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        updates = 0
        for i in range(num_rounds):
            with self.between_rounds:
                updates += self.one_round()
            result = self.model().test(self.dataset())
            self.logger.info("round %d test result is: %s", i, result)
            self.round_completed.emit(args={"round": i, "result": result})
        return {"rounds": num_rounds, **result, "updates": updates}

    def one_round(self) -> int:
        edges = sorted(self.ctx.relationships.get_relationship("edge"))
        update = {"update": self.model().get_params()}
        tasks = {edge: self.call_task(edge, "aggregate", payloads=update) for edge in edges}
        results = {edge: task.result() for edge, task in tasks.items()}
        counts = {edge: count for edge, (_, count) in results.items()}
        merger: WeightedArrayDictAverager[Any] = WeightedArrayDictAverager(counts)
        for edge, (merged, _) in results.items():
            merger.push(edge, merged)
        self.model().set_params(merger.merge())
        return sum(counts.values())

    @rml.Service(expand=True)
    def replace_edge(self, _: rml.RoleInstanceID, old: rml.RoleInstanceID, new: rml.RoleInstanceID) -> None:
        """From the next round on, the new edge takes the place of the old one, which is idle then."""
        with self.between_rounds:
            for op, edge in (("add", new), ("remove", old)):
                change = {"relationship_name": "edge", "op": op, "instances": [edge]}
                self.call("/", "update-relationship", change)


class Mover(rml.Role):
    """Moves an edge to another actor: the new one is ready before the old one goes."""

    @rml.Task(expand=True)
    def move(self, _: rml.RoleInstanceID, source: str, destination: str, clients: list[str]) -> int:
        old, new = (rml.RoleInstanceID(actor, "edge") for actor in (source, destination))
        at_source, at_destination = (rml.RoleInstanceID(actor, "actor") for actor in (source, destination))
        members = [rml.RoleInstanceID.of(client) for client in clients]
        change = {"relationship_name": "client", "op": "add", "instances": members}
        self.call(at_destination, "update-relationship", change)
        spec = {"class": "moving.Edge", "options": {"served": self.call(old, "get-served")}}
        self.call_task(at_destination, "assign-role", {"name": "edge", "spec": spec}).result()
        self.call("cloud", "replace-edge", {"old": old, "new": new})
        self.call_task(at_source, "terminate-role", {"name": "edge"}).result()
        self.logger.info("the edge of %s has moved to %s", source, destination)
        return int(self.call(new, "get-served"))


class MovingConductor(Conductor):
    """Begins the training, and moves an edge in the middle of it."""

    def __init__(self) -> None:
        super().__init__("moving")
        self.cli.add_command("start", self.start, expand_arguments=True)
        self.rounds: queue.SimpleQueue[int] = queue.SimpleQueue()

    @rml.EventHandler("cloud", "round-completed", expand=True)
    def on_round(self, _: rml.RoleInstanceID, round: int, **__: Any) -> None:
        self.rounds.put(round)

    def start(self, num_rounds: int = 20, move_after: int = 8) -> dict[str, Any]:
        """Train; after some rounds, move the edge of edge2 to spare, while the training goes on."""
        training = self.call_task("cloud", "run", {"num_rounds": num_rounds})
        training.add_done_callback(lambda _: self.rounds.put(num_rounds))  # also when it fails
        while (i := self.rounds.get()) < move_after:
            pass
        if i == num_rounds:
            return dict(training.result())
        clients = [f"client{number}/trainer" for number in range(6, 11)]
        move = {"source": "edge2", "destination": "spare", "clients": clients}
        served = self.call_task("mover", "move", move).result()
        return {**training.result(), "served_before_the_move": served}

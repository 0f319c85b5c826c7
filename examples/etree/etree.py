"""E-Tree learning: clients form a tree, whose inner nodes average what their children have trained.

Yang, Lu, Cao, Huang, Zhang, "E-Tree Learning: A Novel Decentralized Model Learning Framework for Edge AI",
IEEE Internet of Things Journal 8(14), 2021 (arXiv:2008.01553).
"""

from __future__ import annotations

from typing import Any

import roleml.essentials as rml
from roleml.core.actor.group.makers import Relationship
from roleml.core.actor.group.util.collections import TaskResultCollector
from roleml.library.roles.conductor import Conductor
from roleml.library.workload.datasets.bases import IterableDataset
from roleml.library.workload.models.bases import TestableModel
from roleml.shared.collections.merger import DictKeyValueMerger

__all__ = ["ELConductor", "ELCoordinator", "LayeredCollectiveAggregator"]


class LayeredCollectiveAggregator(rml.Role):
    """A node of the tree. Its children are the members of ``source-<layer>``: trainers, or nodes below it."""

    merger: rml.Factory[Any] = rml.Factory(object, default_constructor=DictKeyValueMerger)
    step_completed = rml.Event()
    aggregation_completed = rml.Event()

    def __init__(
        self,
        layer: int = 0,
        collect_channel: str | None = None,
        dispatch_channel: str | None = None,
        num_steps: int = 1,
    ) -> None:
        super().__init__()
        self.layer, self.num_steps = layer, num_steps
        self.collect_channel = collect_channel or ("train" if layer == 0 else "aggregate")
        self.dispatch_channel = dispatch_channel or ("apply-update" if layer == 0 else "dispatch")

    @property
    def sources(self) -> list[rml.RoleInstanceID]:
        return list(Relationship(f"source-{self.layer}", self.ctx).targets)

    @rml.Task(expand=True)
    def aggregate(self, _: rml.RoleInstanceID, num_steps: int | None = None) -> Any:
        merged, steps = None, num_steps or self.num_steps
        for step in range(steps):
            merged = self.collect()
            if step < steps - 1:
                self.hand_down(merged)
            self.step_completed.emit(args={"step": step})
        self.aggregation_completed.emit(args={"sources": self.sources})
        return merged

    @rml.Service(expand=True)
    def dispatch(self, _: rml.RoleInstanceID, update: Any) -> None:
        self.hand_down(update)

    def collect(self) -> Any:
        sources = self.sources
        collector: TaskResultCollector[Any] = TaskResultCollector(sources, merger=self.merger())
        self.call_task_group(sources, self.collect_channel, on_result=collector.push)
        return collector.result()

    def hand_down(self, update: Any) -> None:
        self.call_group(self.sources, self.dispatch_channel, payloads={"update": update})


class ELCoordinator(rml.Role):
    """Begins each round at the root of the tree."""

    model: rml.Element[Any] = rml.Element(TestableModel)
    dataset: rml.Element[Any] = rml.Element(IterableDataset)
    round_completed = rml.Event()
    el_completed = rml.Event()

    @rml.Task(expand=True)
    def run(self, _: rml.RoleInstanceID, num_rounds: int = 10) -> Any:
        result = None
        for i in range(num_rounds):
            self.call("root", "dispatch", payloads={"update": self.model().get_params()})
            self.model().set_params(self.call_task("root", "aggregate").result())
            result = self.model().test(self.dataset())
            self.logger.info("round %d test result is: %s", i, result)
            self.round_completed.emit(args={"round": i, "result": result})
        self.el_completed.emit()
        self.logger.info("EL is done!!!!")
        return result


class ELConductor(Conductor):
    def __init__(self) -> None:
        super().__init__("EL")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 75) -> dict[str, Any]:
        """Train, and wait for the result."""
        result = self.call_task("coordinator", "run", {"num_rounds": num_rounds}).result()
        return {"rounds": num_rounds, **result}

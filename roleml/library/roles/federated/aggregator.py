"""Has the clients of a round train, and makes one model of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roleml.core.actor.group.util.collections import TaskResultCollector
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Task
from roleml.core.role.elements import Factory
from roleml.core.role.types import ErrorHandlingStrategy, Message, TaskInvocation
from roleml.library.workload.util.collections.merger.base import DefaultWeightedMerger
from roleml.shared.collections.merger import DictKeyValueMerger

__all__ = ["CollectiveAggregator", "WeightedCollectiveAggregator"]


class CollectiveAggregator(Role):
    """Merges what a task of all sources returns, with a new `merger` (of values or of pairs) each time.

    A source whose task fails is left out, with a warning in the log; one that cannot be called at all fails
    the aggregation.
    """

    def __init__(self, collect_channel: str = "train") -> None:
        super().__init__()
        self.collect_channel = collect_channel

    merger: Factory[Any] = Factory(object, default_constructor=DictKeyValueMerger)

    aggregation_completed = Event()

    @Task(expand=True)
    def aggregate(
        self,
        _: RoleInstanceID,
        sources_and_options: Mapping[RoleInstanceID, Mapping[str, Any]],
        collect_channel: str | None = None,
        key: str = "",
    ) -> Any:
        """Call the task of each source with its options, wait for all of them, return the merged value.

        `key` is that of the tasks: see `Role.call_task`.

        Raises:
            CallerError: there are no sources.
            RuntimeError: the task failed at every source.
        """
        sources = list(sources_and_options)
        self.require(sources, "there is nothing to aggregate: sources_and_options is empty")
        collector: TaskResultCollector[Any] = TaskResultCollector(sources, merger=self.new_merger(sources))
        failures: list[Exception] = []

        def collect(source: RoleInstanceID, task: TaskInvocation) -> None:
            if failure := task.exception():
                failures.append(failure)
            collector.push(source, task)

        self.call_task_group(
            sources,
            channel := collect_channel or self.collect_channel,
            message_map={source: Message(dict(options)) for source, options in sources_and_options.items()},
            on_result=collect,
            key=key,
        )
        aggregated = collector.result()
        if len(failures) == len(sources):
            raise RuntimeError(
                f"task {channel!r} failed at all {len(sources)} sources; the first of them: {failures[0]}"
            ) from failures[0]
        self.aggregation_completed.emit(args={"sources": sources})
        return aggregated

    def new_merger(self, sources: list[RoleInstanceID]) -> Any:
        """The merger of one aggregation."""
        return self.merger()


class WeightedCollectiveAggregator(CollectiveAggregator):
    """Asks each source for its weight first, by default the size of its dataset, and gives the weights to the
    constructor of `merger`.
    """

    def __init__(self, collect_channel: str = "train", weight_source_channel: str = "get-data-size") -> None:
        super().__init__(collect_channel)
        self.weight_source_channel = weight_source_channel

    merger: Factory[Any] = Factory(object, default_constructor=DefaultWeightedMerger)

    def new_merger(self, sources: list[RoleInstanceID]) -> Any:
        patient = ErrorHandlingStrategy.RETRY if self.keeps_checkpoints else ErrorHandlingStrategy.RAISE_FIRST
        weights = self.call_group(sources, self.weight_source_channel, on_error=patient)
        return self.merger(dict(weights))

"""Which hyper-parameters each epoch of a training is run with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import repeat
from typing import Any

__all__ = ["FixedTrainingPlanner", "TrainingPlanner"]


class TrainingPlanner(ABC):
    """Makes a plan for each call of a trainer's `train`. One planner serves all calls and may learn from
    them.
    """

    @abstractmethod
    def make_plan(self, num_steps: int, **hyperparams: Any) -> Iterable[dict[str, Any]]:
        """The hyper-parameters of each of `num_steps` epochs, which become options of `model.train`.

        `hyperparams` are the options given to the trainer's task. The plan is read one step at a time, each
        when the epoch before has been reported, so that a generator can react to the metrics.
        """

    def report(self, result: dict[str, Any]) -> None:  # noqa: B027 - planners need not listen
        """Take note of the metrics of the epoch that was just trained."""


class FixedTrainingPlanner(TrainingPlanner):
    """The same hyper-parameters in every epoch."""

    def make_plan(self, num_steps: int, **hyperparams: Any) -> Iterable[dict[str, Any]]:
        return repeat(hyperparams, num_steps)

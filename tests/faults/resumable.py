"""`roleml` in a process that kills itself: `python -m tests.faults.resumable POINT run ...`.

A point is `module:Class.method:n:before` or `...:after`: of the n-th call of the method. It is `-` for none.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
from functools import wraps
from typing import Any

import roleml.essentials as rml
from roleml.cli.main import main
from roleml.library.roles.trainer.epoch import EpochTrainer

__all__ = ["Starter", "Trainer"]


class Starter(rml.Role, rml.Runnable):
    """Has the coordinator run, and is done when that is."""

    def __init__(self, rounds: int, select_ratio: float) -> None:
        super().__init__()
        self.options = {"num_rounds": rounds, "select_ratio": select_ratio}

    def run(self) -> None:
        self.call_task("coordinator", "run", self.options, key="run").result()


class Trainer(EpochTrainer):
    """Notes how often it begins to train."""

    def __init__(self, journal: str) -> None:
        super().__init__()
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _train(self, num_epochs: int, options: dict[str, Any]) -> dict[str, Any]:
        os.write(self._journal, f"{self.current_epoch + 1}\n".encode())
        return super()._train(num_epochs, options)


def die_at(point: str) -> None:
    module, name, number, when = point.split(":")
    class_name, method_name = name.split(".")
    cls = getattr(importlib.import_module(module), class_name)
    method = getattr(cls, method_name)
    calls = itertools.count(1)

    @wraps(method)
    def watched(*args: Any, **kwargs: Any) -> Any:
        last = next(calls) == int(number)
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        value = method(*args, **kwargs)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    setattr(cls, method_name, watched)


if __name__ == "__main__":
    if sys.argv[1] != "-":
        die_at(sys.argv[1])
    sys.exit(main(sys.argv[2:]))

"""The one who starts federated averaging. All other roles come from the library."""

from __future__ import annotations

from typing import Any

from roleml.library.roles.conductor import Conductor

__all__ = ["FedAvgConductor"]


class FedAvgConductor(Conductor):
    """Adds the command ``start``."""

    def __init__(self) -> None:
        super().__init__("FL")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 75, select_ratio: float = 0.0, count: int = 1) -> dict[str, Any]:
        """Train, and wait for the result."""
        options = {"num_rounds": num_rounds, "select_ratio": select_ratio, "count": count}
        result = self.call_task("coordinator", "run", args=options).result()
        return {"rounds": num_rounds, **(result or {})}

"""Who starts federated averaging with many clients. All other roles come from the library."""

from __future__ import annotations

from typing import Any

from roleml.library.roles.conductor import Conductor

__all__ = ["ManyClientsConductor"]


class ManyClientsConductor(Conductor):
    """Has a share of the clients train in each round."""

    def __init__(self) -> None:
        super().__init__("FL")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 50, select_ratio: float = 0.1) -> dict[str, Any]:
        """Train, and wait for the result."""
        options = {"num_rounds": num_rounds, "select_ratio": select_ratio}
        result = self.call_task("coordinator", "run", options).result()
        return {"rounds": num_rounds, **(result or {})}

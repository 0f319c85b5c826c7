"""Who starts federated averaging. The roles that carry it out are in `roleml.library.roles.federated`.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-Efficient Learning of Deep Networks from
Decentralized Data", AISTATS 2017 (arXiv:1602.05629), algorithm 1.
"""

from __future__ import annotations

import queue
from typing import Any

import roleml.essentials as rml
from roleml.library.roles.conductor import Conductor
from roleml.library.roles.initiator.client import ClientInitiator
from roleml.library.roles.initiator.server import ServerInitiator

__all__ = ["FedAvgConductor", "MyClientInitiator", "MyServerInitiator", "WaitingConductor"]


class FedAvgConductor(Conductor):
    """The experimenter starts it."""

    def __init__(self) -> None:
        super().__init__("FL")
        self.cli.add_command("start", self.start, expand_arguments=True)

    def start(self, num_rounds: int = 75, select_ratio: float = 0.0, count: int = 1) -> dict[str, Any]:
        """Train, and wait for the result."""
        options = {"num_rounds": num_rounds, "select_ratio": select_ratio, "count": count}
        # the key: asked for again after a power cut, it is the same run
        result = self.call_task("coordinator", "run", options, key=f"start {options}").result()
        return {"rounds": num_rounds, **(result or {})}


class MyServerInitiator(ServerInitiator):
    """The server starts it, when enough clients have registered."""

    run_ended = rml.Event()

    def __init__(
        self,
        min_clients: int = 10,
        max_seconds: float = 86400,
        relationship_name: str = "trainer",
        num_rounds: int = 75,
        select_ratio: float | None = None,
        count: int = 1,
    ) -> None:
        super().__init__(min_clients, max_seconds, relationship_name)
        self.run_options = {"num_rounds": num_rounds, "select_ratio": select_ratio, "count": count}

    def start_impl(self) -> None:
        self.call_task("coordinator", "run", self.run_options).add_done_callback(self.tell)

    def tell(self, task: rml.TaskInvocation) -> None:
        error = task.exception()
        result = {"error": str(error)} if error else task.result()
        self.run_ended.emit(args={"rounds": self.run_options["num_rounds"], "result": result})


class MyClientInitiator(ClientInitiator):
    """The last role of a client: its trainer is there when the server hears of it."""


class WaitingConductor(Conductor):
    """Starts nothing, and waits for the end."""

    def __init__(self) -> None:
        super().__init__("FL")
        self.cli.add_command("wait", self.wait, expand_arguments=True)
        self.end: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    @rml.EventHandler("initiator", "run-ended", expand=True)
    def on_end(self, _: rml.RoleInstanceID, rounds: int, result: dict[str, Any]) -> None:
        self.end.put({"rounds": rounds, **result})

    def wait(self) -> dict[str, Any]:
        """Wait until the run that begins by itself is over."""
        result = self.end.get()
        if "error" in result:
            raise RuntimeError(result["error"])
        return result

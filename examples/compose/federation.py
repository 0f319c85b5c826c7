"""Federated averaging with clients that come and go: what `compose.yaml` runs, one actor in each container.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017
(arXiv:1602.05629), algorithm 1, with the numbers of samples as weights. Nobody knows the clients beforehand:
each registers when it starts, takes part from the next round on, and is left out when it is gone.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
import uuid
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

import roleml.essentials as rml
from roleml.core.role.exceptions import RoleInteractionError
from roleml.library.roles.initiator.server import ServerInitiator
from roleml.library.workload.datasets.templates import XYDataset
from roleml.library.workload.datasets.zoo.image.digits import DigitsDataset
from roleml.library.workload.util.collections.merger.numpy import WeightedArrayDictAverager

#: how long a round waits for its clients before it asks those that are missing whether they are still there
ASK_EVERY_S = 1.0

KEEP = rml.ErrorHandlingStrategy.KEEP
Returned = queue.SimpleQueue[tuple[rml.RoleInstanceID, Any]]
Clients = Collection[rml.RoleInstanceID]


class LocalDigits(XYDataset):
    """The digits that this machine has seen: some of the training set, drawn at random by its name."""

    def __init__(self, samples: int) -> None:
        digits = DigitsDataset("train")
        drawn = np.random.default_rng(zlib.crc32(socket.gethostname().encode())).permutation(len(digits.y))
        super().__init__(digits.x[drawn[:samples]], digits.y[drawn[:samples]])


class Federation(ServerInitiator):
    """The server: registers clients, and has them train in rounds. Register its clients as ``client``."""

    model = rml.Element(object)
    dataset = rml.Element(object)

    round_completed = rml.Event()

    def __init__(self, min_clients: int) -> None:
        super().__init__(min_clients, relationship_name="client")
        self.enough = threading.Event()
        self.ended = threading.Event()
        self.latest = ""

    def start_impl(self) -> None:
        self.enough.set()

    def stop(self) -> None:
        super().stop()
        self.ended.set()

    def pause(self, seconds: float = ASK_EVERY_S) -> None:
        """Between two looks at who is there. Raises RuntimeError when this role ends."""
        if self.ended.wait(seconds):
            raise RuntimeError("the server was stopped before the last round")

    @rml.Task(expand=True)
    def run_rounds(self, _: rml.RoleInstanceID, run: str, rounds: int, epochs: int) -> dict[str, Any]:
        """Wait for enough clients, then train; returns the parameters of the model.

        A run whose conductor died would go on beside that of its successor: the latest one ends the others.
        """
        self.latest = run
        while not self.enough.is_set():
            self.pause()
        model = self.model()
        for number in range(1, rounds + 1):
            self.require(run == self.latest, f"run {run} is over: run {self.latest} has begun")
            started = time.perf_counter()
            updates: dict[rml.RoleInstanceID, Any] = {}
            while not updates:  # with everybody gone, the round begins anew when somebody is there
                updates = self.train(self.prepare(model.get_params()), epochs)
            weights = {client: update["data_size"] for client, update in updates.items()}
            merger: WeightedArrayDictAverager[rml.RoleInstanceID] = WeightedArrayDictAverager(weights)
            for client, update in updates.items():
                merger.push(client, update["update"])
            model.set_params(merger.merge())
            report = {
                "run": run,
                "round": number,
                "clients": sorted(client.actor_name for client in updates),
                "seconds": round(time.perf_counter() - started, 3),
                **model.test(self.dataset()),
            }
            self.logger.info("round %d: %s", number, report)
            self.round_completed.emit(args=report)
        return dict(model.get_params())

    def prepare(self, parameters: Any) -> Clients:
        """Give the model to all clients; those that have it now."""
        while not (clients := self.ctx.relationships.get_relationship("client")):
            self.pause()
        answers = dict(
            self.call_group(
                clients,
                "apply-update",
                payloads={"update": parameters},
                on_error=KEEP,
            )
        )
        return self.without_the_lost(answers)

    def train(self, clients: Clients, epochs: int) -> dict[rml.RoleInstanceID, Any]:
        """What they return, as far as they are there until they have trained."""
        returned: Returned = queue.SimpleQueue()
        for client in clients:
            # a thread each: the task of a client that has just died waits for it, and so does the call
            threading.Thread(target=self.train_one, args=(client, epochs, returned), daemon=True).start()
        updates, missing = {}, set(clients)
        while missing:
            try:
                client, update = returned.get(timeout=ASK_EVERY_S)
            except queue.Empty:
                self.pause(0)
                answers = self.call_group(missing, "get-data-size", on_error=KEEP)
                missing = set(self.without_the_lost(dict(answers)))
                continue
            missing.discard(client)
            if update is not None:
                updates[client] = update
        return updates

    def train_one(self, client: rml.RoleInstanceID, epochs: int, returned: Returned) -> None:
        update = None
        try:
            update = self.call_task(client, "train2", {"num_epochs": epochs}).result()
        except RoleInteractionError as error:
            self.logger.warning("%s has not trained: %s", client.actor_name, error)
        finally:
            returned.put((client, update))

    def without_the_lost(self, answers: dict[rml.RoleInstanceID, Any]) -> Clients:
        """Who has answered. The others are dismissed; a client that starts again registers again."""
        lost = [client for client, answer in answers.items() if isinstance(answer, Exception)]
        if lost:
            self.logger.warning("lost: %s", ", ".join(client.actor_name for client in lost))
            change = {"relationship_name": "client", "op": "remove", "instances": lost}
            self.call("/", "update-relationship", args=change)
        return [client for client in answers if client not in lost]


class Experiment(rml.Role, rml.Runnable):
    """The conductor: begins the run, shows and keeps what it hears of it, and ends with a summary."""

    def __init__(self, rounds: int, epochs: int, folder: str) -> None:
        super().__init__()
        self.rounds = rounds
        self.epochs = epochs
        self.folder = Path(folder)
        self.metrics = self.folder / "metrics.jsonl"
        self.run_id = uuid.uuid4().hex[:8]
        self.reports: list[dict[str, Any]] = []
        self.news = threading.Condition()

    def run(self) -> None:
        self.metrics.touch()  # fails here, and not after the last round
        print(f"waiting for the clients of {self.rounds} rounds", flush=True)
        options = {"run": self.run_id, "rounds": self.rounds, "epochs": self.epochs}
        parameters = self.call_task("federation", "run-rounds", options).result()
        with self.news:
            self.news.wait_for(lambda: len(self.reports) == self.rounds, timeout=30)
        np.savez(self.folder / "model.npz", **parameters)
        last = max(self.reports, key=lambda report: report["round"])
        clients = sorted({client for report in self.reports for client in report["clients"]})
        summary = {"rounds": self.rounds, "accuracy": last["accuracy"], "clients": clients}
        (self.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        print(f"test accuracy {last['accuracy']:.4f} after {self.rounds} rounds with {len(clients)} clients")
        print(f"summary.json, metrics.jsonl and model.npz are in {self.folder}", flush=True)

    @rml.EventHandler("federation", "round-completed")
    def on_round_completed(self, _: rml.RoleInstanceID, args: rml.Args, __: rml.Payloads) -> None:
        if args["run"] != self.run_id:
            return
        with self.news:
            self.reports.append(dict(args))
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(args) + "\n")
            print(
                f"round {args['round']:>3}: accuracy {args['accuracy']:.4f}, {len(args['clients'])} clients, "
                f"{args['seconds']:.2f} s",
                flush=True,
            )
            self.news.notify_all()

"""Every process of a run is killed, at chosen points of its program, and started again with --resume.

The run ends with the weights of one that nobody disturbed, bit by bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roleml.cli.demo.application import client, server
from roleml.cli.demo.options import DemoOptions
from roleml.shared.yml import save_yaml
from tests.actors import wait_until
from tests.broker.broker import Broker
from tests.broker.fixtures import fresh_vhost
from tests.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

LONG = bool(os.environ.get("ROLEML_FAULTS"))

OPTIONS = DemoOptions(clients=3, rounds=4, epochs=2, select_ratio=0.7, seed=5)
CLIENTS = OPTIONS.client_names
EVERYBODY = [*CLIENTS, "server", "starter"]
DEADLINE_S = 60.0

TRAIN = "tests.faults.resumable:Trainer._train"
EPOCH = "roleml.library.workload.models.templates.sklearn:MLPClassifierModel.train"
SAVE = "roleml.core.actor.checkpoints:Checkpoints.save"
WRITE = "roleml.core.actor.checkpoints:Checkpoints._write"
ANSWER = "roleml.messaging.serving:Serving._answer_value"
ROUND = "roleml.library.roles.federated.coordinator:FLCoordinator._round"
TELL = "roleml.library.roles.federated.coordinator:FLCoordinator._tell"
AGGREGATE = "roleml.library.roles.federated.aggregator:CollectiveAggregator.new_merger"
TAKE = "roleml.messaging.mailbox:Mailbox._take_answer"

#: who is killed, when in words, and at which point
KILLS = [
    ("client1", "before it trains", f"{TRAIN}:2:before"),
    ("client1", "in the middle of training", f"{EPOCH}:4:before"),
    ("client1", "after training, before its checkpoint", f"{TRAIN}:2:after"),
    ("client1", "while it writes a checkpoint", f"{WRITE}:3:before"),
    ("client1", "after a checkpoint, before it answers", f"{WRITE}:4:after"),
    ("client1", "after it answered", f"{ANSWER}:4:after"),
    ("server", "at the beginning of a round", f"{ROUND}:2:before"),
    ("server", "while its clients train", f"{AGGREGATE}:2:before"),
    ("server", "after a round, before its checkpoint", f"{TELL}:2:after"),
    ("server", "after a checkpoint", f"{SAVE}:3:after"),
    ("server", "when all is done, before its answer is safe", f"{ANSWER}:1:before"),
    ("server", "after it answered", f"{ANSWER}:1:after"),
    ("starter", "before its call is accepted", f"{TAKE}:1:before"),
    ("starter", "while it waits", f"{TAKE}:1:after"),
    ("starter", "before it reads the result", f"{TAKE}:2:before"),
]
SHORT = {f"{EPOCH}:4:before", f"{WRITE}:4:after", f"{AGGREGATE}:2:before", f"{TAKE}:1:after"}


class Run:
    """The processes of one run. A context manager, which kills them."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self._broker = broker
        self._programs: dict[str, Program] = {}
        self._stack = ExitStack()
        configs = {f"client{i + 1}": client(OPTIONS, f"client{i + 1}", i) for i in range(OPTIONS.clients)}
        for name, config in configs.items():
            options = {"journal": str(folder / f"{name}.journal")}
            config["roles"]["trainer"] |= {"class": "tests.faults.resumable.Trainer", "options": options}
            (folder / f"{name}.journal").touch()
        configs["server"] = server(OPTIONS, folder)
        roles: Any = configs["server"]["roles"]
        library = "roleml.library"
        roles["configurator"] = {"class": f"{library}.roles.federated.configurator.WarmUpClientConfigurator"}
        optimizer = {"type": f"{library}.workload.util.collections.merger.server.FedAvgM"}
        roles["aggregator"]["impl"] = {"merger": {"constructor": optimizer}}
        options = {"rounds": OPTIONS.rounds, "select_ratio": OPTIONS.select_ratio}
        configs["starter"] = {
            "name": "starter",
            "relationships": {"coordinator": ["server/coordinator"]},
            "roles": {"starter": {"class": "tests.faults.resumable.Starter", "options": options}},
        }
        for name, config in configs.items():
            save_yaml(str(folder / f"{name}.yaml"), dict(config))

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def start(self, names: Sequence[str], points: dict[str, str] | None = None) -> None:
        for name in names:
            self._programs[name] = self._stack.enter_context(
                Program(
                    self.folder,
                    *("tests.faults.resumable", (points or {}).get(name, "-"), "run", f"{name}.yaml"),
                    *("--broker", self._broker, "--checkpoint", "checkpoints", "--resume"),
                    *("--ready-file", f"{name}.ready"),
                    *(["--exit-when-done"] if name == "starter" else []),
                )
            )

    def wait_ready(self, names: Sequence[str]) -> None:
        wait_until(lambda: all((self.folder / f"{name}.ready").exists() for name in names), DEADLINE_S)

    def wait_killed(self, name: str) -> None:
        """It must be the point that ended it, and nothing else."""
        program = self._programs[name]
        assert program.end() == -9, program.text
        (self.folder / f"{name}.ready").unlink(missing_ok=True)

    def kill_all(self) -> None:
        for name, program in self._programs.items():
            program.kill()
            program.end()
            (self.folder / f"{name}.ready").unlink(missing_ok=True)

    def weights(self) -> dict[str, Any]:
        """Those of the server, once the run is over."""
        starter = self._programs["starter"]
        assert starter.end() == 0, starter.text
        self.wait_ready(["server"])  # it may have been started again just now
        server = self._programs["server"]
        server.terminate()
        server.end()
        with np.load(self.folder / "model.npz") as file:
            return dict(file)

    def trainings(self) -> dict[str, list[str]]:
        """At which epochs each client began to train."""
        return {name: (self.folder / f"{name}.journal").read_text().split() for name in CLIENTS}


@pytest.fixture(scope="module")
def undisturbed(broker_node: Broker, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with new_run(broker_node, tmp_path_factory.mktemp("undisturbed")) as run:
        run.start([*CLIENTS, "server"])
        run.wait_ready([*CLIENTS, "server"])
        run.start(["starter"])
        return run.weights(), run.trainings()


def new_run(node: Broker, folder: Path) -> Run:
    vhost = fresh_vhost()
    node.add_vhost(vhost)
    return Run(folder, node.url(vhost=vhost))


@pytest.fixture
def run(broker_node: Broker, tmp_path: Path) -> Iterator[Run]:
    with new_run(broker_node, tmp_path) as run:
        yield run


def assert_equal(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array)


@pytest.mark.parametrize(
    ("victim", "point"),
    [
        pytest.param(victim, point, id=f"{victim} {words}")
        for victim, words, point in KILLS
        if LONG or point in SHORT
    ],
)
def test_a_run_with_a_process_killed_ends_with_the_weights_of_one_without(
    run: Run, undisturbed: Any, victim: str, point: str
) -> None:
    weights, trainings = undisturbed
    others = [*CLIENTS, "server"]
    run.start(others, {victim: point})
    run.wait_ready(others)
    run.start(["starter"], {victim: point})
    run.wait_killed(victim)
    run.start([victim])
    assert_equal(run.weights(), weights)
    for name, began in run.trainings().items():
        assert sorted(set(began)) == sorted(trainings[name])
        assert len(began) - len(trainings[name]) <= (name == victim)  # once again, by who was in the middle


def test_a_run_goes_on_after_all_processes_were_killed_at_once(run: Run, undisturbed: Any) -> None:
    weights, trainings = undisturbed
    others = [*CLIENTS, "server"]
    run.start(others, {"server": f"{AGGREGATE}:3:before"})
    run.wait_ready(others)
    run.start(["starter"])
    run.wait_killed("server")
    run.kill_all()
    run.start(EVERYBODY)
    assert_equal(run.weights(), weights)
    assert all(set(began) == set(trainings[name]) for name, began in run.trainings().items())

"""Makes RoleML's errors happen, each as its page says that it does."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import roleml.essentials as rml
from roleml.cli.foreground import RunFailedError
from roleml.cli.main import parser
from roleml.cli.processes import EndedTooEarlyError
from roleml.cli.run import run
from roleml.core.actor.group.util.collections import AsynchronousKeyValueMerger
from roleml.core.actor.status import RoleStatusManager
from roleml.core.context import ActorProfile, RoleInstanceID
from roleml.core.role.types import Message
from roleml.core.status import Status, StatusControl
from roleml.library.roles.conductor.deployment import AbsentError, DeploymentError
from roleml.messaging.codec import Body, Codec
from roleml.messaging.exceptions import MsgConnectionError
from roleml.shared.cli import RuntimeCLI
from roleml.shared.collections.merger import ValueMerger
from roleml.simulation.session import RunEndedError
from tests.actors import Actors

__all__ = ["APPLICATION", "CHECKED", "PROVOKED"]


APPLICATION = """
import roleml.essentials as rml

class Trainer(rml.Role):
    model = rml.Element(dict)
    trained = rml.Event()

    def __init__(self, rounds):
        super().__init__()

class Server(rml.Role):
    @rml.EventHandler("trainer", "traind", expand=True)
    def on_trained(self, _): pass

    @rml.EventHandler("trainr", "trained", expand=True)
    def on_other(self, _): pass

    @rml.EventHandler("trainer", "trained", conditions={"loss__lt": 0.1, "loss__gt": 0.5}, expand=True)
    def on_good(self, _): pass

class Hermit(rml.Role):
    @rml.Service(expand=True)
    def ask(self, _): pass
"""

#: configurations with mistakes that only `roleml check` finds
CHECKED = {
    "actors.yaml": """
profiles:
- name: server
  roles: {server: application.Server}
  relationships: {trainer: [client1/trainer, client1/trainr, a/b/c]}
  relationship_links: {workers: traine}
- name: client1
  roles: {trainer: {class: application.Trainer, options: {rounds: 3}}}
- name: client1
- name: client2
  roles: {hermit: application.Hermit}
""",
    "run.yaml": """
profiles: [{name: server}, {name: client1}]
roles:
  server: {server: application.Hermit}
relationship_rules:
  clinet1: {server: server}
""",
    "client1.yaml": """
name: client1
relationships:
  server: [server/server]
  server: [server2/server]
""",
}


class Trainer(rml.Role):
    trained = rml.Event()

    @rml.Service(expand=True)
    def score(self, caller: RoleInstanceID, rounds: int) -> float:
        self.require(rounds > 0, "rounds must be above 0")
        return 1 / (rounds - 1)

    @rml.Task(expand=True)
    def train(self, caller: RoleInstanceID) -> None:
        self.asked.wait(5)

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()


@contextlib.contextmanager
def pair() -> Iterator[tuple[Any, Any, Trainer]]:
    """The role `server` of an actor, that actor, and the role `trainer` of another."""
    actors, trainer, server = Actors(), Trainer(), rml.Role()
    try:
        actors.start("client1", {"trainer": trainer})
        actor = actors.start("server", {"server": server}, relationships={"trainer": ["client1/trainer"]})
        yield server, actor, trainer
    finally:
        trainer.asked.set()
        actors.stop()


def with_pair(act: Callable[[Any, Any, Trainer], Any]) -> Callable[[Path], Any]:
    def provoke(_: Path) -> None:
        with pair() as roles:
            act(*roles)

    return provoke


def configured(text: str) -> Callable[[Path], Any]:
    def provoke(folder: Path) -> None:
        (folder / "client1.yaml").write_text(text, encoding="utf-8")
        builder = rml.ActorBuilder()
        builder.load_file("client1.yaml")
        builder.build()

    return provoke


def raising(error: Callable[[], Exception]) -> Callable[[Path], Any]:
    def provoke(_: Path) -> None:
        raise error()

    return provoke


def decode_damaged(_: Path) -> None:
    codec = Codec()
    codec.decode(Body(codec.encode({"loss": 0.5}).header[:-3]))


def name_taken(_: Path) -> None:
    actors = Actors()
    actors.broker = "embedded://desk"
    try:
        actors.start("client1")
        actors.start("client1")
    finally:
        actors.stop()


class Sum(ValueMerger[int, int]):
    def __init__(self) -> None:
        self.total = 0

    def push(self, value: int) -> None:
        self.total += value

    def merge(self) -> int:
        return self.total


def left_out(_: Path) -> None:
    collector = AsynchronousKeyValueMerger(["client1/trainer", "client2/trainer"], merger=Sum())
    collector.push("client2/trainer", 1)
    collector.result(timeout=0.01)


def unmergeable(_: Path) -> None:
    collector = AsynchronousKeyValueMerger(["client1/trainer"], merger=Sum())
    with contextlib.suppress(TypeError):  # it is told to both: to who pushes, and to who waits
        collector.push("client1/trainer", "many")
    collector.result(timeout=1)


def wrong_status(_: Path) -> None:
    StatusControl("trainer").pause()


def moved(_: Path) -> None:
    control = StatusControl("trainer")
    control.declared()
    control.ready()
    control.pause()
    control.terminate_as_offloaded(ActorProfile("client2"))
    control.acquire_execution()


def refused_status(_: Path) -> None:
    def load(_: Status) -> None:
        raise FileNotFoundError("model.npz")

    control = StatusControl("trainer")
    control.add_callback(Status.STARTING, load)
    control.declared()
    control.ready()


def no_role(_: Path) -> None:
    RoleStatusManager().ctrl("trainr")


def no_checkpoints(_: Path) -> None:
    actors = Actors()
    try:
        actors.make("server", resume=True)
    finally:
        actors.stop()


TRAINER = "{class: application.Trainer, options: {rounds: 3}, impl: {model: {class: builtins.dict}}}"

#: by code, something that raises the error in a folder with the module `application`
PROVOKED: dict[str, Callable[[Path], Any]] = {
    "RML-R002": with_pair(lambda server, actor, _: server.call("trainer", "score", {"rounds": 0})),
    "RML-R003": with_pair(lambda server, actor, _: server.call("trainer", "score", {"rounds": 1})),
    "RML-R004": with_pair(lambda server, actor, _: server.call("trainer", "scroe")),
    "RML-R005": with_pair(lambda server, actor, _: server.call_task("trainer", "train").result(timeout=0.05)),
    "RML-R006": with_pair(lambda server, actor, trainer: trainer.base.emit("trainer", "traind", Message())),
    "RML-R008": no_role,
    "RML-R009": wrong_status,
    "RML-R010": moved,
    "RML-R011": refused_status,
    "RML-R012": with_pair(lambda server, actor, _: server.ctx.contacts.get_actor_profile("clinet1")),
    "RML-R013": left_out,
    "RML-R014": unmergeable,
    "RML-R015": no_checkpoints,
    "RML-C001": configured("name: my client"),
    "RML-C002": configured("roles: {}"),
    "RML-C003": configured("naem: client1\nname: client1"),
    "RML-C004": configured("name: client1\nroles: [trainer]"),
    "RML-C005": configured(
        "name: client1\nroles:\n  trainer: "
        + TRAINER.replace("class: builtins", "construct_strategy: often, class: builtins")
    ),
    "RML-C006": configured("name: client1\nroles:\n  trainer: " + TRAINER.replace("model", "modle")),
    "RML-C007": configured("name: client1\nroles:\n  trainer: aplication.Trainer"),
    "RML-C008": configured("name: client1\nroles:\n  trainer: application.Trianer"),
    "RML-C009": configured("name: client1\nroles:\n  trainer: broken.Trainer"),
    "RML-C010": configured("name: client1\nroles: {trainer: [}"),
    "RML-M003": lambda _: Codec().encode({"when": object()}),
    "RML-M004": decode_damaged,
    "RML-M012": name_taken,
    "RML-M013": with_pair(lambda server, actor, _: actor.handshake("client9")),
    "RML-M014": with_pair(lambda server, actor, _: actor.handwave("client9")),
    "RML-D001": raising(lambda: AbsentError({"client3": MsgConnectionError("cannot reach client3")})),
    "RML-D003": raising(lambda: RunEndedError("run() of server/server failed: ValueError: the disk is full")),
    "RML-D002": raising(
        lambda: DeploymentError([("client1", "start roles", FileNotFoundError("model.npz"))], {"client1": []})
    ),
    "RML-L001": lambda _: run(parser().parse_args(["run", "clinet1.yaml"])),
    "RML-L002": lambda _: RuntimeCLI().execute("strat"),
    "RML-L003": raising(lambda: RunFailedError({"server": ValueError("the disk is full")})),
    "RML-L005": raising(lambda: EndedTooEarlyError("client1", 1)),
}

"""Several actors in one process: nothing of one shows in another."""

from __future__ import annotations

import queue
import random
import threading
import uuid
from typing import Any

import pytest

from roleml.core.actor.group.makers import Relationship
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import EventHandler, Service, Task
from roleml.core.role.exceptions import HandlerError
from roleml.shared.interfaces import Runnable
from tests.actors import DEADLINE_S, Actors, Emitter, Probe, at, in_thread


class Node(Emitter, Runnable):
    """Reports, from everywhere its code runs, which actor it believes to be in."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.places: queue.SimpleQueue[tuple[str, str, list[RoleInstanceID]]] = queue.SimpleQueue()

    def report(self, where: str) -> None:
        self.places.put(
            (where, Context.active_context().profile.name, list(Relationship("neighbour").targets))
        )

    def run(self) -> None:
        assert self.go.wait(DEADLINE_S)
        self.report("run")
        self.call_task("neighbour", "work").add_done_callback(lambda _: self.report("callback"))
        self.call_group(
            self.ctx.relationships.get_relationship_view("neighbour"),
            "serve",
            on_result=lambda *_: self.report("on result"),
        )
        self.call_task_group(
            self.ctx.relationships.get_relationship_view("neighbour"),
            "work",
            on_result=lambda *_: self.report("on task result"),
        )
        self.news.emit()
        self.report("end of run")

    @Service
    def serve(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.report("service")

    @Task
    def work(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.report("task")

    @EventHandler("neighbour", "news")
    def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.report("event handler")

    # run: its start and end, one callback each of a task, a group and a task group;
    # and what the neighbour causes here: one service, two tasks, one event
    REPORTS = 9


def test_code_of_a_role_sees_its_own_actor_wherever_it_runs(actors: Actors) -> None:
    ring = ["A", "B", "C", "D"]
    nodes = {name: Node() for name in ring}
    neighbours = {name: ring[(i + 1) % len(ring)] for i, name in enumerate(ring)}
    made = [
        actors.make(name, {"node": node}, relationships={"neighbour": [f"{neighbours[name]}/node"]})
        for name, node in nodes.items()
    ]
    actors.start("Z")
    for start in [in_thread(actor.start) for actor in made]:
        start.result(DEADLINE_S)
    for node in nodes.values():
        node.go.set()
    for name, node in nodes.items():
        for _ in range(node.REPORTS):
            where, place, targets = node.places.get(timeout=DEADLINE_S)
            assert place == name, where
            assert targets == [RoleInstanceID(neighbours[name], "node")], where
    assert Context.active_context().profile.name == "Z"


def test_actors_on_different_brokers_do_not_know_each_other(actors: Actors) -> None:
    class Who(Role):
        @Service
        def who(self, _: RoleInstanceID, args: Any, payloads: Any) -> str:
            return str(args["who"])

    elsewhere = f"embedded://{uuid.uuid4().hex}"
    probe, other = Probe(), Probe()
    actors.start("S", {"who": Who()})
    actors.start("P", {"probe": probe})
    actors.start("P", {"probe": other}, broker=elsewhere)
    assert probe.call(at("S/who"), "who", {"who": "x"}) == "x"
    with pytest.raises(HandlerError, match=r"no actor of that name"):
        other.call(at("S/who"), "who", {"who": "x"})


def test_each_actor_resolves_its_own_relationships(actors: Actors) -> None:
    class Named(Role):
        @Service
        def who(self, _: RoleInstanceID, args: Any, payloads: Any) -> str:
            return str(self.id)

    probes = {name: Probe() for name in "ABC"}
    for name, probe in probes.items():
        actors.start(name, {"named": Named(), "probe": probe})
    for name, other in zip("ABC", "BCA", strict=True):
        probes[name].ctx.relationships.add_to_relationship("peer", at(f"{other}/named"))
    assert [probe.call("peer", "who") for probe in probes.values()] == ["B/named", "C/named", "A/named"]


def test_a_failing_actor_does_not_disturb_its_neighbours(actors: Actors) -> None:
    class Bad(Role):
        @Task
        def fail(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
            raise SystemExit

        @EventHandler("emitter", "news")
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            raise ArithmeticError

    emitter, probe = Emitter(), Probe()
    actors.start("E", {"emitter": emitter})
    actors.start("X", {"bad": Bad()}, relationships={"emitter": ["E/emitter"]})
    actors.start("P", {"probe": probe})
    probe.subscribe(at("E/emitter"), "news", probe.note)
    for n in range(5):
        emitter.news.emit({"n": n})
        assert isinstance(probe.call_task(at("X/bad"), "fail").exception(DEADLINE_S), HandlerError)
        assert probe.next_args() == {"n": n}


def test_the_runtime_draws_no_numbers_from_the_seeded_generator(actors: Actors) -> None:
    def draw() -> list[float]:
        random.seed(7)
        emitter, probe = Emitter(), Probe()
        source = actors.start("E", {"emitter": emitter})
        listener = actors.start("P", {"probe": probe})
        random.seed(7)
        probe.subscribe(at("E/emitter"), "news", probe.note)
        numbers = []
        for n in range(5):
            probe.call(at("E/emitter"), "publish", {"n": n})
            probe.next()
            numbers.append(random.random())
        listener.stop()
        source.stop()
        return numbers

    assert draw() == draw()

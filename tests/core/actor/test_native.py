"""The native role: who may use it, and every row of what it offers."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.actor.native import HEARTBEAT_S, NativeRole
from roleml.core.builders.actor import ActorBuilder
from roleml.core.builders.spec import RoleSpec
from roleml.core.context import ActorProfile, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service
from roleml.core.role.elements import Element
from roleml.core.role.exceptions import CallerError, HandlerError
from roleml.core.status import Status
from roleml.shared import threads
from tests.actors import DEADLINE_S, Actors, Probe, at, in_thread, wait_until

EVENTS = (
    "contact-updated relationship-updated handshake-completed handwave-completed "
    "role-assigned role-removed role-status-changed heartbeat"
).split()


class Shop(Role):
    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.size = size

    @Service
    def get_size(self, _: RoleInstanceID, args: Any, payloads: Any) -> int:
        return self.size


class Manager(Probe):
    """Manages the actor W and notes its events."""

    W = at("W/actor")

    def __init__(self) -> None:
        super().__init__()
        self.reports: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()

    def watch(self) -> None:
        for channel in EVENTS:
            self.subscribe(
                self.W,
                channel,
                lambda source, args, payloads, channel=channel: self.reports.put((channel, dict(args))),
            )

    def event(self) -> tuple[str, dict[str, Any]]:
        return self.reports.get(timeout=DEADLINE_S)

    def do(self, channel: str, **args: Any) -> Any:
        return self.call(self.W, channel, args)

    def run_task(self, channel: str, **args: Any) -> Any:
        return self.call_task(self.W, channel, args).result(DEADLINE_S)


def install(actor: BaseActor, name: str, spec: Any) -> type[Role]:
    cls = spec["class"]
    actor.add_role(name, cls(**spec.get("options", {})))
    actor.start_role(name)
    return cls  # type: ignore[no-any-return]


@pytest.fixture(params=["remote", "local"])
def manager(request: pytest.FixtureRequest, actors: Actors) -> Manager:
    manager = Manager()
    home = "W" if request.param == "local" else "M"
    worker = actors.make(
        "W", {"shop": Shop()}, relationships={"manager": [f"{home}/m"]}, install_role=install
    )
    if home == "W":
        worker.add_role("m", manager)
        worker.start()
    else:
        worker.start()
        actors.start("M", {"m": manager})
    manager.watch()
    return manager


def worker(actors: Actors) -> Any:
    return actors._made[0]


# who


ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("service", "update-contacts", {"contacts": {"B": "b:1"}}),
    ("service", "handshake", {"name": "B"}),
    ("service", "handwave", {"name": "B"}),
    ("service", "update-relationship", {"relationship_name": "x", "op": "add", "instances": [("a", "b")]}),
    ("service", "add-relationship-link", {"from_relationship_name": "y", "to_relationship_name": "x"}),
    ("task", "assign-role", {"name": "x", "spec": {"class": Shop}}),
    ("task", "terminate-role", {"name": "shop"}),
    ("task", "change-role-status", {"name": "shop", "status": 32}),
    ("service", "get-role-status", {"name": "shop"}),
    ("service", "get-sent", {}),
]


@pytest.mark.parametrize(("kind", "channel", "args"), ROWS, ids=[row[1] for row in ROWS])
def test_only_managers_may_use_it(actors: Actors, kind: str, channel: str, args: dict[str, Any]) -> None:
    stranger, neighbour = Probe(), Probe()
    actor = actors.start("W", {"shop": Shop(), "neighbour": neighbour})
    actors.start("S", {"stranger": stranger})
    for probe in (stranger, neighbour):
        text = rf"{probe.id} is not in the relationship 'manager'"
        if kind == "service":
            with pytest.raises(CallerError, match=text):
                probe.call(at("W/actor"), channel, args)
        else:
            with pytest.raises(CallerError, match=text):
                probe.call_task(at("W/actor"), channel, args).result(DEADLINE_S)
    assert actor.role_status_manager.ctrl("shop").is_ready


def test_it_is_deployed_first_and_alone_in_slash(actors: Actors) -> None:
    actor = actors.make("W", {"shop": Shop()})
    assert isinstance(actor.roles["actor"], NativeRole)
    assert next(iter(actor.roles)) == "actor"
    assert list(actor.ctx.relationships.get_relationship("/")) == [at("W/actor")]
    assert set(NativeRole.events) == {*EVENTS, "log"}
    assert set(NativeRole.services) == {row[1] for row in ROWS if row[0] == "service"}
    assert set(NativeRole.tasks) == {row[1] for row in ROWS if row[0] == "task"}


def test_it_tells_how_much_the_actor_has_sent(manager: Manager) -> None:
    before, nbytes_before = manager.do("get-sent")
    after, nbytes_after = manager.do("get-sent")
    answers = 0 if manager.profile.name == "W" else 1  # what stays in the actor is not sent
    assert after == before + answers
    assert nbytes_after - nbytes_before in ((0,) if not answers else range(1, 100))


# contacts and greetings


def test_contacts_are_updated_and_reported_one_by_one(manager: Manager, actors: Actors) -> None:
    assert manager.do("update-contacts", contacts={"B": "b:1", "C": ""}) is None
    assert worker(actors).ctx.contacts.get_actor_profile("B").address == "b:1"
    assert worker(actors).ctx.contacts.all_actor_names() == ["B", "C"]
    assert [manager.event(), manager.event()] == [
        ("contact-updated", {"name": "B"}),
        ("contact-updated", {"name": "C"}),
    ]


def test_arguments_may_come_as_payloads(manager: Manager, actors: Actors) -> None:
    manager.call(Manager.W, "update-contacts", payloads={"contacts": {"B": ""}})
    assert worker(actors).ctx.contacts.all_actor_names() == ["B"]


def test_greetings_reach_the_other_actor_and_are_reported(manager: Manager, actors: Actors) -> None:
    other = actors.start("B")
    assert manager.do("handshake", name="B") is None
    assert other.ctx.contacts.all_actor_names() == ["W"]
    assert manager.event() == ("handshake-completed", {"name": "B"})
    manager.do("handwave", name="B")
    assert other.ctx.contacts.all_actor_names() == []
    assert manager.event() == ("handwave-completed", {"name": "B"})
    with pytest.raises(HandlerError, match=r"actor X did not take the handshake"):
        manager.do("handshake", name="X")


# relationships


def test_relationships_are_updated_and_reported(manager: Manager, actors: Actors) -> None:
    members = [at("A/x"), at("B/x")]
    relationships = worker(actors).ctx.relationships
    manager.do("update-relationship", relationship_name="x", op="add", instances=members)
    assert list(relationships.get_relationship("x")) == members
    assert manager.event() == ("relationship-updated", {"name": "x", "op": "add", "instances": members})
    manager.do("update-relationship", relationship_name="x", op="remove", instances=members[:1])
    assert list(relationships.get_relationship("x")) == members[1:]
    assert manager.event() == (
        "relationship-updated",
        {"name": "x", "op": "remove", "instances": members[:1]},
    )


def test_wrong_updates_of_relationships(manager: Manager) -> None:
    with pytest.raises(CallerError, match=r"'add' or 'remove', not 'replace'"):
        manager.do("update-relationship", relationship_name="x", op="replace", instances=[at("A/x")])
    with pytest.raises(HandlerError, match=r"ValueError: no role instance given"):
        manager.do("update-relationship", relationship_name="x", op="add", instances=[])


def test_links_are_added_and_reported(manager: Manager, actors: Actors) -> None:
    relationships = worker(actors).ctx.relationships
    manager.do("update-relationship", relationship_name="x", op="add", instances=[at("A/x")])
    manager.event()
    manager.do("add-relationship-link", from_relationship_name="alias", to_relationship_name="x")
    assert list(relationships.get_relationship("alias")) == [at("A/x")]
    assert manager.event() == (
        "relationship-updated",
        {"name": "alias", "op": "add", "instances": [at("A/x")]},
    )
    manager.do("update-relationship", relationship_name="y", op="add", instances=[at("A/y")])
    with pytest.raises(CallerError, match=r"'y' has members"):
        manager.do("add-relationship-link", from_relationship_name="y", to_relationship_name="x")


def test_changes_by_local_code_are_reported_too_and_none_from_before_the_start(actors: Actors) -> None:
    manager = Manager()
    actor = actors.make("W", {"m": manager})
    manager.watch()
    actor.ctx.contacts.add_contact(ActorProfile("early"))
    actor.ctx.relationships.add_to_relationship("early", at("A/x"))
    actor.start()
    assert manager.event() == ("heartbeat", {})
    actor.ctx.contacts.add_contact(ActorProfile("B"))
    assert manager.event() == ("contact-updated", {"name": "B"})
    actor.ctx.relationships.add_to_relationship("x", ("A", "x"))
    name, args = manager.event()
    assert (name, args) == ("relationship-updated", {"name": "x", "op": "add", "instances": [at("A/x")]})
    assert type(args["instances"][0]) is RoleInstanceID


# roles


def test_a_role_is_assigned_and_ready_when_the_task_is_done(manager: Manager, actors: Actors) -> None:
    spec = {"class": Shop, "options": {"size": 7}}
    assert manager.run_task("assign-role", name="new", spec=spec) is None
    assert manager.call(at("W/new"), "get-size") == 7
    assert manager.event() == ("role-assigned", {"name": "new", "cls": "Shop"})


@pytest.mark.parametrize(
    ("name", "spec", "error", "text"),
    [
        ("actor", {"class": Shop}, CallerError, "native role"),
        ("shop", {"class": Shop}, HandlerError, "'shop' already"),
        ("new", {"class": Shop, "options": {"colour": 1}}, HandlerError, "colour"),
        ("new", {}, HandlerError, "KeyError"),
    ],
)
def test_a_role_that_cannot_be_assigned(
    manager: Manager, name: str, spec: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        manager.run_task("assign-role", name=name, spec=spec)


def test_a_role_that_cannot_start_is_not_assigned(manager: Manager, actors: Actors) -> None:
    def refuse(name: str, old: Status) -> None:
        if name == "new":
            raise ArithmeticError("will not start")

    worker(actors).role_status_manager.add_callback(Status.STARTING, refuse)
    with pytest.raises(HandlerError, match=r"will not start"):
        manager.run_task("assign-role", name="new", spec={"class": Shop})
    assert "new" not in worker(actors).roles


def test_an_actor_without_a_builder_cannot_be_assigned_roles(actors: Actors) -> None:
    manager = Manager()
    actors.start("W", {"m": manager}, relationships={"manager": ["W/m"]})
    with pytest.raises(HandlerError, match=r"ActorBuilder"):
        manager.run_task("assign-role", name="new", spec={"class": Shop})


def test_a_role_is_removed_when_the_task_is_done(manager: Manager, actors: Actors) -> None:
    assert manager.run_task("terminate-role", name="shop") is None
    assert "shop" not in worker(actors).roles
    assert manager.event() == ("role-removed", {"name": "shop"})
    with pytest.raises(HandlerError, match=r"no role named 'shop'"):
        manager.run_task("terminate-role", name="shop")
    with pytest.raises(CallerError, match=r"native role"):
        manager.run_task("terminate-role", name="actor")
    manager.run_task("assign-role", name="shop", spec={"class": Shop})


@pytest.mark.parametrize("paused", [Status.PAUSED, Status.PAUSED.value, "PAUSED", "paused"])
def test_the_status_of_a_role_is_changed_and_reported(manager: Manager, actors: Actors, paused: Any) -> None:
    assert manager.do("get-role-status", name="shop") is Status.READY
    assert manager.run_task("change-role-status", name="shop", status=paused) is None
    assert manager.do("get-role-status", name="shop") is Status.PAUSED
    assert manager.event() == ("role-status-changed", {"name": "shop", "new_status": Status.PAUSED})
    call = in_thread(manager.call, at("W/shop"), "get-size")
    manager.run_task("change-role-status", name="shop", status=Status.READY)
    assert call.result(DEADLINE_S) == 1
    assert manager.event() == ("role-status-changed", {"name": "shop", "new_status": Status.READY})


def test_a_declared_role_is_started_by_its_status(manager: Manager, actors: Actors) -> None:
    worker(actors).add_role("new", Shop(3))
    manager.run_task("change-role-status", name="new", status="DECLARED")
    manager.run_task("change-role-status", name="new", status="READY")
    assert manager.call(at("W/new"), "get-size") == 3


@pytest.mark.parametrize(
    ("name", "status", "error", "text"),
    [
        ("shop", Status.TERMINATED, CallerError, "terminate-role"),
        ("shop", 4, CallerError, "STARTING"),
        ("shop", "running", CallerError, "unknown status 'running'"),
        ("shop", 3.5, CallerError, "unknown status"),
        ("actor", Status.PAUSED, CallerError, "native role"),
        ("shopp", Status.PAUSED, CallerError, "'shopp'; did you mean 'shop'"),
        ("shop", Status.DECLARED, HandlerError, "cannot be declared while READY"),
    ],
)
def test_a_status_that_cannot_be_set(
    manager: Manager, name: str, status: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        manager.run_task("change-role-status", name=name, status=status)


def test_the_status_of_an_unknown_role_is_the_callers_fault(manager: Manager) -> None:
    with pytest.raises(CallerError, match=r"did you mean 'shop'"):
        manager.do("get-role-status", name="shopp")


# the heart


def test_it_beats_at_once_and_then_at_intervals(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    manager, later = Manager(), []

    class Clock:
        def after(self, delay_s: float, job: Any) -> Any:
            later.append((delay_s, job))
            return lambda: None

    monkeypatch.setattr("roleml.core.actor.native.shared_clock", Clock)
    actor = actors.make("W", {"m": manager})
    manager.watch()
    actor.start()
    assert manager.event() == ("heartbeat", {})
    for n in range(3):
        assert len(later) == n + 1
        delay_s, beat = later[n]
        assert delay_s == HEARTBEAT_S == 20
        beat()
        assert manager.event() == ("heartbeat", {})
    actor.stop()
    later[-1][1]()
    assert len(later) == 4


def test_a_stopped_actor_has_no_job_left_on_the_clock(actors: Actors) -> None:
    def mine(actor: Any) -> list[Any]:
        return [
            job
            for _, _, job in threads.shared_clock()._entries
            if getattr(job, "__self__", None) is actor.native_role
        ]

    actor = actors.start("W")
    assert len(mine(actor)) == 1
    actor.stop()
    assert mine(actor) == []


# the pattern of dynamic assignment, with a builder


class Model:
    saved: list[str] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def destruct(self) -> None:
        self.saved.append(self.name)


class ModelShop(Shop):
    opened = Event()
    model = Element(Model, default_destructor=Model.destruct)

    @Service
    def model_name(self, _: RoleInstanceID, args: Any, payloads: Any) -> str:
        return self.model().name


def test_a_manager_moves_a_role_between_actors(actors: Actors) -> None:
    def built(name: str) -> Any:
        builder = ActorBuilder()
        config: Any = {"name": name, "broker": actors.broker, "relationships": {"manager": ["Z/m"]}}
        builder.load_config(config)
        actor = builder.build()
        actors._made.append(actor)
        actor.start()
        return actor

    manager = Manager()
    first, second = built("W1"), built("W2")
    assert isinstance(first, Actor)
    actors.start("Z", {"m": manager}, relationships={"manager": ["Z/m"]})
    for name in ("W1", "W2", "W1"):
        spec: Any = RoleSpec(
            {"class": ModelShop, "impl": {"model": {"constructor_args": {"name": name}, "class": Model}}}  # type: ignore[typeddict-unknown-key]
        )
        shop = RoleInstanceID(name, "shop")
        manager.call_task(
            RoleInstanceID(name, "actor"), "assign-role", {"name": "shop", "spec": spec}
        ).result()
        change = {"relationship_name": "shop", "instances": [shop]}
        manager.call("/", "update-relationship", {**change, "op": "add"})
        assert manager.call("shop", "model-name") == name
        manager.call_task(shop._replace(instance_name="actor"), "terminate-role", {"name": "shop"}).result()
        assert Model.saved[-1] == name
        manager.call("/", "update-relationship", {**change, "op": "remove"})
    assert Model.saved == ["W1", "W2", "W1"]
    wait_until(lambda: "shop" not in first.roles and "shop" not in second.roles)

"""An actor's life and that of its roles: adding, starting, stopping, and doing so at awkward moments."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import TimeoutError as NotYet
from typing import Any

import pytest

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import EventHandler, Service, Task
from roleml.core.role.elements import Element, ElementImplementation
from roleml.core.role.exceptions import CallerError, HandlerError, NoSuchRoleError
from roleml.core.role.types import Message
from roleml.core.status import Status, StatusError, StatusTransferCallbackError
from roleml.messaging.exceptions import HandshakeError, HandwaveError, MessagingError, MsgConnectionError
from roleml.shared.interfaces import Runnable
from tests.actors import DEADLINE_S, Actors, Emitter, Gate, Probe, at, in_thread, wait_until


class Slow(Role):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Service
    def wait(self, _: RoleInstanceID, args: Any, payloads: Any) -> str:
        self.gate.pass_through()
        return "done"

    @Service(expand=True)
    def stop_role(self, _: RoleInstanceID, name: str) -> None:
        actor: Any = self.base
        actor.stop_role(name)

    @Service
    def stop_actor(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        actor: Any = self.base
        actor.stop()


class Diary:
    """Elements that write down what happens to them."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def element(self, name: str) -> Element[Any]:
        return Element(
            object,
            default_constructor=lambda: name,
            default_destructor=lambda it: self.entries.append(f"destruct {it}"),
        )


# adding roles


def test_an_actor_knows_its_roles_in_the_order_added(actors: Actors) -> None:
    actor = actors.make("A", {"z": Probe(), "a": Probe()})
    assert list(actor.roles) == ["actor", "z", "a"]
    assert [control.status for control in actor.role_status_manager.ctrls.values()] == [Status.DECLARED] * 3
    assert list(actors.make("B", {"z": Probe()}, cls=BaseActor).roles) == ["z"]


def test_a_taken_name_is_refused(actors: Actors) -> None:
    actor, first = actors.make("A"), Probe()
    actor.add_role("x", first)
    with pytest.raises(RuntimeError, match=r"'x' already"):
        actor.add_role("x", Probe())
    with pytest.raises(RuntimeError, match=r"'actor' already"):
        actor.add_role("actor", Probe())
    assert actor.roles["x"] is first


@pytest.mark.parametrize("name", ["", "a/b", "a b", "@x", "amq.x"])
def test_a_name_that_cannot_be_addressed_is_refused(actors: Actors, name: str) -> None:
    with pytest.raises(ValueError, match=r"role name"):
        actors.make("A").add_role(name, Probe())
    with pytest.raises(ValueError, match=r"actor name"):
        actors.make(name)


@pytest.mark.parametrize("role", [Probe, None])
def test_what_is_no_instance_of_a_role_is_refused_and_leaves_the_name_free(actors: Actors, role: Any) -> None:
    actor = actors.make("A")
    with pytest.raises(TypeError, match=r"'probe' needs an instance of a class derived from Role, not "):
        actor.add_role("probe", role)
    actor.add_role("probe", Probe())


def test_one_role_object_is_hosted_once(actors: Actors) -> None:
    role = Probe()
    actors.make("A", {"x": role})
    with pytest.raises(RuntimeError, match=r"already the role 'x'"):
        actors.make("B").add_role("y", role)


def test_the_constructor_makes_its_context_the_active_one(actors: Actors) -> None:
    first = actors.make("A")
    assert Context.active_context() is first.ctx
    second = actors.make("B")
    assert Context.active_context() is second.ctx


def test_two_actors_of_one_name_are_refused_until_the_first_is_gone(actors: Actors) -> None:
    first = actors.make("A")
    with pytest.raises(MsgConnectionError, match=r"an actor named 'A' is already connected"):
        actors.make("A")
    first.stop()
    actors.start("A")


# starting


def test_starting_a_role_makes_it_ready(actors: Actors) -> None:
    actor = actors.start("A")
    probe = Probe()
    actor.add_role("x", probe)
    control = actor.role_status_manager.ctrl("x")
    assert control.status is Status.DECLARED
    actor.start_role("x")
    assert control.status is Status.READY


def test_only_a_declared_role_can_be_started(actors: Actors) -> None:
    actor = actors.start("A", {"trainer": Probe()})
    with pytest.raises(RuntimeError, match=r"'trainer' cannot be started: it is READY"):
        actor.start_role("trainer")
    for act in (actor.start_role, actor.stop_role):
        with pytest.raises(RuntimeError, match=r"no role named 'trianer'; did you mean 'trainer'"):
            act("trianer")


def test_roles_start_in_the_order_added_and_end_in_reverse(actors: Actors) -> None:
    happened: list[tuple[str, str]] = []
    actor = actors.make("A", {name: Probe() for name in "cab"})
    for status in (Status.STARTING, Status.READY, Status.TERMINATING, Status.FINALIZING, Status.TERMINATED):
        actor.role_status_manager.add_callback(
            status, lambda name, _, status=status: happened.append((name, status.name))
        )
    actor.start()
    order = ["actor", "c", "a", "b"]
    assert happened == [(name, status) for name in order for status in ("STARTING", "READY")]
    happened.clear()
    actor.stop()
    ends = ("TERMINATING", "FINALIZING", "TERMINATED")
    assert happened == [(name, status) for name in reversed(order) for status in ends]
    assert not actor.roles
    assert not actor.role_status_manager.ctrls


def test_run_blocks_until_stop_and_then_returns_promptly(actors: Actors) -> None:
    actor = actors.make("A")
    running = in_thread(actor.run)
    wait_until(lambda: actor.role_status_manager.ctrl("actor").is_ready)
    with pytest.raises(NotYet):
        running.result(0.01)
    actor.stop()
    running.result(2)


def test_an_actor_runs_once(actors: Actors) -> None:
    actor = actors.start("A")
    with pytest.raises(RuntimeError, match=r"A was started before"):
        actor.run()
    actor.stop()
    with pytest.raises(RuntimeError, match=r"A was stopped before"):
        actor.start()


def test_stop_may_be_called_again_before_start_and_by_a_block(actors: Actors) -> None:
    actor = actors.make("A", {"x": Probe()})
    actor.stop()
    actor.stop()
    with actors.start("B", {"x": Probe()}) as other:
        assert other.roles
    assert not other.roles


def refuse_to_start(actor: Any) -> None:
    """Let the actor's role ``broken`` fail to start."""

    def refuse(name: str, old: Status) -> None:
        if name == "broken":
            raise ArithmeticError("no such model")

    actor.role_status_manager.add_callback(Status.STARTING, refuse)


def test_a_role_that_cannot_start_leaves_earlier_ones_in_service(actors: Actors) -> None:
    actor = actors.make("A", {"first": Probe(), "broken": Probe(), "last": Probe()})
    refuse_to_start(actor)
    with pytest.raises(StatusTransferCallbackError, match=r"no such model"):
        actor.run()
    status = {name: control.status for name, control in actor.role_status_manager.ctrls.items()}
    assert status == {
        "actor": Status.READY,
        "first": Status.READY,
        "broken": Status.STARTING,
        "last": Status.DECLARED,
    }
    actor.stop()
    assert not actor.role_status_manager.ctrls


def test_a_role_that_cannot_start_later_is_removed(actors: Actors) -> None:
    actor = actors.start("A")
    actor.add_role("broken", Probe())
    refuse_to_start(actor)
    with pytest.raises(StatusTransferCallbackError):
        actor.start_role("broken")
    assert "broken" not in actor.roles
    with pytest.raises(NoSuchRoleError):
        actor.role_status_manager.ctrl("broken")
    actor.add_role("broken", Probe())


def test_starting_and_stopping_a_role_happens_in_its_actors_context(actors: Actors) -> None:
    seen: list[str] = []

    def note(*_: Any) -> str:
        seen.append(Context.active_context().profile.name)
        return "thing"

    class Contextual(Role, Runnable):
        thing: Element[Any] = Element(object, default_constructor=note, default_destructor=note)

        def run(self) -> None:
            self.thing()
            note()
            self.stopped = threading.Event()
            self.stopped.wait(DEADLINE_S)

        def stop(self) -> None:
            note()
            self.stopped.set()

    contextual = Contextual()
    actor = actors.make("A", {"contextual": contextual})
    actors.make("Z")
    actor.start()
    wait_until(lambda: hasattr(contextual, "stopped"))
    actor.stop()
    assert seen == ["A"] * 4


# stopping roles


def test_stopping_a_role_waits_for_its_handlers(actors: Actors) -> None:
    slow, probe = Slow(), Probe()
    actor = actors.start("A", {"slow": slow, "probe": probe})
    call = in_thread(probe.call, "slow", "wait")
    slow.gate.entered()
    stopping = in_thread(actor.stop_role, "slow")
    with pytest.raises(NotYet):
        stopping.result(0.01)
    slow.gate.open()
    stopping.result(DEADLINE_S)
    assert call.result(DEADLINE_S) == "done"


def test_a_handler_stops_another_role_and_not_its_own(actors: Actors) -> None:
    probe = Probe()
    actor = actors.start("A", {"slow": Slow(), "other": Slow()})
    actors.start("P", {"probe": probe})
    probe.call(at("A/slow"), "stop-role", {"name": "other"})
    assert "other" not in actor.roles
    with pytest.raises(HandlerError, match=r"from inside its own execution"):
        probe.call(at("A/slow"), "stop-role", {"name": "slow"})
    assert actor.role_status_manager.ctrl("slow").is_ready


def test_a_handler_cannot_stop_its_own_actor(actors: Actors) -> None:
    probe = Probe()
    actor = actors.start("A", {"slow": Slow()})
    actors.start("P", {"probe": probe})
    with pytest.raises(HandlerError, match=r"A cannot be stopped by a handler of its own"):
        probe.call(at("A/slow"), "stop-actor")
    assert actor.role_status_manager.ctrl("slow").is_ready
    actor.stop()


@pytest.mark.parametrize("started", [True, False])
def test_elements_of_a_role_are_destructed_though_it_was_never_started(actors: Actors, started: bool) -> None:
    diary = Diary()

    class Owner(Role):
        thing = diary.element("thing")

    owner = Owner()
    actor = actors.start("A")
    actor.add_role("owner", owner)
    actor.implement_element("owner", "thing", ElementImplementation(impl="mine"))
    if started:
        actor.start_role("owner")
    actor.stop_role("owner")
    assert diary.entries == ["destruct mine"]
    probe = Probe()
    actors.start("P", {"probe": probe})
    with pytest.raises(CallerError):
        probe.call(at("A/owner"), "anything")


def test_a_name_is_free_again_after_its_role_ended(actors: Actors) -> None:
    class Counting(Role):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.n = n

        @Service
        def number(self, _: RoleInstanceID, args: Any, payloads: Any) -> int:
            return self.n

    probe = Probe()
    actor = actors.start("A")
    actors.start("P", {"probe": probe})
    for n in range(5):
        actor.add_role("counting", Counting(n))
        actor.start_role("counting")
        assert probe.call(at("A/counting"), "number") == n
        actor.stop_role("counting")


def test_within_one_role_things_end_in_order(actors: Actors) -> None:
    diary = Diary()

    class Ordered(Emitter, Runnable):
        thing = diary.element("thing")

        def __init__(self) -> None:
            super().__init__()
            self.stopped = threading.Event()

        def run(self) -> None:
            self.thing()
            self.stopped.wait(DEADLINE_S)
            actor: Any = self.base
            diary.entries.append(f"run returns, {actor.role_status_manager.ctrl(self.name).status.name}")
            diary.entries.append(f"channels: {bool(actor._calls._roles.get(self.name))}")

        def stop(self) -> None:
            diary.entries.append("stop")
            self.stopped.set()

    ordered = Ordered()
    actor = actors.start("A", {"ordered": ordered})
    wait_until(lambda: actor._elements and ordered.thing() == "thing")
    actor.stop_role("ordered")
    assert diary.entries == ["stop", "run returns, FINALIZING", "channels: True", "destruct thing"]
    assert not actor._calls._roles.get("ordered")
    assert not actor._events._emitting.sources.get((at("A/ordered"), "news"))


# stopping actors


def test_stopping_an_actor_waits_for_its_handlers_and_sends_their_results(actors: Actors) -> None:
    slow, probe = Slow(), Probe()
    actor = actors.start("A", {"slow": slow})
    actors.start("P", {"probe": probe})
    call = in_thread(probe.call, at("A/slow"), "wait")
    slow.gate.entered()
    stopping = in_thread(actor.stop)
    wait_until(lambda: actor.role_status_manager.ctrl("slow").status is Status.TERMINATING)
    slow.gate.open()
    stopping.result(DEADLINE_S)
    assert call.result(DEADLINE_S) == "done"


def test_an_actor_that_stops_cannot_host_or_start_roles(actors: Actors) -> None:
    slow, probe = Slow(), Probe()
    actor = actors.start("A", {"slow": slow, "probe": probe})
    actor.add_role("waiting", Probe())
    call = in_thread(probe.call, "slow", "wait")
    slow.gate.entered()
    stopping = in_thread(actor.stop)
    wait_until(lambda: actor._stopping)
    for act in (lambda: actor.add_role("late", Probe()), lambda: actor.start_role("waiting")):
        with pytest.raises(RuntimeError, match=r"it is stopping"):
            in_thread(act).result(DEADLINE_S)
    slow.gate.open()
    stopping.result(DEADLINE_S)
    call.result(DEADLINE_S)


def test_a_role_that_is_being_assigned_does_not_hold_up_the_end_of_its_actor(actors: Actors) -> None:
    gate, probe = Gate(), Probe()

    def install(actor: BaseActor, name: str, spec: Any) -> type[Role]:
        gate.pass_through()
        actor.add_role(name, Probe())
        actor.start_role(name)
        return Probe

    actor = actors.start("A", relationships={"manager": ["P/probe"]}, install_role=install)
    actors.start("P", {"probe": probe})
    task = probe.call_task(at("A/actor"), "assign-role", {"name": "late", "spec": None})
    gate.entered()
    stopping = in_thread(actor.stop)
    wait_until(lambda: actor._stopping)
    gate.open()
    stopping.result(DEADLINE_S)
    error = task.exception(DEADLINE_S)
    assert isinstance(error, HandlerError)
    assert "is stopping" in str(error)
    assert not actor.roles


def test_all_who_stop_an_actor_return_when_it_is_stopped(actors: Actors) -> None:
    slow, probe = Slow(), Probe()
    actor = actors.start("A", {"slow": slow, "probe": probe})
    call = in_thread(probe.call, "slow", "wait")
    slow.gate.entered()
    stopping = [in_thread(actor.stop) for _ in range(3)]
    for each in stopping:
        with pytest.raises(NotYet):
            each.result(0.01)
    slow.gate.open()
    for each in stopping:
        each.result(DEADLINE_S)
    call.result(DEADLINE_S)
    assert not actor.roles


def test_a_runnable_may_stop_its_own_actor_also_while_another_thread_does(actors: Actors) -> None:
    class Ender(Role, Runnable):
        def __init__(self) -> None:
            super().__init__()
            self.go = threading.Event()
            self.returned = threading.Event()

        def run(self) -> None:
            assert self.go.wait(DEADLINE_S)
            actor: Any = self.base
            actor.stop()
            self.returned.set()

        def stop(self) -> None:
            self.go.set()

    alone, together = Ender(), Ender()
    actor = actors.make("A", {"ender": alone})
    running = in_thread(actor.run)
    alone.go.set()
    running.result(DEADLINE_S)
    assert alone.returned.wait(DEADLINE_S)

    actor = actors.start("B", {"ender": together})
    in_thread(actor.stop).result(DEADLINE_S)
    assert together.returned.is_set()


def test_start_and_stop_at_the_same_time_end_in_a_stopped_actor(actors: Actors) -> None:
    for n in range(20):
        actor = actors.make(f"A{n}", {"x": Probe()})
        starting, stopping = in_thread(actor.start), in_thread(actor.stop)
        stopping.result(DEADLINE_S)
        try:
            starting.result(DEADLINE_S)
        except RuntimeError as error:
            assert "was stopped before" in str(error)  # noqa: PT017
        assert not actor.roles
        assert not actor.native_role._alive


def test_an_interrupted_stop_does_not_make_the_next_one_hang(actors: Actors) -> None:
    class Interrupted(Role):
        pass

    actor = actors.start("A", {"x": Interrupted()})

    def interrupt(name: str, old: Status) -> None:
        if name == "x":
            raise KeyboardInterrupt

    actor.role_status_manager.add_callback(Status.FINALIZING, interrupt)
    with pytest.raises(KeyboardInterrupt):
        actor.stop()
    in_thread(actor.stop).result(DEADLINE_S)


def test_after_an_actor_left_its_name_can_be_used_again(actors: Actors) -> None:
    probe = Probe()
    actors.start("P", {"probe": probe})
    for _ in range(5):
        slow = Slow()
        slow.gate.open()
        actor = actors.start("A", {"slow": slow})
        assert probe.call(at("A/slow"), "wait") == "done"
        actor.stop()
        with pytest.raises(HandlerError, match=r"no actor of that name"):
            probe.call(at("A/slow"), "wait")


# greetings


def test_a_handshake_makes_the_other_know_this_actor(actors: Actors) -> None:
    server = actors.start("S")
    actor = actors.start("A", handshakes=["S"])
    assert server.ctx.contacts.get_actor_profile("A") == ActorProfile("A")
    actor.handwave("S")
    assert server.ctx.contacts.all_actor_names() == []
    actor.handshake("S")
    assert server.ctx.contacts.all_actor_names() == ["A"]
    for greet, error in ((actor.handshake, HandshakeError), (actor.handwave, HandwaveError)):
        with pytest.raises(error, match=r"actor X did not take the hand.*no actor of that name"):
            greet("X")


def test_a_failed_handshake_undoes_the_others_and_raises(actors: Actors) -> None:
    server = actors.start("S")
    with pytest.raises(HandshakeError, match=r"actor X"):
        actors.make("A", handshakes=["S", "X"])
    assert server.ctx.contacts.all_actor_names() == []
    actors.start("A")


def test_handwaves_are_sent_before_the_transport_is_stopped(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    server = actors.start("S")
    actor = actors.start("A", handshakes=["S"], handwaves=["X", "S"])
    actor.stop()
    assert server.ctx.contacts.all_actor_names() == []
    assert "actor X did not take the handwave" in caplog.text


def test_an_unknown_control_is_refused(actors: Actors) -> None:
    actors.start("S")
    actor = actors.start("A")
    with pytest.raises(MessagingError, match=r"S does not know how to 'dance'"):
        actor._greetings._say("S", "dance", None)


# threads


def test_an_actor_leaves_no_thread_of_its_own_behind(actors: Actors) -> None:
    class Running(Emitter, Runnable):
        def __init__(self) -> None:
            super().__init__()
            self.stopped = threading.Event()

        def run(self) -> None:
            self.stopped.wait(DEADLINE_S)

        def stop(self) -> None:
            self.stopped.set()

        @Task
        def work(self, _: RoleInstanceID, args: Any, payloads: Any) -> int:
            return 1

        @EventHandler("running", "news")
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    def rounds(prefix: str) -> None:
        for n in range(5):
            roles = {f"role{i}": Running() for i in range(3)}
            probe = Probe()
            actor = actors.start(
                f"{prefix}{n}",
                {**roles, "probe": probe},
                relationships={"running": [f"{prefix}{n}/role{i}" for i in range(3)]},
            )
            group = [role.id for role in roles.values()]
            probe.call_task_group(group, "work")
            for role in roles.values():
                role.news.emit()
            actor.stop()

    rounds("warm")
    before = {thread.name for thread in threading.enumerate()}
    rounds("again")
    after = {thread.name for thread in threading.enumerate()}
    assert not [name for name in after if name.startswith("role-")]
    # the pool is shared and elastic; what it holds does not grow with the number of actors
    assert len(after) <= len(before) + 8


def test_a_stopped_actor_can_be_forgotten(actors: Actors) -> None:
    import gc
    import weakref

    actor = actors.start("A", {"x": Probe()})
    actor.stop()
    actors._made.remove(actor)
    reference = weakref.ref(actor)
    actors.make("Z")  # the last constructed one stays known as the active context
    del actor

    def forgotten() -> bool:
        gc.collect()
        return reference() is None

    wait_until(forgotten)


def test_the_actor_says_when_it_starts_and_stops(actors: Actors, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        actors.start("A", {"x": Probe()}).stop()
    for text in (
        "actor starts running",
        "role instance (x) is READY",
        "role instance (x) is TERMINATED",
        "actor now stopped",
    ):
        assert text in caplog.text


def test_a_base_actor_has_no_native_role(actors: Actors) -> None:
    actor, probe = actors.start("A", {"probe": Probe()}, cls=BaseActor), Probe()
    actors.start("P", {"probe": probe})
    assert not isinstance(actor, Actor)
    with pytest.raises(CallerError, match=r"no role named 'actor'"):
        probe.call(at("A/actor"), "get-role-status", message=Message({"name": "probe"}))
    with pytest.raises(CallerError):
        actor.convert_relationship_to_instance("/")


def test_a_paused_role_ends_without_running_what_waits(actors: Actors) -> None:
    probe, slow = Probe(), Slow()
    actor = actors.start("A", {"slow": slow})
    actors.start("P", {"probe": probe})
    control = actor.role_status_manager.ctrl("slow")
    control.pause()
    call = in_thread(probe.call, at("A/slow"), "wait")
    with pytest.raises(NotYet):
        call.result(0.01)
    actor.stop()
    with pytest.raises((HandlerError, CallerError)):
        call.result(DEADLINE_S)
    assert slow.gate._entered.empty()


def test_operations_on_roles_that_are_not_there_are_role_errors(actors: Actors) -> None:
    actor = actors.start("A")
    with pytest.raises(NoSuchRoleError):
        actor.role_status_manager.ctrl("nobody")
    with pytest.raises(HandlerError, match=r"nobody"):
        actor.emit("nobody", "news", Message())
    with pytest.raises(NoSuchRoleError):
        actor.subscribe("nobody", at("A/actor"), "heartbeat", print)
    with pytest.raises((NoSuchRoleError, StatusError)):
        actor.unsubscribe("nobody", at("A/actor"), "heartbeat")

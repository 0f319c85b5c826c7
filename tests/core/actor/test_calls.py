"""Services between roles: who is meant, what travels, which error the caller sees."""

from __future__ import annotations

import queue
import threading
import traceback
from concurrent.futures import TimeoutError as NotYet
from typing import Any

import pytest

from roleml.core.actor.actor import Actor
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service, Task
from roleml.core.role.exceptions import (
    CallerError,
    ChannelNotFoundError,
    HandlerError,
    RoleInteractionError,
    TaskResultTimeoutError,
)
from roleml.core.role.helpers import require_relationship
from roleml.core.role.types import Message
from roleml.core.status import Status
from tests.actors import DEADLINE_S, Actors, Gate, Probe, at, in_thread, wait_until


class SpecialCallerError(CallerError):
    pass


SOLD_OUT = CallerError("sold out")


class Shop(Role):
    done = Event()

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Service
    def echo(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
        return caller, args, payloads

    @Service
    def give(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
        return payloads.get("what")

    @Service(expand=True)
    def price_of(self, _: RoleInstanceID, item: str, *, count: int = 1) -> int:
        return len(item) * count

    @Service
    def blame(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.require(False, "no such item")

    @Service
    def blame_specially(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise SpecialCallerError("very special")

    @Service
    def assertion(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise AssertionError("not like this")

    @Service
    def crash(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise ZeroDivisionError("cash register")

    @Service
    def crash_silently(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise ValueError

    @Service
    def exit(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise SystemExit(3)

    @Service
    def blame_with_a_constant(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise SOLD_OUT

    @Service
    def time_out(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise TimeoutError("too slow")

    @Service
    def handler_error(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        raise HandlerError("my own")

    @Service
    def inner(self, _: RoleInstanceID, args: Any, payloads: Any) -> Any:
        return self.call(args["target"], args["channel"])

    @Service
    def wait(self, _: RoleInstanceID, args: Any, payloads: Any) -> str:
        self.gate.pass_through(args)
        return "waited"

    @Service
    def secret(self, _: RoleInstanceID, args: Any, payloads: Any) -> set[int]:
        return {1, 2}

    @Service
    def unpicklable(self, _: RoleInstanceID, args: Any, payloads: Any) -> Any:
        return threading.Lock()

    @Task
    def deliver(self, _: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    @require_relationship("friend", "{sender} is a stranger")
    @Service(expand=True)
    def friends_only(self, _: RoleInstanceID, n: int) -> int:
        return n

    @require_relationship("friend")
    @Service
    def friends_only_too(self, _: RoleInstanceID, args: Any, payloads: Any) -> None: ...


@pytest.fixture(params=["local", "remote"])
def probe(request: pytest.FixtureRequest, actors: Actors) -> Probe:
    """A role whose relationship ``shop`` has one member, here or on another actor."""
    probe = Probe()
    if request.param == "local":
        actors.start("S", {"shop": Shop(), "probe": probe})
    else:
        actors.start("S", {"shop": Shop()})
        actors.start("P", {"probe": probe}, relationships={"shop": ["S/shop"]})
    return probe


def shop_of(actor: Actor) -> Shop:
    shop = actor.roles["shop"]
    assert isinstance(shop, Shop)
    return shop


# whom


def test_a_target_is_an_id_or_a_relationship(probe: Probe) -> None:
    for target in ("shop", at("S/shop")):
        assert probe.call(target, "price-of", {"item": "tea"}, {"count": 2}) == 6


def test_channel_names_are_standardised_at_the_call(probe: Probe) -> None:
    assert probe.call("shop", "price_of", {"item": "tea"}) == 3


def test_the_smallest_member_of_a_relationship_is_called(actors: Actors) -> None:
    probe, shops = Probe(), {f"shop{i}": Shop() for i in range(3)}
    actors.start("A", {"probe": probe, **shops}, relationships={"shop": ["A/shop2", "A/shop1"]})
    shops["shop1"].gate.open()
    assert probe.call("shop", "wait") == "waited"


def test_a_relationship_goes_before_a_local_role_of_its_name(actors: Actors) -> None:
    class Named(Role):
        @Service
        def who(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
            return self.name

    probe = Probe()
    actor = actors.start("A", {"probe": probe, "shop": Named(), "other": Named()})
    assert probe.call("shop", "who") == "shop"
    assert list(probe.ctx.relationships.get_relationship("shop")) == []
    actor.ctx.relationships.add_to_relationship("shop", at("A/other"))
    assert probe.call("shop", "who") == "other"
    actor.ctx.relationships.remove_from_relationship("shop", at("A/other"))
    assert probe.call("shop", "who") == "shop"


def test_the_fallback_to_a_local_role_converts_no_hyphens(actors: Actors) -> None:
    probe = Probe()
    actors.start("A", {"probe": probe, "my_shop": Shop()})
    assert probe.call("my_shop", "price-of", {"item": "a"}) == 1
    with pytest.raises(CallerError, match=r"named 'my-shop'; did you mean 'my_shop'"):
        probe.call("my-shop", "price-of", {"item": "a"})


def test_a_name_is_never_read_as_actor_and_role(probe: Probe) -> None:
    with pytest.raises(CallerError, match=r"named 'S/shop'; .*RoleInstanceID\.of"):
        probe.call("S/shop", "echo")


def test_a_target_that_is_neither_relationship_nor_role_is_the_callers_fault(probe: Probe) -> None:
    for call in (probe.call, probe.call_task):
        with pytest.raises(CallerError, match=r"no role, named 'shoop'; did you mean 'shop'"):
            call("shoop", "echo")


@pytest.mark.parametrize(
    "target",
    [None, 5, ["S", "shop"], ("S", "shop", "x"), ("S", 5), (at("S/shop"), at("S/shop")), Shop()],
    ids=repr,
)
def test_a_target_that_is_no_name_and_no_role_instance_is_told_as_that(probe: Probe, target: Any) -> None:
    for call in (probe.call, probe.call_task):
        with pytest.raises(TypeError, match=r"is not a role instance: use RoleInstanceID\(actor, role\)"):
            call(target, "echo")


@pytest.mark.parametrize("channel", [None, 5, Shop.echo])
def test_a_channel_is_given_by_its_name(probe: Probe, channel: Any) -> None:
    for call in (probe.call, probe.call_task):
        with pytest.raises(TypeError, match=r"given by its name, such as 'my-channel', not as "):
            call("shop", channel)


def test_slash_is_the_native_role(actors: Actors) -> None:
    probe = Probe()
    actor = actors.start("A", {"probe": probe}, relationships={"manager": ["A/probe"]})
    assert list(actor.ctx.relationships.get_relationship("/")) == [at("A/actor")]
    assert probe.call("/", "get-role-status", {"name": "probe"}) is Status.READY
    assert actor.convert_relationship_to_instance("/") == at("A/actor")


def test_an_actor_calls_on_behalf_of_a_name_that_need_not_exist(actors: Actors) -> None:
    actors.start("S", {"shop": Shop()})
    actor = actors.start("A")
    caller, args, payloads = actor.call("foo", at("S/shop"), "echo", Message({"a": 1}))
    assert (caller, args, payloads) == (at("A/foo"), {"a": 1}, {})
    assert actor.call_group("foo", [at("S/shop")], "price-of", message=Message({"item": "a"})) == [
        (at("S/shop"), 1)
    ]


def test_a_role_may_call_before_it_is_started(actors: Actors) -> None:
    probe = Probe()
    actors.start("S", {"shop": Shop()})
    actors.make("A", {"probe": probe})
    assert probe.call(at("S/shop"), "price-of", {"item": "a"}) == 1


# what


def test_a_handler_learns_who_called_and_gets_both_parts(probe: Probe) -> None:
    caller, args, payloads = probe.call("shop", "echo", {"a": 1}, {"b": 2})
    assert (caller, args, payloads) == (probe.id, {"a": 1}, {"b": 2})
    assert isinstance(caller, RoleInstanceID)


def test_parts_left_out_are_empty(probe: Probe) -> None:
    assert probe.call("shop", "echo")[1:] == ({}, {})


def test_a_given_message_stands_for_both_parts(probe: Probe) -> None:
    message = Message({"a": 1}, {"b": 2})
    assert probe.call("shop", "echo", {"x": 0}, {"y": 0}, message=message)[1:] == ({"a": 1}, {"b": 2})


def test_args_that_are_no_mapping_are_named(probe: Probe) -> None:
    with pytest.raises(CallerError, match=r"S/shop\.echo.*args.*list"):
        probe.call("shop", "echo", ["x"])  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [{"item": "tea"}, ({}, {}, {}), "tea"])
def test_a_message_that_is_none_is_named(
    probe: Probe, message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for call, channel in ((probe.call, "echo"), (probe.call_task, "deliver")):
        with pytest.raises(CallerError, match=rf"S/shop\.{channel}: a message consists of args and payloads"):
            call("shop", channel, message=message)  # type: ignore[operator]


def test_python_values_survive_both_ways(probe: Probe) -> None:
    value = {
        at("A/b"): (1, [2.5, None], {"x", "y"}, frozenset({1}), b"bytes"),
        "status": Status.READY,
        3: {"nested": ({},)},
        "big": 2**80,
    }
    back = probe.call("shop", "give", payloads={"what": value})
    assert back == value
    assert isinstance(back[at("A/b")], tuple)
    assert all(isinstance(key, RoleInstanceID) for key in back if isinstance(key, tuple))


def test_a_local_call_passes_everything_by_reference(actors: Actors) -> None:
    probe = Probe()
    actors.start("A", {"shop": Shop(), "probe": probe})
    args, payloads = {"lock": threading.Lock()}, {"what": object()}
    _, seen_args, seen_payloads = probe.call("shop", "echo", args, payloads)
    assert seen_args is args
    assert seen_payloads is payloads
    assert probe.call("shop", "give", args, payloads) is payloads["what"]


def test_a_local_service_runs_in_the_callers_thread(actors: Actors) -> None:
    class Threaded(Role):
        @Service
        def thread(self, caller: RoleInstanceID, args: Any, payloads: Any) -> int:
            return threading.get_ident()

    probe = Probe()
    actors.start("A", {"threaded": Threaded(), "probe": probe})
    actors.start("B", {"threaded": Threaded()})
    assert probe.call("threaded", "thread") == threading.get_ident()
    assert probe.call(at("B/threaded"), "thread") != threading.get_ident()


def test_actors_of_one_process_share_no_object(actors: Actors) -> None:
    class Keeper(Role):
        model = {"weights": [1.0]}

        @Service
        def keep(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None:
            payloads["model"]["weights"][0] = 5.0

        @Service
        def fetch(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
            return self.model

    probe = Probe()
    actors.start("B", {"keeper": Keeper()})
    actors.start("A", {"probe": probe}, relationships={"keeper": ["B/keeper"]})
    mine = {"weights": [1.0]}
    probe.call("keeper", "keep", payloads={"model": mine})
    assert mine == {"weights": [1.0]}
    probe.call("keeper", "fetch")["weights"][0] = 7.0
    assert Keeper.model == {"weights": [1.0]}


def test_what_cannot_travel_is_the_callers_fault_and_names_the_place(actors: Actors) -> None:
    probe = Probe()
    actors.start("S", {"shop": Shop()}, allow_pickle=False)
    actors.start("P", {"probe": probe}, relationships={"shop": ["S/shop"]}, allow_pickle=False)
    for call in (probe.call, probe.call_task):
        with pytest.raises(CallerError, match=r"lock"):
            call("shop", "echo", payloads={"deep": [threading.Lock()]})
    with pytest.raises(CallerError, match=r"lock"):
        probe.call_group([at("S/shop")], "echo", payloads={"deep": [threading.Lock()]})


def test_a_result_that_cannot_travel_is_the_handlers_failure(actors: Actors) -> None:
    probe = Probe()
    actors.start("S", {"shop": Shop()})
    actors.start("P", {"probe": probe}, relationships={"shop": ["S/shop"]})
    with pytest.raises(HandlerError, match=r"the result of S/shop\.unpicklable cannot travel"):
        probe.call("shop", "unpicklable")


# errors


def test_a_handler_blames_its_caller_with_the_same_text(probe: Probe) -> None:
    with pytest.raises(CallerError, match=r"(?m)^no such item$"):
        probe.call("shop", "blame")


def test_a_special_caller_error_is_a_caller_error_everywhere(probe: Probe) -> None:
    with pytest.raises(CallerError, match=r"(?m)^very special$"):
        probe.call("shop", "blame-specially")


def test_an_exception_that_is_raised_again_means_the_same_again(probe: Probe) -> None:
    for _ in range(2):
        with pytest.raises(CallerError, match=r"(?m)^sold out$"):
            probe.call("shop", "blame-with-a-constant")


def test_a_failed_assertion_blames_the_caller(probe: Probe) -> None:
    with pytest.raises(CallerError, match=r"not like this"):
        probe.call("shop", "assertion")


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("crash", "S/shop.crash raised ZeroDivisionError: cash register"),
        ("crash-silently", r"(?m)S/shop.crash-silently raised ValueError$"),
        ("exit", "S/shop.exit raised SystemExit: 3"),
        ("time-out", "S/shop.time-out raised TimeoutError: too slow"),
        ("handler-error", "S/shop.handler-error raised HandlerError: my own"),
        ("price-of", "S/shop.price-of raised TypeError: .*item"),
    ],
)
def test_anything_else_is_the_handlers_failure_with_the_original_text(
    probe: Probe, channel: str, text: str
) -> None:
    with pytest.raises(HandlerError, match=text) as caught:
        probe.call("shop", channel)
    assert type(caught.value) is HandlerError


def test_locally_the_original_exception_is_the_cause(actors: Actors) -> None:
    probe = Probe()
    actors.start("A", {"shop": Shop(), "probe": probe})
    with pytest.raises(HandlerError) as caught:
        probe.call("shop", "crash")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(CallerError) as blamed:
        probe.call("shop", "blame")
    assert blamed.value.__cause__ is not blamed.value


def test_remotely_type_and_traceback_of_the_original_are_shown(actors: Actors) -> None:
    probe = Probe()
    actors.start("S", {"shop": Shop()})
    actors.start("P", {"probe": probe}, relationships={"shop": ["S/shop"]})
    with pytest.raises(HandlerError) as caught:
        probe.call("shop", "crash")
    error = caught.value
    assert error.remote_type == "ZeroDivisionError"
    assert "in crash" in (error.remote_traceback or "")
    printed = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert 'raise ZeroDivisionError("cash register")' in printed


@pytest.mark.parametrize(
    ("target", "channel", "inner"),
    [
        ("S/shop", "nothing", "ChannelNotFoundError"),
        ("S/nobody", "echo", "CallerError"),
        ("S/shop", "blame", "CallerError"),
        ("S/shop", "crash", "HandlerError"),
        ("X/shop", "echo", "HandlerError"),
    ],
)
def test_an_error_of_an_inner_call_is_the_handlers_failure(
    probe: Probe, target: str, channel: str, inner: str
) -> None:
    with pytest.raises(HandlerError, match=rf"raised {inner}") as caught:
        probe.call("shop", "inner", {"target": at(target), "channel": channel})
    assert type(caught.value) is HandlerError


def test_a_handler_that_calls_a_name_which_nobody_has_fails_by_itself(probe: Probe) -> None:
    with pytest.raises(HandlerError, match=r"S/shop\.inner raised CallerError: actor S has no .*'nobody'"):
        probe.call("shop", "inner", {"target": "nobody", "channel": "echo"})


def test_a_role_that_is_not_there_is_the_callers_fault(probe: Probe) -> None:
    for call in (probe.call, probe.call_task):
        with pytest.raises(CallerError, match=r"actor S hosts no role named 'shopp'; did you mean 'shop'"):
            call(at("S/shopp"), "echo")


def test_a_misspelt_channel_says_what_was_meant(probe: Probe) -> None:
    with pytest.raises(
        ChannelNotFoundError, match=r"S/shop has no service named 'ehco'; did you mean 'echo'"
    ):
        probe.call("shop", "ehco")
    with pytest.raises(ChannelNotFoundError, match=r"no task named 'delivr'; did you mean 'deliver'"):
        probe.call_task("shop", "delivr")


def test_a_channel_of_the_wrong_kind_names_the_right_call(probe: Probe) -> None:
    with pytest.raises(ChannelNotFoundError, match=r"is a task, not a service: use call_task"):
        probe.call("shop", "deliver")
    with pytest.raises(ChannelNotFoundError, match=r"is a service, not a task: use call"):
        probe.call_task("shop", "echo")


def test_an_actor_that_is_not_there_is_a_handler_error_at_once(probe: Probe) -> None:
    with pytest.raises(HandlerError, match=r"X/shop\.echo: no actor of that name"):
        probe.call(at("X/shop"), "echo")
    with pytest.raises((HandlerError, CallerError), match=r"X/shop\.deliver: no actor of that name"):
        probe.call_task(at("X/shop"), "deliver")


def test_an_actor_without_network_reaches_its_own_roles_only(actors: Actors) -> None:
    probe = Probe()
    actors.start("A", {"shop": Shop(), "probe": probe}, broker="disabled://")
    assert probe.call("shop", "price-of", {"item": "a"}) == 1
    with pytest.raises(HandlerError, match=r"network messaging is disabled"):
        probe.call(at("B/shop"), "echo")
    with pytest.raises((HandlerError, CallerError), match=r"network messaging is disabled"):
        probe.call_task(at("B/shop"), "deliver")


def test_a_role_that_is_not_started_is_not_open(actors: Actors) -> None:
    probe = Probe()
    actors.make("S", {"shop": Shop()})
    actor = actors.start("P", {"probe": probe}, relationships={"shop": ["S/shop"]})
    actor.add_role("shop", Shop())
    for target in (at("S/shop"), at("P/shop")):
        for call, channel in ((probe.call, "echo"), (probe.call_task, "deliver")):
            with pytest.raises(HandlerError, match=rf"{target} is not open: .*DECLARED"):
                call(target, channel)  # type: ignore[operator]


def test_a_role_that_could_not_be_added_is_not_open_until_the_actor_stops(actors: Actors) -> None:
    shop, probe = Shop(), Probe()
    actor = actors.start("A", {"shop": shop, "probe": probe})
    with pytest.raises(RuntimeError, match=r"already the role 'shop'"):
        actor.add_role("second", shop)
    assert actor.role_status_manager.ctrl("second").status is Status.DECLARING
    with pytest.raises(HandlerError, match=r"DECLARING"):
        probe.call(at("A/second"), "echo")
    with pytest.raises(RuntimeError, match=r"'second'"):
        actor.add_role("second", Shop())
    actor.stop()
    assert not actor.role_status_manager.ctrls


def test_a_role_that_ended_is_not_there(actors: Actors) -> None:
    probe = Probe()
    server = actors.start("S", {"shop": Shop()})
    actors.start("P", {"probe": probe})
    server.stop_role("shop")
    with pytest.raises(CallerError, match=r"hosts no role named 'shop'"):
        probe.call(at("S/shop"), "echo")
    assert "shop" not in server.roles


# permissions


def test_only_members_of_a_required_relationship_may_call(actors: Actors) -> None:
    probe, friend = Probe(), Probe()
    server = actors.start("S", {"shop": Shop(), "friend": friend}, relationships={"friend": ["S/friend"]})
    actors.start("P", {"probe": probe})
    assert friend.call(at("S/shop"), "friends-only", {"n": 3}) == 3
    with pytest.raises(CallerError, match=r"(?m)^P/probe is a stranger$"):
        probe.call(at("S/shop"), "friends-only", {"n": 3})
    with pytest.raises(CallerError, match=r"P/probe is not in the relationship 'friend' of actor S"):
        probe.call(at("S/shop"), "friends-only-too")
    server.ctx.relationships.add_to_relationship("friend", probe.id)
    assert probe.call(at("S/shop"), "friends-only", {"n": 3}) == 3


# nested calls, pausing


class Nested(Role):
    """Calls itself in every way from inside a handler."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    @Service
    def outer(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
        self.gate.pass_through()
        own = self.call(self.name, "inner")
        task = self.call_task(self.id, "inner-task").result(DEADLINE_S)
        return own, task

    @Service
    def inner(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
        return "service"

    @Task
    def inner_task(self, caller: RoleInstanceID, args: Any, payloads: Any) -> str:
        return self.call(self.id, "inner") + " in a task"


def test_a_role_calls_itself_from_inside_its_handlers(actors: Actors) -> None:
    nested, probe = Nested(), Probe()
    nested.gate.open()
    actors.start("A", {"nested": nested})
    actors.start("B", {"probe": probe})
    assert probe.call(at("A/nested"), "outer") == ("service", "service in a task")


def test_pausing_waits_for_running_handlers_and_lets_them_call_their_own_role(actors: Actors) -> None:
    nested, probe = Nested(), Probe()
    actor = actors.start("A", {"nested": nested})
    actors.start("B", {"probe": probe})
    call = in_thread(probe.call, at("A/nested"), "outer")
    nested.gate.entered()
    control = actor.role_status_manager.ctrl("nested")
    pause = in_thread(control.pause)
    wait_until(lambda: control.status is Status.PAUSING)
    nested.gate.open()
    assert call.result(DEADLINE_S) == ("service", "service in a task")
    pause.result(DEADLINE_S)
    assert control.status is Status.PAUSED


def test_calls_of_a_paused_role_wait_until_it_is_ready(probe: Probe, actors: Actors) -> None:
    control = actors._made[0].role_status_manager.ctrl("shop")
    control.pause()
    calls = [in_thread(probe.call, "shop", "price-of", {"item": "tea"}) for _ in range(3)]
    tasks = [in_thread(probe.call_task, "shop", "deliver") for _ in range(3)]
    for waiting in [*calls, *tasks]:
        with pytest.raises(NotYet):
            waiting.result(0.01)
    control.ready()
    assert [call.result(DEADLINE_S) for call in calls] == [3, 3, 3]
    for task in tasks:
        assert task.result(DEADLINE_S).result(DEADLINE_S) is None


def test_calls_of_a_paused_role_fail_when_it_ends(probe: Probe, actors: Actors) -> None:
    server = actors._made[0]
    server.role_status_manager.ctrl("shop").pause()
    calls = [in_thread(call, "shop", c) for call, c in ((probe.call, "echo"), (probe.call_task, "deliver"))]
    for waiting in calls:
        with pytest.raises(NotYet):
            waiting.result(0.01)
    server.stop_role("shop")
    for waiting in calls:
        with pytest.raises((HandlerError, CallerError), match=r"S/shop is not open|no role named 'shop'"):
            waiting.result(DEADLINE_S)


def test_while_a_role_ends_new_calls_fail_and_running_ones_finish(probe: Probe, actors: Actors) -> None:
    server = actors._made[0]
    gate = shop_of(server).gate  # type: ignore[arg-type]
    running = in_thread(probe.call, "shop", "wait")
    gate.entered()
    ending = in_thread(server.stop_role, "shop")
    wait_until(lambda: server.role_status_manager.ctrl("shop").status is Status.TERMINATING)
    for call, channel in ((probe.call, "echo"), (probe.call_task, "deliver")):
        with pytest.raises(HandlerError, match=r"S/shop is not open: .*TERMINATING"):
            call(at("S/shop"), channel)  # type: ignore[operator]
    gate.open()
    assert running.result(DEADLINE_S) == "waited"
    ending.result(DEADLINE_S)


def test_services_run_in_parallel(probe: Probe, actors: Actors) -> None:
    gate = shop_of(actors._made[0]).gate  # type: ignore[arg-type]
    calls = [in_thread(probe.call, "shop", "wait") for _ in range(20)]
    for _ in calls:
        gate.entered()
    gate.open()
    assert [call.result(DEADLINE_S) for call in calls] == ["waited"] * 20


def test_a_caller_whose_callee_stops_hears_whom_it_lost(actors: Actors) -> None:
    shop, probe = Shop(), Probe()
    server = actors.start("S", {"shop": shop})
    actors.start("P", {"probe": probe})
    call = in_thread(probe.call, at("S/shop"), "wait")
    shop.gate.entered()
    server._mailbox.transport.stop()  # lost, as far as others can tell: its handlers are not awaited
    with pytest.raises(HandlerError, match=r"actor S left before S/shop\.wait answered"):
        call.result(DEADLINE_S)
    shop.gate.open()


def test_a_caller_whose_own_actor_leaves_hears_that(actors: Actors) -> None:
    shop, probe = Shop(), Probe()
    actors.start("S", {"shop": shop})
    actor = actors.start("P", {"probe": probe})
    call = in_thread(probe.call, at("S/shop"), "wait")
    shop.gate.entered()
    actor.stop()
    with pytest.raises(HandlerError, match=r"actor P stopped before S/shop\.wait answered"):
        call.result(DEADLINE_S)
    shop.gate.open()
    with pytest.raises(HandlerError, match=r"left the broker"):
        actor.call("foo", at("S/shop"), "echo", Message())


def test_calls_of_one_caller_start_in_the_order_sent(actors: Actors) -> None:
    starts: queue.SimpleQueue[int] = queue.SimpleQueue()

    class Recorder(Role):
        @Task(expand=True)
        def record(self, caller: RoleInstanceID, n: int) -> None:
            starts.put(n)

        @Task(expand=True)
        def record_slowly(self, caller: RoleInstanceID, n: int) -> None:
            starts.put(n)
            threading.Event().wait(0.001)

    probe = Probe()
    for actor in (
        actors.start("S", {"recorder": Recorder()}),
        actors.start("P", {"probe": probe, "recorder": Recorder()}),
    ):
        actor._mailbox.lanes._overlap_after_s = DEADLINE_S  # a busy machine may stop a thread for that long
    for target in (at("S/recorder"), at("P/recorder")):
        for channel in ("record", "record-slowly"):
            tasks = [probe.call_task(target, channel, {"n": n}) for n in range(200)]
            for task in tasks:
                task.result(DEADLINE_S)
            assert [starts.get_nowait() for _ in range(200)] == list(range(200)), (target, channel)


def test_a_chain_of_waiting_handlers_never_blocks_another(actors: Actors) -> None:
    depth = 50

    class Link(Role):
        @Task(expand=True)
        def wait_for_next(self, caller: RoleInstanceID, n: int) -> int:
            if n == depth:
                return n
            here, there = self.id.actor_name, "B" if self.id.actor_name == "A" else "A"
            target = RoleInstanceID(there if n % 2 else here, f"link{n % 3}")
            return int(self.call_task(target, "wait-for-next", {"n": n + 1}).result())

    probe = Probe()
    for name in ("A", "B"):
        actors.start(name, {f"link{i}": Link() for i in range(3)})
    actors.start("P", {"probe": probe})
    task = probe.call_task(at("A/link0"), "wait-for-next", {"n": 0})
    assert task.result(DEADLINE_S) == depth


def test_a_mixed_up_timeout_is_not_a_result_timeout(probe: Probe) -> None:
    with pytest.raises(HandlerError) as caught:
        probe.call("shop", "time-out")
    assert not isinstance(caught.value, TaskResultTimeoutError)
    assert isinstance(caught.value, RoleInteractionError)


def test_handlers_and_callers_see_the_context_of_their_own_actor(actors: Actors) -> None:
    class Where(Role):
        @Service
        def where(self, caller: RoleInstanceID, args: Any, payloads: Any) -> list[str]:
            path = [Context.active_context().profile.name]
            if args["path"]:
                head, *rest = args["path"]
                path += self.call(RoleInstanceID(head, "where"), "where", {"path": rest})
                assert Context.active_context().profile.name == path[0]
            return path

    probe = Probe()
    for name in ("A", "B", "C"):
        actors.start(name, {"where": Where()})
    actors.start("Z", {"probe": probe})
    assert probe.call(at("A/where"), "where", {"path": ["B", "A", "A", "C"]}) == ["A", "B", "A", "A", "C"]
    assert Context.active_context().profile == ActorProfile("Z")

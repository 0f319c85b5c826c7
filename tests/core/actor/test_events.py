"""Events: emitting, subscribing by hand, delivery, buffering, and what ends a subscription."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import TimeoutError as NotYet
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import HandlerDecorator, Service
from roleml.core.role.exceptions import (
    ChannelNotFoundError,
    HandlerError,
    NoSuchEventError,
    NoSuchRoleError,
)
from roleml.core.role.types import Message
from roleml.core.status import Status, StatusError
from roleml.shared.interfaces import Runnable
from tests.actors import DEADLINE_S, Actors, Emitter, Gate, Probe, at, in_thread, wait_until


@pytest.fixture
def emitter() -> Emitter:
    return Emitter()


@pytest.fixture(params=["local", "remote"])
def probe(request: pytest.FixtureRequest, actors: Actors, emitter: Emitter) -> Probe:
    """A role whose relationship ``emitter`` has one member, here or on another actor."""
    probe = Probe()
    if request.param == "local":
        actors.start("E", {"emitter": emitter, "probe": probe})
    else:
        actors.start("E", {"emitter": emitter})
        actors.start("P", {"probe": probe})
    return probe


SOURCE = at("E/emitter")


def nothing_more(probe: Probe, emitter: Emitter) -> None:
    """Check that nothing was delivered besides what was taken from ``probe``, by sending something last."""
    probe.subscribe(SOURCE, "other-news", probe.note)
    emitter.other_news.emit({"last": True})
    assert probe.next_args() == {"last": True}
    probe.unsubscribe(SOURCE, "other-news")
    assert probe.seen.empty()


def actor_of(role: Role) -> Any:
    return role.base


def status_of(role: Role) -> Any:
    return actor_of(role).role_status_manager.ctrl(role.name)


def do_not_overlap(probe: Probe) -> None:
    """Have handlers wait for the one before them: a busy machine may stop a thread before its first line."""
    actor_of(probe)._mailbox.lanes._overlap_after_s = DEADLINE_S


# emitting


def test_a_subscriber_gets_what_is_emitted_and_by_whom(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    emitter.news.emit({"a": 1}, {"b": [2]})
    source, args, payloads = probe.next()
    assert (source, args, payloads) == (SOURCE, {"a": 1}, {"b": [2]})
    assert isinstance(source, RoleInstanceID)
    emitter.news.emit()
    assert probe.next() == (SOURCE, {}, {})
    emitter.news.emit({"x": 0}, message=Message({"a": 2}, {}))
    assert probe.next_args() == {"a": 2}


def test_channels_are_independent(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "other_news", probe.note)
    emitter.news.emit({"n": 1})
    emitter.other_news.emit({"n": 2})
    assert probe.next_args() == {"n": 2}
    assert probe.seen.empty()


def test_emitting_without_subscribers_is_fine(probe: Probe, emitter: Emitter) -> None:
    assert emitter.news.emit({"n": 1}) is None  # type: ignore[func-returns-value]


def test_emit_does_not_wait_for_handlers(probe: Probe, emitter: Emitter) -> None:
    gate = Gate()
    probe.subscribe(SOURCE, "news", lambda source, args, payloads: gate.pass_through())
    for _ in range(5):
        emitter.news.emit()
    for _ in range(5):
        gate.entered()
    gate.open()


@pytest.mark.parametrize("stage", ["declared", "terminated"])
def test_only_a_ready_role_emits(actors: Actors, stage: str) -> None:
    emitter = Emitter()
    actor = actors.make("E", {"emitter": emitter})
    if stage == "terminated":
        actor.start()
        actor.stop_role("emitter")
    with pytest.raises(HandlerError, match=r"E/emitter cannot emit 'news'"):
        emitter.news.emit()


def test_an_ending_role_cannot_emit(actors: Actors) -> None:
    class Late(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()

        @Service
        def emit_late(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.gate.pass_through()
            self.news.emit()

    late, probe = Late(), Probe()
    actor = actors.start("E", {"late": late, "probe": probe})
    call = in_thread(probe.call, "late", "emit-late")
    late.gate.entered()
    ending = in_thread(actor.stop_role, "late")
    wait_until(lambda: status_of(late).status is Status.TERMINATING)
    late.gate.open()
    with pytest.raises(HandlerError, match=r"cannot emit 'news'"):
        call.result(DEADLINE_S)
    ending.result(DEADLINE_S)


def test_an_emit_of_a_paused_role_waits(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    status_of(emitter).pause()
    emit = in_thread(emitter.news.emit, {"n": 1})
    with pytest.raises(NotYet):
        emit.result(0.01)
    assert probe.seen.empty()
    status_of(emitter).ready()
    emit.result(DEADLINE_S)
    assert probe.next_args() == {"n": 1}


def test_a_running_handler_emits_while_its_role_is_pausing(actors: Actors) -> None:
    class Slow(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()

        @Service
        def work(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.gate.pass_through()
            self.news.emit({"n": 1})

    slow, probe = Slow(), Probe()
    actors.start("E", {"slow": slow})
    actors.start("P", {"probe": probe})
    probe.subscribe(at("E/slow"), "news", probe.note)
    call = in_thread(probe.call, at("E/slow"), "work")
    slow.gate.entered()
    pause = in_thread(status_of(slow).pause)
    wait_until(lambda: status_of(slow).status is Status.PAUSING)
    slow.gate.open()
    call.result(DEADLINE_S)
    pause.result(DEADLINE_S)
    assert probe.next_args() == {"n": 1}


def test_a_channel_the_role_does_not_have_cannot_be_emitted(actors: Actors) -> None:
    emitter = Emitter()
    actor = actors.start("E", {"emitter": emitter})
    with pytest.raises(NoSuchEventError, match=r"E/emitter has no event named 'newz'; did you mean 'news'"):
        actor.emit("emitter", "newz", Message())


@pytest.mark.parametrize("content", [("text",), ({}, ["large"]), (5, {})])
def test_what_is_no_message_is_not_emitted(probe: Probe, emitter: Emitter, content: Any) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    with pytest.raises(TypeError, match=r"E/emitter cannot emit 'news': (args|payloads) must map names"):
        emitter.news.emit(*content)
    with pytest.raises(TypeError, match=r"a message consists of args and payloads, and this is a dict"):
        emitter.news.emit(message={"n": 1})  # type: ignore[arg-type]


def test_an_event_that_cannot_travel_is_logged_and_served_locally(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    emitter, near, far = Emitter(), Probe(), Probe()
    actors.start("E", {"emitter": emitter, "near": near})
    actors.start("P", {"far": far})
    for probe in (near, far):
        probe.subscribe(SOURCE, "news", probe.note)
    lock = threading.Lock()
    emitter.news.emit({"n": 1}, {"lock": lock})
    assert near.next() == (SOURCE, {"n": 1}, {"lock": lock})
    assert "E/emitter.news was not sent to other actors" in caplog.text
    emitter.news.emit({"n": 2})
    assert far.next_args() == {"n": 2}


def test_locally_by_reference_and_across_actors_copies(actors: Actors) -> None:
    emitter, near, nearer, far = Emitter(), Probe(), Probe(), Probe()
    actors.start("E", {"emitter": emitter, "near": near, "nearer": nearer})
    actors.start("P", {"far": far})
    for probe in (near, nearer, far):
        probe.subscribe(SOURCE, "news", probe.note)
    what = [1]
    emitter.news.emit({}, {"what": what})
    assert near.next()[2]["what"] is what
    assert nearer.next()[2]["what"] is what
    copy = far.next()[2]["what"]
    assert copy == [1]
    assert copy is not what


def test_one_message_per_remote_actor_however_many_roles_listen(
    actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitter, probes = Emitter(), {f"probe{i}": Probe() for i in range(5)}
    source = actors.start("E", {"emitter": emitter})
    listener = actors.start("P", probes)
    arrived: list[Any] = []
    deliver = listener._mailbox.deliver
    monkeypatch.setattr(
        listener._mailbox,
        "deliver",
        lambda envelope, body: (arrived.append(envelope.kind), deliver(envelope, body)),
    )
    for i, probe in enumerate(probes.values()):
        probe.subscribe(SOURCE, "news", probe.note, conditions={"n__ge": i})
    arrived.clear()
    emitter.news.emit({"n": 3})
    for probe in list(probes.values())[:4]:
        assert probe.next_args() == {"n": 3}
    assert len(arrived) == 1
    assert probes["probe4"].seen.empty()
    assert source.roles["emitter"] is emitter


def test_a_subscriber_that_cannot_be_reached_does_not_hold_up_others(actors: Actors) -> None:
    emitter, lost, probe = Emitter(), Probe(), Probe()
    actors.start("E", {"emitter": emitter})
    other = actors.start("L", {"lost": lost})
    actors.start("P", {"probe": probe})
    for each in (lost, probe):
        each.subscribe(SOURCE, "news", each.note)
    other._mailbox.transport.stop()
    emitter.news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}
    assert lost.seen.empty()


# subscribing by hand


def test_channel_names_are_standardised_for_subscriptions(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "other_news", probe.note)
    emitter.other_news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}
    probe.unsubscribe(SOURCE, "other_news")
    emitter.other_news.emit({"n": 2})
    nothing_more(probe, emitter)


def test_the_same_subscription_again_changes_nothing(probe: Probe, emitter: Emitter) -> None:
    for _ in range(3):
        probe.subscribe(SOURCE, "news", probe.note, conditions={"n__gt": 0})
    emitter.news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}
    nothing_more(probe, emitter)


def test_another_handler_condition_or_mode_replaces_the_subscription(probe: Probe, emitter: Emitter) -> None:
    other: queue.SimpleQueue[Any] = queue.SimpleQueue()
    probe.subscribe(SOURCE, "news", probe.note)
    probe.subscribe(SOURCE, "news", lambda source, args, payloads: other.put(args))
    emitter.news.emit({"n": 1})
    assert other.get(timeout=DEADLINE_S) == {"n": 1}
    probe.subscribe(SOURCE, "news", probe.note, conditions={"n": 3})
    emitter.news.emit({"n": 2})
    emitter.news.emit({"n": 3})
    assert probe.next_args() == {"n": 3}
    probe.subscribe(SOURCE, "news", probe.note, conditions={"n": 3}, mode="once")
    emitter.news.emit({"n": 3})
    emitter.news.emit({"n": 3})
    assert probe.next_args() == {"n": 3}
    nothing_more(probe, emitter)
    assert other.empty()


def test_only_what_is_emitted_after_the_subscription_arrives(probe: Probe, emitter: Emitter) -> None:
    emitter.news.emit({"n": 1})
    probe.subscribe(SOURCE, "news", probe.note)
    emitter.news.emit({"n": 2})
    assert probe.next_args() == {"n": 2}
    nothing_more(probe, emitter)


def test_a_second_role_of_an_actor_gets_no_older_messages(actors: Actors) -> None:
    emitter, first, second = Emitter(), Probe(), Probe()
    actors.start("E", {"emitter": emitter})
    actors.start("P", {"first": first, "second": second})
    first.subscribe(SOURCE, "news", first.note)
    emitter.news.emit({"n": 1})
    second.subscribe(SOURCE, "news", second.note)
    emitter.news.emit({"n": 2})
    assert [first.next_args(), first.next_args()] == [{"n": 1}, {"n": 2}]
    assert second.next_args() == {"n": 2}


def test_an_expanded_handler_takes_keywords(actors: Actors, emitter: Emitter) -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Reader(Role):
        @HandlerDecorator(expand=True)
        def read(self, source: RoleInstanceID, n: int, *, m: int) -> None:
            seen.put((source, n, m))

    reader = Reader()
    actors.start("E", {"emitter": emitter})
    actors.start("R", {"reader": reader})
    reader.subscribe(SOURCE, "news", reader.read)
    emitter.news.emit({"n": 1}, {"m": 2})
    assert seen.get(timeout=DEADLINE_S) == (SOURCE, 1, 2)


def test_an_unknown_operator_is_refused_before_anything_is_sent(probe: Probe) -> None:
    with pytest.raises(ValueError, match=r"unknown operator 'gtt'"):
        probe.subscribe(at("X/nobody"), "news", probe.note, conditions={"n__gtt": 1})
    with pytest.raises(ValueError, match=r"'twice'"):
        probe.subscribe(SOURCE, "news", probe.note, mode="twice")  # type: ignore[arg-type]


@pytest.mark.parametrize("handler", [None, "note"])
def test_a_handler_must_be_callable(probe: Probe, handler: Any) -> None:
    with pytest.raises(TypeError, match=rf"a function or method handles E/emitter\.news, not {handler!r}"):
        probe.subscribe(SOURCE, "news", handler)


def test_a_channel_that_is_not_there_says_what_was_meant(probe: Probe) -> None:
    with pytest.raises(
        ChannelNotFoundError, match=r"E/emitter has no event named 'nwes'; did you mean 'news'"
    ):
        probe.subscribe(SOURCE, "nwes", probe.note)


def test_a_relationship_name_is_no_target_of_a_subscription(probe: Probe) -> None:
    for call in (
        lambda: probe.subscribe("emitter", "news", probe.note),  # type: ignore[arg-type]
        lambda: probe.unsubscribe("emitter", "news"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"'emitter'.*RoleInstanceID"):
            call()


def test_sources_that_are_not_there(actors: Actors) -> None:
    probe = Probe()
    actors.start("E")
    actor = actors.start("P", {"probe": probe})
    with pytest.raises(NoSuchRoleError, match=r"'nobody'"):
        probe.subscribe(at("P/nobody"), "news", probe.note)
    with pytest.raises(HandlerError, match=r"actor E has no role instance 'nobody'"):
        probe.subscribe(at("E/nobody"), "news", probe.note)
    with pytest.raises(HandlerError, match=r"no actor of that name"):
        probe.subscribe(at("X/nobody"), "news", probe.note)
    with pytest.raises(NoSuchRoleError, match=r"'nobody'"):
        actor.subscribe("nobody", SOURCE, "news", probe.note)
    assert not actor._events._inlets


def test_sources_that_are_ending_take_no_new_subscription(actors: Actors) -> None:
    class Ending(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()

        @Service
        def hold(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.gate.pass_through()

    ending, near, far = Ending(), Probe(), Probe()
    actor = actors.start("E", {"ending": ending, "near": near})
    actors.start("P", {"far": far})
    hold = in_thread(near.call, "ending", "hold")
    ending.gate.entered()
    stop = in_thread(actor.stop_role, "ending")
    wait_until(lambda: status_of(ending).status is Status.TERMINATING)
    with pytest.raises(StatusError):
        near.subscribe(ending.id, "news", near.note)
    with pytest.raises(HandlerError):
        far.subscribe(at("E/ending"), "news", far.note)
    ending.gate.open()
    hold.result(DEADLINE_S)
    stop.result(DEADLINE_S)


def test_a_declared_source_may_be_subscribed_to(actors: Actors) -> None:
    emitter, probe = Emitter(), Probe()
    source = actors.make("E", {"emitter": emitter})
    actors.start("P", {"probe": probe})
    probe.subscribe(SOURCE, "news", probe.note)
    source.start()
    emitter.news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}


def test_a_subscription_while_the_source_is_busy_starting_or_pausing_does_not_wait(actors: Actors) -> None:
    class Busy(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()

        @Service
        def hold(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.gate.pass_through()

    busy, probe = Busy(), Probe()
    actors.start("E", {"busy": busy})
    actors.start("P", {"probe": probe})
    hold = in_thread(probe.call, at("E/busy"), "hold")
    busy.gate.entered()
    pause = in_thread(status_of(busy).pause)
    wait_until(lambda: status_of(busy).status is Status.PAUSING)
    in_thread(probe.subscribe, at("E/busy"), "news", probe.note).result(DEADLINE_S)
    busy.gate.open()
    hold.result(DEADLINE_S)
    pause.result(DEADLINE_S)


def test_a_runnable_that_subscribes_while_its_role_ends_does_not_hold_it_up(actors: Actors) -> None:
    class Listener(Probe, Runnable):
        def __init__(self) -> None:
            super().__init__()
            self.stopping = threading.Event()
            self.error: BaseException | None = None

        def run(self) -> None:
            self.stopping.wait(DEADLINE_S)
            try:
                self.subscribe(SOURCE, "news", self.note)
            except StatusError as error:
                self.error = error

        def stop(self) -> None:
            self.stopping.set()

    listener = Listener()
    actors.start("E", {"emitter": Emitter()})
    actor = actors.start("P", {"listener": listener})
    in_thread(actor.stop_role, "listener").result(DEADLINE_S)
    assert isinstance(listener.error, StatusError)
    assert not actor._events._inlets


def test_a_role_may_subscribe_from_inside_its_handlers_and_to_itself(actors: Actors) -> None:
    class Own(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

        @Service
        def listen(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.subscribe(self.id, "news", lambda source, args, payloads: self.seen.put(args))
            self.news.emit({"n": 1})

    own, probe = Own(), Probe()
    actors.start("E", {"own": own})
    actors.start("P", {"probe": probe})
    probe.call(at("E/own"), "listen")
    assert own.seen.get(timeout=DEADLINE_S) == {"n": 1}


# unsubscribing


def test_after_unsubscribing_nothing_arrives(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    probe.unsubscribe(SOURCE, "news")
    emitter.news.emit({"n": 1})
    nothing_more(probe, emitter)
    assert not actor_of(emitter)._events._emitting.sources[(SOURCE, "news")].remote


def test_what_is_not_subscribed_cannot_be_unsubscribed(probe: Probe) -> None:
    for channel in ("news", "nothing"):
        with pytest.raises(RuntimeError, match=rf"'probe' is not subscribed to E/emitter.{channel}"):
            probe.unsubscribe(SOURCE, channel)


def test_unsubscribing_a_consumed_once_is_the_same_error(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note, mode="once")
    emitter.news.emit({"n": 1})
    probe.next()
    wait_until(lambda: not _is_subscribed(probe))
    with pytest.raises(RuntimeError, match=r"is not subscribed"):
        probe.unsubscribe(SOURCE, "news")


def test_a_paused_role_unsubscribes_when_it_is_ready(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    status_of(probe).pause()
    end = in_thread(probe.unsubscribe, SOURCE, "news")
    with pytest.raises(NotYet):
        end.result(0.01)
    status_of(probe).ready()
    end.result(DEADLINE_S)


def test_one_role_leaves_and_another_of_its_actor_stays(actors: Actors, emitter: Emitter) -> None:
    first, second = Probe(), Probe()
    actors.start("E", {"emitter": emitter})
    actors.start("P", {"first": first, "second": second})
    for probe in (first, second):
        probe.subscribe(SOURCE, "news", probe.note)
    first.unsubscribe(SOURCE, "news")
    emitter.news.emit({"n": 1})
    assert second.next_args() == {"n": 1}
    assert first.seen.empty()


def test_a_role_that_ends_has_its_actor_ask_again_only_for_channels_that_it_wanted_less_of(
    actors: Actors, emitter: Emitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asked for every channel of every other role: with many subscriptions, most of its time to leave."""
    actors.start("E", {"emitter": emitter})
    first, second, third = Probe(), Probe(), Probe()
    actor = actors.start("P", {"first": first, "second": second, "third": third})
    first.subscribe(SOURCE, "news", first.note, conditions={"n": 1})
    for probe in (second, third):
        probe.subscribe(SOURCE, "news", probe.note, conditions={"n": 2})
    second.subscribe(SOURCE, "other-news", second.note)
    asked: list[tuple[str, Any]] = []
    transport, subscribe = actor._mailbox.transport, actor._mailbox.transport.subscribe

    def spy(source: Any, channel: str, filters: Any) -> bool:
        asked.append((channel, filters))
        return bool(subscribe(source, channel, filters))

    monkeypatch.setattr(transport, "subscribe", spy)
    actor.stop_role("third")
    assert asked == []
    actor.stop_role("first")
    assert asked == [("news", frozenset({frozenset({("n", "n:2")})}))]
    emitter.news.emit({"n": 2})
    assert second.next_args() == {"n": 2}


# modes and conditions


def test_once_takes_one_matching_message(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note, conditions={"n__gt": 1}, mode="once")
    for n in range(5):
        emitter.news.emit({"n": n})
    assert probe.next_args() == {"n": 2}
    nothing_more(probe, emitter)
    wait_until(lambda: not actor_of(emitter)._events._emitting.sources[(SOURCE, "news")].remote)
    wait_until(lambda: (SOURCE, "news") not in actor_of(probe)._events._inlets)


def test_once_is_consumed_though_the_handler_fails(probe: Probe, emitter: Emitter) -> None:
    def fail(source: RoleInstanceID, args: Any, payloads: Any) -> None:
        probe.note(source, args, payloads)
        raise ArithmeticError

    probe.subscribe(SOURCE, "news", fail, mode="once")
    emitter.news.emit({"n": 1})
    emitter.news.emit({"n": 2})
    assert probe.next_args() == {"n": 1}
    nothing_more(probe, emitter)


def test_once_can_be_subscribed_again_also_from_its_handler(probe: Probe, emitter: Emitter) -> None:
    def again(source: RoleInstanceID, args: Any, payloads: Any) -> None:
        if args["n"] < 20:
            probe.subscribe(SOURCE, "news", again, mode="once")
        probe.note(source, args, payloads)

    probe.subscribe(SOURCE, "news", again, mode="once")
    for n in range(21):
        emitter.news.emit({"n": n})
        assert probe.next_args() == {"n": n}
    nothing_more(probe, emitter)


def test_several_once_subscribers_each_get_their_own_message(actors: Actors, emitter: Emitter) -> None:
    probes = [Probe() for _ in range(4)]
    actors.start("E", {"emitter": emitter})
    actors.start("P", {f"probe{i}": probe for i, probe in enumerate(probes)})
    for i, probe in enumerate(probes):
        probe.subscribe(SOURCE, "news", probe.note, conditions={"n": i}, mode="once")
    for n in (2, 0, 1, 0, 3, 2):
        emitter.news.emit({"n": n})
    assert [probe.next_args() for probe in probes] == [{"n": i} for i in range(4)]
    assert all(probe.seen.empty() for probe in probes)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"a__gt": 1}, ["8", "16"]),
        ({"a__gt": 1, "c": "16"}, ["16"]),
        ({"d": 32}, []),
        ({}, ["4", "8", "16"]),
    ],
    ids=str,
)
def test_conditions_look_at_args_only(
    probe: Probe, emitter: Emitter, conditions: Any, expected: list[str]
) -> None:
    probe.subscribe(SOURCE, "news", probe.note, conditions=conditions)
    for args in ({"a": 1, "b": 2, "c": "4"}, {"a": 2, "b": 4, "c": "8"}, {"a": 4, "b": 8, "c": "16"}):
        emitter.news.emit(args, {"d": 32})
    assert [probe.next_args()["c"] for _ in expected] == expected
    nothing_more(probe, emitter)


def test_empty_args_meet_no_conditions(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note, conditions={"a__b__gt": 1})
    emitter.news.emit({}, {"a": 1})
    emitter.news.emit({"a": 1})
    assert probe.next_args() == {"a": 1}
    nothing_more(probe, emitter)


# delivery


def test_a_failing_handler_is_logged_with_its_source_and_later_messages_arrive(
    probe: Probe, emitter: Emitter, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_first(source: RoleInstanceID, args: Any, payloads: Any) -> None:
        probe.note(source, args, payloads)
        if args["n"] == 0:
            raise ArithmeticError("cannot read")

    probe.subscribe(SOURCE, "news", fail_first)
    emitter.news.emit({"n": 0})
    assert probe.next_args() == {"n": 0}
    emitter.news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}
    wait_until(lambda: "role probe failed to handle E/emitter.news" in caplog.text)
    assert "cannot read" in caplog.text


@pytest.mark.parametrize("content", [5, (1, 2), ([], []), ({}, {}, {}), ("ab", {}), {"a": 1, "b": 2}, None])
def test_an_event_that_is_no_message_is_logged_and_later_ones_arrive(
    actors: Actors, caplog: pytest.LogCaptureFixture, content: Any
) -> None:
    emitter, probe = Emitter(), Probe()
    mailbox = actors.start("E", {"emitter": emitter})._mailbox
    actors.start("P", {"probe": probe})
    probe.subscribe(SOURCE, "news", probe.note, conditions={"n__ge": 0})
    mailbox.publish(SOURCE, "news", 1, content, {})
    emitter.news.emit({"n": Decimal("NaN")})
    emitter.news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}
    assert caplog.text.count("a message of E/emitter.news cannot be read and was dropped") == 1


def test_handlers_start_in_the_order_of_emission(probe: Probe, emitter: Emitter) -> None:
    def note_and_linger(source: RoleInstanceID, args: Any, payloads: Any) -> None:
        probe.seen.put((source, args, payloads))
        if args["n"] % 10 == 0:
            threading.Event().wait(0.001)

    do_not_overlap(probe)
    probe.subscribe(SOURCE, "news", note_and_linger)
    for n in range(300):
        emitter.news.emit({"n": n})
    assert [probe.next_args()["n"] for _ in range(300)] == list(range(300))


def test_each_emitters_order_holds_with_several_emitting_threads(probe: Probe, emitter: Emitter) -> None:
    do_not_overlap(probe)
    probe.subscribe(SOURCE, "news", probe.note)

    def emit(thread: int) -> None:
        for n in range(100):
            emitter.news.emit({"thread": thread, "n": n})

    for emitting in [in_thread(emit, thread) for thread in range(4)]:
        emitting.result(DEADLINE_S)
    seen: dict[int, list[int]] = {thread: [] for thread in range(4)}
    for _ in range(400):
        args = probe.next_args()
        seen[args["thread"]].append(args["n"])
    assert all(numbers == list(range(100)) for numbers in seen.values())


def test_a_slow_handler_holds_up_neither_others_nor_itself(actors: Actors, emitter: Emitter) -> None:
    slow, quick, gate = Probe(), Probe(), Gate()
    actors.start("E", {"emitter": emitter})
    actors.start("P", {"slow": slow, "quick": quick})
    slow.subscribe(SOURCE, "news", lambda source, args, payloads: gate.pass_through(args["n"]))
    quick.subscribe(SOURCE, "news", quick.note)
    for n in range(5):
        emitter.news.emit({"n": n})
    assert [quick.next_args()["n"] for _ in range(5)] == list(range(5))
    assert [gate.entered() for _ in range(5)] == list(range(5))
    gate.open()


def test_handlers_see_the_context_of_their_own_actor(actors: Actors, emitter: Emitter) -> None:
    near, far = Probe(), Probe()
    actors.start("E", {"emitter": emitter, "near": near})
    actors.start("P", {"far": far})
    actors.start("Z")
    seen: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def listen(probe: Probe) -> None:
        probe.subscribe(
            SOURCE, "news", lambda *_: seen.put((probe.name, Context.active_context().profile.name))
        )

    listen(near)
    listen(far)
    emitter.news.emit()
    assert {seen.get(timeout=DEADLINE_S) for _ in range(2)} == {("near", "E"), ("far", "P")}


# buffering


def test_what_arrives_before_a_role_is_ready_is_kept_in_order(actors: Actors, emitter: Emitter) -> None:
    near, far = Probe(), Probe()
    source = actors.start("E", {"emitter": emitter})
    source.add_role("near", near)
    actor = actors.make("P", {"far": far})
    for probe in (near, far):
        probe.subscribe(SOURCE, "news", probe.note)
        probe.subscribe(SOURCE, "other-news", probe.note, mode="once")
    for n in range(50):
        emitter.news.emit({"n": n})
        emitter.other_news.emit({"once": n})
    assert near.seen.empty()
    assert far.seen.empty()
    source.start_role("near")
    actor.start()
    for probe in (near, far):
        args = [probe.next_args() for _ in range(51)]
        assert [each["n"] for each in args if "n" in each] == list(range(50))
        assert [each["once"] for each in args if "once" in each] == [0]


def test_what_arrives_while_a_role_is_paused_is_delivered_when_it_is_ready(
    probe: Probe, emitter: Emitter
) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    status_of(probe).pause()
    for n in range(20):
        emitter.news.emit({"n": n})
    assert probe.seen.empty()
    status_of(probe).ready()
    assert [probe.next_args()["n"] for _ in range(20)] == list(range(20))


def test_what_waits_for_a_paused_role_is_dropped_when_it_ends(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    status_of(probe).pause()
    for n in range(20):
        emitter.news.emit({"n": n})
    actor_of(probe).stop_role("probe")
    lanes = actor_of(probe)._mailbox.lanes
    wait_until(lambda: not lanes._lanes)
    assert probe.seen.empty()


# what ends a subscription


def test_a_subscriber_that_ends_is_forgotten_by_its_sources(actors: Actors, emitter: Emitter) -> None:
    near, far, other = Probe(), Probe(), Probe()
    source = actors.start("E", {"emitter": emitter, "near": near})
    actor = actors.start("P", {"far": far, "other": other})
    for probe in (near, far, other):
        probe.subscribe(SOURCE, "news", probe.note)
    source.stop_role("near")
    actor.stop_role("far")
    remote = source._events._emitting.sources[(SOURCE, "news")].remote
    wait_until(lambda: remote == {"P": {"other"}})
    emitter.news.emit({"n": 1})
    assert other.next_args() == {"n": 1}
    assert near.seen.empty()
    assert far.seen.empty()
    actor.stop()
    wait_until(lambda: remote == {})


def test_running_handlers_of_an_ending_subscriber_are_awaited(actors: Actors, emitter: Emitter) -> None:
    probe, gate = Probe(), Gate()
    actors.start("E", {"emitter": emitter})
    actor = actors.start("P", {"probe": probe})
    probe.subscribe(SOURCE, "news", lambda *_: gate.pass_through())
    emitter.news.emit()
    gate.entered()
    ending = in_thread(actor.stop_role, "probe")
    with pytest.raises(NotYet):
        ending.result(0.01)
    emitter.news.emit()
    gate.open()
    ending.result(DEADLINE_S)
    with pytest.raises(queue.Empty):
        gate._entered.get(timeout=0.02)


def test_a_source_that_ends_tells_its_subscribers(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    actor_of(emitter).stop_role("emitter")
    wait_until(lambda: not actor_of(probe)._events._inlets)
    with pytest.raises(RuntimeError, match=r"is not subscribed"):
        probe.unsubscribe(SOURCE, "news")


def test_a_new_source_of_the_same_name_needs_a_new_subscription(probe: Probe, emitter: Emitter) -> None:
    probe.subscribe(SOURCE, "news", probe.note)
    actor, successor = actor_of(emitter), Emitter()
    actor.stop_role("emitter")
    wait_until(lambda: not actor_of(probe)._events._inlets)
    actor.add_role("emitter", successor)
    actor.start_role("emitter")
    successor.news.emit({"n": 1})
    probe.subscribe(SOURCE, "news", probe.note)
    successor.news.emit({"n": 2})
    assert probe.next_args() == {"n": 2}
    nothing_more(probe, successor)


def test_only_the_source_itself_ends_its_channel(actors: Actors, emitter: Emitter) -> None:
    probe, liar = Probe(), Probe()
    actors.start("E", {"emitter": emitter})
    actors.start("P", {"probe": probe})
    other = actors.start("L", {"liar": liar})
    probe.subscribe(SOURCE, "news", probe.note)
    other._mailbox.tell(liar.id, ("P", ""), "discontinue", (tuple(SOURCE), "news"))
    liar.subscribe(SOURCE, "other-news", liar.note)
    assert (SOURCE, "news") in actor_of(probe)._events._inlets
    emitter.news.emit({"n": 1})
    assert probe.next_args() == {"n": 1}


def test_unsubscribing_and_subscribing_at_once_never_loses_a_subscriber(
    actors: Actors, emitter: Emitter
) -> None:
    steady, restless = Probe(), Probe()
    actors.start("E", {"emitter": emitter})
    actors.start("P", {"steady": steady, "restless": restless})

    def come_and_go() -> None:
        for _ in range(100):
            restless.subscribe(SOURCE, "news", restless.note)
            restless.unsubscribe(SOURCE, "news")

    moving = in_thread(come_and_go)
    for n in range(100):
        steady.subscribe(SOURCE, "news", steady.note)
        emitter.news.emit({"n": n})
        assert steady.next_args() == {"n": n}
        steady.unsubscribe(SOURCE, "news")
    moving.result(DEADLINE_S)
    assert not actor_of(steady)._events._inlets


# everything together

STEP = st.one_of(
    st.tuples(st.just("emit"), st.integers(0, 3)),
    st.tuples(
        st.just("subscribe"),
        st.sampled_from(["near", "far", "farther"]),
        st.sampled_from(["once", "forever"]),
        st.sampled_from([None, {"n__gt": 1}, {"n": 0}]),
    ),
    st.tuples(st.just("unsubscribe"), st.sampled_from(["near", "far", "farther"])),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=30))
def test_any_sequence_of_steps_delivers_exactly_what_was_subscribed(
    actors: Actors, steps: list[tuple[Any, ...]]
) -> None:
    actors.stop()
    emitter = Emitter()
    probes = {"near": Probe(), "far": Probe(), "farther": Probe()}
    source = actors.start("E", {"emitter": emitter, "near": probes["near"]})
    other = actors.start("P", {"far": probes["far"], "farther": probes["farther"]})
    subscribed: dict[str, tuple[str, Any]] = {}
    expected: dict[str, list[int]] = {name: [] for name in probes}
    for step, (action, *details) in enumerate(steps):
        if action == "emit":
            (n,) = details
            emitter.news.emit({"n": n, "step": step})
            for name, (mode, conditions) in list(subscribed.items()):
                if conditions is None or (n > 1 if "n__gt" in conditions else n == 0):
                    expected[name].append(step)
                    if mode == "once":
                        # what a once subscription is at its end is seen by waiting for the message
                        assert probes[name].next_args()["step"] == expected[name].pop(0)
                        wait_until(lambda name=name: not _is_subscribed(probes[name]))
                        del subscribed[name]
        elif action == "subscribe":
            name, mode, conditions = details
            for n in expected[name]:
                assert probes[name].next_args()["step"] == n
            expected[name] = []
            probes[name].subscribe(SOURCE, "news", probes[name].note, mode=mode, conditions=conditions)
            subscribed[name] = (mode, conditions)
        else:
            (name,) = details
            for n in expected[name]:
                assert probes[name].next_args()["step"] == n
            expected[name] = []
            if subscribed.pop(name, None) is None:
                with pytest.raises(RuntimeError, match=r"is not subscribed"):
                    probes[name].unsubscribe(SOURCE, "news")
            else:
                probes[name].unsubscribe(SOURCE, "news")
    for name, probe in probes.items():
        for n in expected[name]:
            assert probe.next_args()["step"] == n
        nothing_more(probe, emitter)
    other.stop()
    source.stop()


def _is_subscribed(probe: Probe) -> bool:
    inlet = actor_of(probe)._events._inlets.get((SOURCE, "news"))
    return inlet is not None and bool(inlet.of(probe.name))

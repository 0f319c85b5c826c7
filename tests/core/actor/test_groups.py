"""Group calls of services and tasks: messages, results, errors, the collector of task results."""

from __future__ import annotations

import queue
import re
import threading
from typing import Any

import pytest

from roleml.core.actor.actor import Actor
from roleml.core.actor.group import calls as group_calls
from roleml.core.actor.group.helpers import scatter_arg, scatter_args_and_payloads, scatter_payloads
from roleml.core.actor.group.makers import Relationship, RoleInstances
from roleml.core.actor.group.util.collections import MergingFailedError, TaskResultCollector
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service, Task
from roleml.core.role.exceptions import CallerError, ChannelNotFoundError, HandlerError
from roleml.core.role.types import ErrorHandlingStrategy, Message, TaskInvocation
from roleml.shared.collections.merger import CumulativeAddingValueMerger, DictKeyValueMerger
from tests.actors import DEADLINE_S, Actors, Gate, Probe, at, in_thread

IGNORE = ErrorHandlingStrategy.IGNORE
KEEP = ErrorHandlingStrategy.KEEP
RAISE_FIRST = ErrorHandlingStrategy.RAISE_FIRST
RETRY = ErrorHandlingStrategy.RETRY


class Member(Role):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        self.gate = Gate()
        self.served: list[str] = []
        self.failures_left = 0

    @Service(expand=True)
    def plus(self, _: RoleInstanceID, m: int = 0, *, p: int = 0) -> int:
        self.served.append("plus")
        return self.n + m + p

    @Service
    def payloads(self, _: RoleInstanceID, args: Any, payloads: Any) -> Any:
        return payloads["what"]

    @Service
    def mostly(self, _: RoleInstanceID, args: Any, payloads: Any) -> int:
        self.served.append("mostly")
        if self.failures_left:
            self.failures_left -= 1
            raise ArithmeticError("not yet")
        return self.n

    @Service
    def blame(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.served.append("blame")
        raise CallerError("your fault")

    @Service
    def wait(self, _: RoleInstanceID, args: Any, payloads: Any) -> int:
        self.gate.pass_through(self.n)
        return self.n

    @Task(expand=True)
    def plus_later(self, _: RoleInstanceID, m: int = 0) -> int:
        if self.failures_left:
            raise ArithmeticError("not today")
        return self.n + m

    @Task
    def wait_later(self, _: RoleInstanceID, args: Any, payloads: Any) -> int:
        self.gate.pass_through(self.n)
        return self.n


class Team:
    """A probe and three members: one beside it, two on other actors."""

    def __init__(self, actors: Actors, **options: Any) -> None:
        self.probe = Probe()
        self.members = [Member(n) for n in range(3)]
        self.ids = [at("P/member"), at("B/member"), at("A/member")]
        actors.start("B", {"member": self.members[1]})
        actors.start("A", {"member": self.members[2]})
        self.actor = actors.start(
            "P",
            {"probe": self.probe, "member": self.members[0]},
            relationships={"member": map(str, self.ids)},
            **options,
        )

    def call(self, channel: str, *args: Any, **options: Any) -> list[tuple[RoleInstanceID, Any]]:
        return self.probe.call_group(self.ids, channel, *args, **options)


@pytest.fixture(params=["parallel", "sequential"])
def team(request: pytest.FixtureRequest, actors: Actors) -> Team:
    return Team(actors, collective=request.param)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> tuple[float, ...]:
    short = (0.0, 0.001, 0.001)
    monkeypatch.setattr(group_calls, "RETRY_PAUSES_S", short)
    return short


# whom, what, and the results


def test_results_come_in_group_order_and_more_than_once(team: Team) -> None:
    results = team.call("plus", {"m": 10})
    assert results == [(team.ids[0], 10), (team.ids[1], 11), (team.ids[2], 12)]
    assert list(results) == list(results)
    assert all(isinstance(target, RoleInstanceID) for target, _ in results)


@pytest.mark.parametrize(
    "kind", [list, tuple, set, frozenset, dict.fromkeys, iter, "view", "maker", "tuples"]
)
def test_a_group_is_any_collection_of_ids(team: Team, kind: Any) -> None:
    if kind == "view":
        group: Any = team.probe.ctx.relationships.get_relationship_view("member")
    elif kind == "maker":
        group = Relationship("member", team.probe.ctx).targets
    elif kind == "tuples":
        group = RoleInstances([tuple(each) for each in team.ids]).targets
    else:
        group = kind(team.ids)
    expected = {(team.ids[n], n) for n in range(3)}
    assert set(team.probe.call_group(group, "plus")) == expected


def test_a_group_may_hold_plain_tuples(team: Team) -> None:
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    plain: Any = [tuple(each) for each in team.ids]
    assert [type(target) for target, _ in team.probe.call_group(plain, "plus")] == [RoleInstanceID] * 3
    team.probe.call_task_group(plain, "plus-later", on_result=lambda target, _: results.put(target))
    assert {type(results.get(timeout=DEADLINE_S)) for _ in plain} == {RoleInstanceID}


def test_an_empty_group_is_answered_at_once(team: Team) -> None:
    assert team.probe.call_group([], "plus") == []
    team.probe.call_task_group(iter(()), "plus-later")


def test_the_name_of_a_relationship_is_no_group(team: Team) -> None:
    for call in (team.probe.call_group, team.probe.call_task_group):
        with pytest.raises(TypeError, match=r"get_relationship_view"):
            call("member", "plus")  # type: ignore[arg-type]


def test_one_role_instance_is_no_group(team: Team) -> None:
    with pytest.raises(TypeError, match=r"not one of them: use \[RoleInstanceID\("):
        team.probe.call_group(team.ids[0], "plus")  # type: ignore[arg-type]


@pytest.mark.parametrize("member", ["A/worker", "ab", None, ("A", "b", "c")])
def test_members_that_are_no_role_instances_are_named(team: Team, member: Any) -> None:
    for call in (team.probe.call_group, team.probe.call_task_group):
        with pytest.raises(TypeError, match=rf"^{re.escape(repr(member))} is not a role instance"):
            call([member], "plus")  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"is not a role instance"):
        RoleInstances([member])


def test_ignoring_the_results_still_calls_everyone(team: Team) -> None:
    team.call("plus")
    assert [member.served for member in team.members] == [["plus"]] * 3


def test_each_member_may_get_a_message_of_its_own(team: Team) -> None:
    mapped = {team.ids[1]: Message({"m": 100})}
    assert [value for _, value in team.call("plus", {"m": 10}, message_map=mapped)] == [10, 101, 12]
    assert [v for _, v in team.call("plus", message=Message({"m": 20}), message_map=mapped)] == [20, 101, 22]


def test_messages_are_scattered_in_group_order(team: Team) -> None:
    scattered = scatter_arg([{"m": m} for m in (10, 20, 30)], payloads={"p": 1})
    assert [value for _, value in team.call("plus", messages=scattered)] == [11, 22, 33]
    scattered = scatter_payloads([{"p": p} for p in (10, 20, 30)])
    assert [value for _, value in team.call("plus", messages=scattered)] == [10, 21, 32]
    scattered = scatter_args_and_payloads([{"m": 1}] * 3, [{"p": p} for p in (10, 20, 30)])
    assert [value for _, value in team.call("plus", messages=scattered)] == [11, 22, 33]


def test_a_mapped_message_goes_before_a_scattered_one(team: Team) -> None:
    scattered = scatter_arg([{"m": m} for m in (10, 20)])
    mapped = {team.ids[1]: Message({"m": 100})}
    assert [v for _, v in team.call("plus", messages=scattered, message_map=mapped)] == [10, 101, 22]


@pytest.mark.parametrize("shared", [{"message": Message()}, {"args": {}}, {"payloads": {"p": 1}}], ids=str)
def test_scattered_and_shared_messages_exclude_each_other(team: Team, shared: Any) -> None:
    for call in (team.probe.call_group, team.probe.call_task_group):
        with pytest.raises(ValueError, match=r"not both"):
            call(team.ids, "plus", messages=[Message()] * 3, **shared)


def test_too_few_messages_are_an_error_that_names_the_first_without(team: Team) -> None:
    with pytest.raises(RuntimeError, match=r"none is left for A/member"):
        team.call("plus", messages=[Message()] * 2)
    assert [member.served for member in team.members] == [[]] * 3


def test_whoever_is_in_a_group_twice_is_called_once_and_cannot_have_two_messages(team: Team) -> None:
    twice = [team.ids[0], team.ids[1], team.ids[0]]
    assert team.probe.call_group(twice, "plus") == [(team.ids[0], 0), (team.ids[1], 1)]
    assert team.members[0].served == ["plus"]
    with pytest.raises(ValueError, match=r"P/member is in the group twice, and gets one message"):
        team.probe.call_group(twice, "plus", messages=scatter_arg([{"m": 1}, {"m": 2}, {"m": 3}]))


def test_an_unknown_error_strategy_is_refused(team: Team) -> None:
    for call in (
        lambda: team.probe.call_group(team.ids, "plus", on_error="skip"),  # type: ignore[arg-type]
        lambda: team.probe.call_task_group(team.ids, "plus-later", on_call_error="skip"),  # type: ignore[arg-type]
        lambda: TaskResultCollector(team.ids, merger=DictKeyValueMerger(), on_error="skip"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=r"'skip' is not a valid ErrorHandlingStrategy"):
            call()


def test_a_collector_wants_role_instances_and_the_instance_of_a_merger() -> None:
    with pytest.raises(TypeError, match=r"not the name 'trainer'; use .*get_relationship_view"):
        TaskResultCollector("trainer", merger=DictKeyValueMerger())  # type: ignore[arg-type]
    for merger in (DictKeyValueMerger, None):
        with pytest.raises(TypeError, match=r"must be an instance of a KeyValueMerger or ValueMerger, not "):
            TaskResultCollector([at("A/b")], merger=merger)  # type: ignore[arg-type]


def test_a_collector_of_tasks_takes_no_values() -> None:
    collector = TaskResultCollector([at("A/b")], merger=DictKeyValueMerger())
    with pytest.raises(
        TypeError, match=r"the result of A/b is of type int, and no task: this is for call_task_group"
    ):
        collector.push(at("A/b"), 5)  # type: ignore[arg-type]


def test_local_members_get_the_payloads_by_reference_and_remote_ones_copies(team: Team) -> None:
    what = [1, 2]
    (_, local), (_, first), (_, second) = team.call("payloads", payloads={"what": what})
    assert local is what
    assert first == second == what
    assert len({id(each) for each in (what, first, second)}) == 3


def test_a_shared_message_is_encoded_once(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    if team.actor._group_calls._mode == "sequential":
        expected = 2
    else:
        expected = 1
    encoded = 0
    codec = team.actor._mailbox._dispatch._codec
    encode = codec.encode

    def counting(value: Any) -> Any:
        nonlocal encoded
        encoded += isinstance(value, Message)
        return encode(value)

    monkeypatch.setattr(codec, "encode", counting)
    team.call("plus", {"m": 1})
    assert encoded == expected


def test_on_result_is_called_once_for_each_before_the_call_returns(team: Team) -> None:
    seen: list[tuple[RoleInstanceID, int]] = []
    results = team.call("plus", on_result=lambda target, value: seen.append((target, value)))
    assert sorted(seen) == sorted(results)


def test_a_failing_on_result_is_logged_and_ignored(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    def fail(target: RoleInstanceID, value: int) -> None:
        raise ArithmeticError(f"bad {target}")

    assert len(team.call("plus", on_result=fail)) == 3
    assert caplog.text.count("ArithmeticError: bad") == 3


def test_callbacks_see_the_context_of_the_calling_actor(team: Team, actors: Actors) -> None:
    actors.start("Z")
    seen: queue.SimpleQueue[Context] = queue.SimpleQueue()
    team.call("plus", on_result=lambda *_: seen.put(Context.active_context()))
    team.probe.call_task_group(
        team.ids, "plus-later", on_result=lambda *_: seen.put(Context.active_context())
    )
    for _ in range(6):
        assert seen.get(timeout=DEADLINE_S) is team.probe.ctx


def test_parallel_asks_everyone_at_once_and_sequential_in_group_order(team: Team) -> None:
    call = in_thread(team.call, "wait")
    if team.actor._group_calls._mode == "parallel":
        assert {member.gate.entered() for member in team.members} == {0, 1, 2}
        for member in reversed(team.members):
            member.gate.open()
    else:
        for member in team.members:
            assert member.gate.entered() == member.n
            assert not call.done()
            member.gate.open()
    assert call.result(DEADLINE_S) == list(zip(team.ids, range(3), strict=True))


def test_disabled_group_calls_say_so(actors: Actors) -> None:
    team = Team(actors, collective="disabled")
    for call in (team.probe.call_group, team.probe.call_task_group):
        with pytest.raises(RuntimeError, match=r"disabled.*collective_implementor"):
            call(team.ids, "plus")


# errors


def test_raise_first_raises_the_first_error(team: Team) -> None:
    team.members[1].failures_left = 9
    with pytest.raises(HandlerError, match=r"B/member\.mostly raised ArithmeticError: not yet"):
        team.call("mostly")


def test_sequential_raise_first_stops_there(actors: Actors) -> None:
    team = Team(actors, collective="sequential")
    team.members[1].failures_left = 9
    with pytest.raises(HandlerError):
        team.call("mostly", on_error=RAISE_FIRST)
    assert [member.served for member in team.members] == [["mostly"], ["mostly"], []]


@pytest.mark.parametrize(
    ("target", "channel", "error"),
    [
        ("A/nobody", "plus", CallerError),
        ("P/nobody", "plus", CallerError),
        ("X/member", "plus", HandlerError),
        ("A/member", "nothing", ChannelNotFoundError),
        ("A/member", "blame", CallerError),
        ("P/member", "blame", CallerError),
    ],
)
def test_error_classes_are_those_of_a_single_call(
    team: Team, target: str, channel: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as single:
        team.probe.call(at(target), channel)
    with pytest.raises(error) as grouped:
        team.probe.call_group([at(target)], channel)
    assert type(single.value) is type(grouped.value) is error
    assert str(single.value) == str(grouped.value)


def test_ignore_leaves_failed_members_out_and_logs_them(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[RoleInstanceID] = []
    group = [*team.ids, at("X/member")]
    team.members[1].failures_left = 9
    results = team.probe.call_group(group, "mostly", on_error=IGNORE, on_result=lambda t, _: seen.append(t))
    assert results == [(team.ids[0], 0), (team.ids[2], 2)]
    assert sorted(seen) == sorted([team.ids[0], team.ids[2]])
    assert "B/member is left out" in caplog.text
    assert "X/member is left out" in caplog.text


def test_keep_puts_the_error_in_the_place_of_the_result(team: Team) -> None:
    seen: dict[RoleInstanceID, Any] = {}
    team.members[1].failures_left = 9
    results = team.call("mostly", on_error=KEEP, on_result=seen.__setitem__)
    assert [target for target, _ in results] == team.ids
    assert isinstance(results[1][1], HandlerError)
    assert seen == dict(results)


def test_retry_repeats_only_for_those_that_failed(team: Team, pauses: tuple[float, ...]) -> None:
    team.members[1].failures_left = 2
    team.members[0].failures_left = 1
    assert team.call("mostly", on_error=RETRY) == list(zip(team.ids, range(3), strict=True))
    assert [len(member.served) for member in team.members] == [2, 3, 1]


def test_retry_is_bounded_and_then_raises(team: Team, pauses: tuple[float, ...]) -> None:
    team.members[2].failures_left = 99
    with pytest.raises(HandlerError, match=r"not yet"):
        team.call("mostly", on_error=RETRY)
    assert len(team.members[2].served) == 1 + len(pauses)


def test_retry_does_not_repeat_what_is_the_callers_fault(team: Team, pauses: tuple[float, ...]) -> None:
    with pytest.raises(CallerError, match=r"your fault"):
        team.probe.call_group(team.ids[1:2], "blame", on_error=RETRY)
    assert team.members[1].served == ["blame"]
    with pytest.raises(ChannelNotFoundError):
        team.probe.call_group(team.ids[1:2], "nothing", on_error=RETRY)


def test_should_retry_decides_which_errors_are_worth_it(team: Team, pauses: tuple[float, ...]) -> None:
    asked: list[tuple[RoleInstanceID, type[Exception]]] = []

    def never(target: RoleInstanceID, error: Exception) -> bool:
        asked.append((target, type(error)))
        return False

    team.members[1].failures_left = 1
    with pytest.raises(HandlerError):
        team.actor.call_group("probe", team.ids, "mostly", on_error=RETRY, should_retry=never)
    assert asked == [(team.ids[1], HandlerError)]


def test_retry_waits_for_a_member_that_is_away_or_starting(actors: Actors, pauses: tuple[float, ...]) -> None:
    team = Team(actors)
    errors: list[str] = []
    late: list[Actor] = []

    def appear(target: RoleInstanceID, error: Exception) -> bool:
        errors.append(str(error))
        if len(errors) == 2 * len(pauses):
            late.append(actors.make("X"))
        elif len(errors) == 4 * len(pauses):
            late[0].add_role("member", Member(7))
            late[0].start()
        return True

    assert team.actor.call_group("probe", [at("X/member")], "plus", on_error=RETRY, should_retry=appear) == [
        (at("X/member"), 7)
    ]
    assert "no actor of that name" in errors[0]
    assert errors[-1] == "actor X is starting, and hosts no role 'member' yet"


def test_retry_gives_a_member_up_that_stays_away(
    actors: Actors, pauses: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team(actors)
    monkeypatch.setattr(group_calls, "AWAY_S", 0.05)
    absent = [at("X/member")]
    with pytest.raises(HandlerError, match=r"no actor of that name"):
        team.probe.call_group(absent, "plus", on_error=RETRY)
    with pytest.raises(HandlerError, match=r"no actor of that name"):
        team.probe.call_task_group(absent, "plus-later", on_call_error=RETRY)


def test_a_member_that_is_lost_fails_the_group_call(actors: Actors) -> None:
    team = Team(actors)
    call = in_thread(team.call, "wait", on_error=KEEP)
    for member in team.members:
        member.gate.entered()
        if member.n != 1:
            member.gate.open()
    lost: Any = team.members[1].base
    lost._mailbox.transport.stop()
    results = dict(call.result(DEADLINE_S))
    assert isinstance(results[team.ids[1]], HandlerError)
    assert "actor B left before B/member.wait answered" in str(results[team.ids[1]])
    team.members[1].gate.open()


# tasks


def test_a_task_group_returns_when_all_accepted(team: Team) -> None:
    done: queue.SimpleQueue[tuple[RoleInstanceID, TaskInvocation]] = queue.SimpleQueue()
    team.probe.call_task_group(team.ids, "wait-later", on_result=lambda t, task: done.put((t, task)))
    assert done.empty()
    for member in team.members:
        member.gate.entered()
        member.gate.open()
    results = dict(done.get(timeout=DEADLINE_S) for _ in team.ids)
    assert {target: task.result(0) for target, task in results.items()} == {team.ids[n]: n for n in range(3)}
    assert done.empty()


def test_on_result_hears_of_failed_tasks_too_and_may_fail(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    team.members[2].failures_left = 1
    done: queue.SimpleQueue[tuple[RoleInstanceID, TaskInvocation]] = queue.SimpleQueue()

    def note_and_fail(target: RoleInstanceID, task: TaskInvocation) -> None:
        done.put((target, task))
        raise LookupError("bad on_result")

    team.probe.call_task_group(team.ids, "plus-later", on_result=note_and_fail)
    results = dict(done.get(timeout=DEADLINE_S) for _ in team.ids)
    assert isinstance(results[team.ids[2]].exception(0), HandlerError)
    assert results[team.ids[1]].result(0) == 1


def test_the_first_refusal_is_raised(team: Team) -> None:
    for target, error in (("X/member", HandlerError), ("A/nobody", CallerError)):
        with pytest.raises(error):
            team.probe.call_task_group([*team.ids, at(target)], "plus-later")
    with pytest.raises(ChannelNotFoundError):
        team.probe.call_task_group(team.ids, "nothing")


def test_ignored_refusals_are_logged(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    done: queue.SimpleQueue[RoleInstanceID] = queue.SimpleQueue()
    group = [team.ids[0], at("X/member"), team.ids[1]]
    team.probe.call_task_group(group, "plus-later", on_call_error=IGNORE, on_result=lambda t, _: done.put(t))
    assert {done.get(timeout=DEADLINE_S) for _ in range(2)} == set(team.ids[:2])
    assert "X/member did not accept plus-later" in caplog.text


def test_keep_makes_no_sense_for_tasks(team: Team) -> None:
    with pytest.raises(ValueError, match=r"KEEP"):
        team.probe.call_task_group(team.ids, "plus-later", on_call_error=KEEP)


def test_retry_of_tasks_repeats_refusals_and_never_the_work(team: Team, pauses: tuple[float, ...]) -> None:
    team.members[1].failures_left = 1
    done: queue.SimpleQueue[TaskInvocation] = queue.SimpleQueue()
    team.probe.call_task_group(
        team.ids, "plus-later", on_call_error=RETRY, on_result=lambda _, task: done.put(task)
    )
    assert sum(done.get(timeout=DEADLINE_S).exception(0) is not None for _ in team.ids) == 1


# collecting results


def collector(team: Team, **options: Any) -> Any:
    return TaskResultCollector(team.ids, merger=CumulativeAddingValueMerger(), **options)


def test_a_collector_merges_the_results_of_a_task_group(team: Team) -> None:
    collected = collector(team)
    team.probe.call_task_group(team.ids, "plus-later", {"m": 10}, on_result=collected.push)
    assert collected.result(DEADLINE_S) == 33


def test_a_collector_keeps_sources_apart(team: Team) -> None:
    collected: Any = TaskResultCollector(team.ids, merger=DictKeyValueMerger())
    team.probe.call_task_group(team.ids, "plus-later", on_result=collected.push)
    assert collected.result(DEADLINE_S) == {team.ids[n]: n for n in range(3)}


def test_a_collector_leaves_failures_out_or_fails_with_them(team: Team) -> None:
    team.members[1].failures_left = 9
    forgiving, strict = collector(team), collector(team, on_error=RAISE_FIRST)
    for each in (forgiving, strict):
        team.probe.call_task_group(team.ids, "plus-later", {"m": 10}, on_result=each.push)
    assert forgiving.result(DEADLINE_S) == 22
    with pytest.raises(MergingFailedError) as caught:
        strict.result(DEADLINE_S)
    assert isinstance(caught.value.__cause__, HandlerError)


def test_a_collector_does_not_wait_for_a_lost_member(actors: Actors) -> None:
    team = Team(actors)
    collected = collector(team)
    team.probe.call_task_group(team.ids, "wait-later", on_result=collected.push)
    for member in team.members:
        member.gate.entered()
        if member.n != 1:
            member.gate.open()
    lost: Any = team.members[1].base
    lost._mailbox.transport.stop()
    assert collected.result(DEADLINE_S) == 2
    team.members[1].gate.open()


def test_a_role_collects_from_inside_a_handler_and_from_itself(actors: Actors) -> None:
    class Boss(Member):
        @Task
        def sum_up(self, _: RoleInstanceID, args: Any, payloads: Any) -> Any:
            group = list(self.ctx.relationships.get_relationship_view("member"))
            collected: Any = TaskResultCollector(group, merger=CumulativeAddingValueMerger())
            self.call_task_group(group, "plus-later", on_result=collected.push)
            return collected.result(DEADLINE_S), sum(value for _, value in self.call_group(group, "plus"))

    probe = Probe()
    actors.start("B", {"member": Member(1)})
    actors.start("A", {"boss": Boss(5)}, relationships={"member": ["B/member", "A/boss"]})
    actors.start("P", {"probe": probe})
    assert probe.call_task(at("A/boss"), "sum-up").result(DEADLINE_S) == (6, 6)


def test_group_calls_of_many_threads_do_not_mix(team: Team) -> None:
    calls = [in_thread(team.call, "plus", {"m": 100 * n}) for n in range(20)]
    for n, call in enumerate(calls):
        assert [value for _, value in call.result(DEADLINE_S)] == [100 * n, 100 * n + 1, 100 * n + 2]
    assert threading.active_count() < 200

"""Declared event handlers: which roles they are subscribed to, and how that follows a relationship."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, EventHandler, Service, attribute
from roleml.core.status import Status
from roleml.messaging.transport import Presence
from tests.actors import DEADLINE_S, Actors, Emitter, Gate, Probe, at, in_thread, wait_until


class Reader(Role):
    """Notes the news of the relationship ``emitter``."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: queue.SimpleQueue[tuple[RoleInstanceID, Any]] = queue.SimpleQueue()

    @EventHandler("emitter", "news")
    def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.seen.put((source, args.get("n")))

    def next(self) -> tuple[RoleInstanceID, Any]:
        return self.seen.get(timeout=DEADLINE_S)


def subscribed(role: Role) -> set[RoleInstanceID]:
    """The sources that this role listens to, and that have accepted it."""
    actor: Any = role.base
    return {
        origin.source
        for origin, inlet in list(actor._events._inlets.items())
        if any(subscription._since is not None for subscription in inlet.of(role.name))
    }


def settled(role: Role) -> None:
    """Wait until nothing is left to do for the role's handlers in the background."""
    actor: Any = role.base
    wait_until(lambda: ("follow", role.name) not in actor._mailbox.lanes._lanes)


def relationships(role: Role) -> Any:
    return role.ctx.relationships


def test_the_tested_scenario_of_a_provider_and_a_subscriber(actors: Actors) -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Provider(Role):
        visited = Event()

        @Service
        def visit(self, caller: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.visited.emit({"info": "Event triggered!", "a": 1, "b": 2, "c": 3})

    class Subscriber(Role):
        @EventHandler("event-provider", "visited", expand=True)
        def on_visited(self, source: RoleInstanceID, info: str, a: int, b: int, c: int) -> None:
            seen.put((source, info, a + b + c))

    actors.start("B", {"ev-provider": Provider()})
    actor = actors.start("A")
    actor.ctx.relationships.add_to_relationship("event-provider", at("B/ev-provider"))
    subscriber = Subscriber()
    actor.add_role("subscriber", subscriber)
    actor.start_role("subscriber")
    subscriber.call("event-provider", "visit")
    assert seen.get(timeout=DEADLINE_S) == (at("B/ev-provider"), "Event triggered!", 6)
    assert seen.empty()


def test_when_a_role_is_ready_it_listens_to_every_member(actors: Actors) -> None:
    emitters = {"E/emitter": Emitter(), "F/emitter": Emitter(), "A/other": Emitter()}
    actors.start("E", {"emitter": emitters["E/emitter"]})
    actors.start("F", {"emitter": emitters["F/emitter"]})
    reader = Reader()
    actors.start(
        "A", {"other": emitters["A/other"], "reader": reader}, relationships={"emitter": list(emitters)}
    )
    for n, (name, emitter) in enumerate(emitters.items()):
        emitter.news.emit({"n": n})
        assert reader.next() == (at(name), n)


def test_nothing_is_subscribed_before_the_role_starts(actors: Actors) -> None:
    emitter, reader = Emitter(), Reader()
    actors.start("E", {"emitter": emitter})
    actor = actors.make("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    actor.ctx.relationships.add_to_relationship("emitter", at("F/emitter"))
    assert subscribed(reader) == set()
    actor.start()
    assert subscribed(reader) == {at("E/emitter")}


def test_a_failed_subscription_does_not_stop_the_start_or_other_subscriptions(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    emitter, reader = Emitter(), Reader()
    actors.start("E", {"emitter": emitter, "silent": Probe()})
    members = ["E/silent", "X/absent", "A/nobody", "E/emitter"]
    actor = actors.start("A", {"reader": reader}, relationships={"emitter": members})
    assert actor.role_status_manager.ctrl("reader").status is Status.READY
    assert subscribed(reader) == {at("E/emitter")}
    assert "cannot subscribe to news of E/silent" in caplog.text


def test_without_members_the_local_role_of_that_name_is_meant(actors: Actors) -> None:
    emitter, reader = Emitter(), Reader()
    actors.start("A", {"emitter": emitter, "reader": reader})
    emitter.news.emit({"n": 1})
    assert reader.next() == (at("A/emitter"), 1)


def test_a_local_namesake_without_the_channel_is_left_alone(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    reader, other = Reader(), Reader()
    actor = actors.start("A", {"emitter": Probe(), "reader": reader})
    actors.start("B", {"reader": other}).add_role("emitter", Probe())
    settled(other)
    assert subscribed(reader) == subscribed(other) == set()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert actor.role_status_manager.ctrl("reader").is_ready


def test_members_added_later_are_listened_to_and_removed_ones_not(actors: Actors) -> None:
    first, second, reader = Emitter(), Emitter(), Reader()
    actors.start("E", {"emitter": first})
    actors.start("A", {"reader": reader, "second": second})
    relationships(reader).add_to_relationship("emitter", at("E/emitter"), at("A/second"))
    wait_until(lambda: subscribed(reader) == {at("E/emitter"), at("A/second")})
    first.news.emit({"n": 1})
    assert reader.next() == (at("E/emitter"), 1)
    relationships(reader).remove_from_relationship("emitter", at("E/emitter"))
    wait_until(lambda: subscribed(reader) == {at("A/second")})
    first.news.emit({"n": 2})
    second.news.emit({"n": 3})
    assert reader.next() == (at("A/second"), 3)
    assert reader.seen.empty()


def test_changes_through_an_alias_are_followed_under_either_name(actors: Actors) -> None:
    emitters = [Emitter() for _ in range(3)]
    for i, emitter in enumerate(emitters):
        actors.start(f"E{i}", {"emitter": emitter})
    reader = Reader()
    actors.start("A", {"reader": reader}, links={"emitter": "station"})
    table = relationships(reader)
    table.add_to_relationship("station", at("E0/emitter"))
    table.add_to_relationship("emitter", at("E1/emitter"))
    wait_until(lambda: subscribed(reader) == {at("E0/emitter"), at("E1/emitter")})
    table.remove_from_relationship("station", at("E1/emitter"))
    wait_until(lambda: subscribed(reader) == {at("E0/emitter")})


def test_linking_an_alias_adds_the_members_of_the_original(actors: Actors) -> None:
    emitter, reader = Emitter(), Reader()
    actors.start("E", {"emitter": emitter})
    actors.start("A", {"reader": reader}, relationships={"station": ["E/emitter"]})
    assert subscribed(reader) == set()
    relationships(reader).link_relationship("emitter", "station")
    wait_until(lambda: subscribed(reader) == {at("E/emitter")})


def test_a_subscription_by_local_name_outlives_every_change_of_the_relationship(actors: Actors) -> None:
    local, other, reader = Emitter(), Emitter(), Reader()
    actors.start("E", {"emitter": other})
    actors.start("A", {"emitter": local, "reader": reader})
    table = relationships(reader)
    table.add_to_relationship("emitter", at("E/emitter"))
    wait_until(lambda: subscribed(reader) == {at("A/emitter"), at("E/emitter")})
    table.remove_from_relationship("emitter", at("E/emitter"))
    wait_until(lambda: subscribed(reader) == {at("A/emitter")})
    table.add_to_relationship("emitter", at("A/emitter"))
    table.remove_from_relationship("emitter", at("A/emitter"))
    settled(reader)
    local.news.emit({"n": 1})
    assert reader.next() == (at("A/emitter"), 1)
    assert reader.seen.empty()


def test_a_namesake_added_after_the_listener_started_is_listened_to(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    reader, emitter = Reader(), Emitter()
    actor = actors.start("A", {"reader": reader})
    actor.add_role("emitter", emitter)
    wait_until(lambda: subscribed(reader) == {at("A/emitter")})
    actor.start_role("emitter")
    emitter.news.emit({"n": 1})
    assert reader.next() == (at("A/emitter"), 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_namesake_is_not_meant_while_the_relationship_has_members(actors: Actors) -> None:
    reader, other = Reader(), Emitter()
    actors.start("E", {"emitter": other})
    actor = actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    actor.add_role("emitter", Emitter())
    settled(reader)
    assert subscribed(reader) == {at("E/emitter")}


def test_a_new_namesake_of_an_ended_one_is_listened_to_again(actors: Actors) -> None:
    reader, emitter = Reader(), Emitter()
    actor = actors.start("A", {"reader": reader, "emitter": Emitter()})
    actor.stop_role("emitter")
    assert subscribed(reader) == set()
    actor.add_role("emitter", emitter)
    actor.start_role("emitter")
    wait_until(lambda: subscribed(reader) == {at("A/emitter")})
    emitter.news.emit({"n": 1})
    assert reader.next() == (at("A/emitter"), 1)


def test_a_new_role_under_the_name_of_an_ended_member_is_not_listened_to_until_the_relationship_changes(
    actors: Actors,
) -> None:
    reader, successor = Reader(), Emitter()
    source = actors.start("E", {"emitter": Emitter()})
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    source.stop_role("emitter")
    wait_until(lambda: subscribed(reader) == set())
    assert list(relationships(reader).get_relationship("emitter")) == [at("E/emitter")]
    source.add_role("emitter", successor)
    source.start_role("emitter")
    settled(reader)
    assert subscribed(reader) == set()
    relationships(reader).remove_from_relationship("emitter", at("E/emitter"))
    relationships(reader).add_to_relationship("emitter", at("E/emitter"))
    wait_until(lambda: subscribed(reader) == {at("E/emitter")})
    successor.news.emit({"n": 1})
    assert reader.next() == (at("E/emitter"), 1)


def test_a_terminated_listener_is_forgotten(actors: Actors, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    actors.start("E", {"emitter": Emitter()})
    actor = actors.start("A", {"reader": reader})
    actor.stop_role("reader")
    actor.ctx.relationships.add_to_relationship("emitter", at("E/emitter"))
    settled(reader)
    assert not actor._events._inlets
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    successor = Reader()
    actor.add_role("reader", successor)
    actor.start_role("reader")
    assert subscribed(successor) == {at("E/emitter")}


def test_two_handlers_of_one_channel_both_hear_it(actors: Actors) -> None:
    class Both(Reader):
        @EventHandler("station", "news")
        def on_news_too(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.seen.put((source, "too"))

    both, emitter = Both(), Emitter()
    actors.start("E", {"emitter": emitter})
    actors.start("A", {"both": both}, relationships={"emitter": ["E/emitter"], "station": ["E/emitter"]})
    emitter.news.emit({"n": 1})
    assert {both.next()[1], both.next()[1]} == {1, "too"}
    both.unsubscribe(at("E/emitter"), "news")
    assert subscribed(both) == set()


def test_an_extra_filter_chooses_members_now_and_later(actors: Actors) -> None:
    contexts: set[str] = set()

    def not_e1(instance: RoleInstanceID) -> bool:
        contexts.add(Context.active_context().profile.name)
        return instance.actor_name != "E1"

    class Choosy(Reader):
        @EventHandler("emitter", "news", extra_filter=not_e1)
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.seen.put((source, args.get("n")))

    choosy = Choosy()
    for i in range(3):
        actors.start(f"E{i}", {"emitter": Emitter()})
    actors.start("A", {"choosy": choosy}, relationships={"emitter": ["E0/emitter", "E1/emitter"]})
    assert subscribed(choosy) == {at("E0/emitter")}
    actors.start("Z")
    relationships(choosy).add_to_relationship("emitter", at("E2/emitter"), at("E1/emitter"))
    wait_until(lambda: subscribed(choosy) == {at("E0/emitter"), at("E2/emitter")})
    assert contexts == {"A"}


def test_a_failing_filter_is_logged_and_stops_nothing(
    actors: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    def fails_for_e0(instance: RoleInstanceID) -> bool:
        if instance.actor_name == "E0":
            raise ArithmeticError("cannot decide")
        return True

    class Choosy(Reader):
        @EventHandler("emitter", "news", extra_filter=fails_for_e0)
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    choosy = Choosy()
    for i in range(2):
        actors.start(f"E{i}", {"emitter": Emitter()})
    actors.start("A", {"choosy": choosy}, relationships={"emitter": ["E0/emitter", "E1/emitter"]})
    assert subscribed(choosy) == {at("E1/emitter")}
    assert "cannot decide" in caplog.text


def test_conditions_take_attributes_of_the_instance(actors: Actors, caplog: pytest.LogCaptureFixture) -> None:
    class Grouped(Reader):
        def __init__(self, group: int) -> None:
            super().__init__()
            self.group = group

        @EventHandler("emitter", "news", conditions={"n__ge": attribute("group")})
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.seen.put((source, args["n"]))

        @EventHandler("emitter", "other-news", conditions={"n": attribute("missing")})
        def on_other(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            raise AssertionError

    low, high, emitter = Grouped(1), Grouped(2), Emitter()
    actors.start("E", {"emitter": emitter})
    actors.start("A", {"low": low, "high": high}, relationships={"emitter": ["E/emitter"]})
    for n in range(4):
        emitter.news.emit({"n": n})
        emitter.other_news.emit({"n": n})
    assert [low.next()[1] for _ in range(3)] == [1, 2, 3]
    assert [high.next()[1] for _ in range(2)] == [2, 3]
    assert "needs the attribute 'missing', which Grouped does not have" in caplog.text
    assert Grouped.event_handlers["on_news"].conditions == {"n__ge": attribute("group")}


def test_a_declared_once_handler_gets_one_message_from_each_source(actors: Actors) -> None:
    class Once(Reader):
        @EventHandler("emitter", "news", mode="once", conditions={"n__gt": 0})
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.seen.put((source, args["n"]))

    once, emitters = Once(), [Emitter(), Emitter()]
    for i, emitter in enumerate(emitters):
        actors.start(f"E{i}", {"emitter": emitter})
    actors.start("A", {"once": once}, relationships={"emitter": ["E0/emitter", "E1/emitter"]})
    for n in range(3):
        for emitter in emitters:
            emitter.news.emit({"n": n})
    assert {once.next(), once.next()} == {(at("E0/emitter"), 1), (at("E1/emitter"), 1)}
    wait_until(lambda: subscribed(once) == set())
    assert once.seen.empty()


def test_events_of_the_native_role_are_reached_through_slash(actors: Actors) -> None:
    class Watcher(Role):
        def __init__(self) -> None:
            super().__init__()
            self.seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

        @EventHandler("/", "contact-updated", expand=True)
        def on_contact(self, source: RoleInstanceID, name: str) -> None:
            self.seen.put((source, name))

    watcher = Watcher()
    actors.start("A", {"watcher": watcher})
    watcher.ctx.contacts.add_contact(ActorProfile("B", "somewhere"))
    assert watcher.seen.get(timeout=DEADLINE_S) == (at("A/actor"), "B")


# members that come and go


def test_a_member_that_is_not_there_yet_is_listened_to_when_it_is_ready(actors: Actors) -> None:
    reader, emitter = Reader(), Emitter()
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    assert subscribed(reader) == set()
    actors.start("E", {"emitter": emitter})
    wait_until(lambda: subscribed(reader) == {at("E/emitter")})
    emitter.news.emit({"n": 1})
    assert reader.next() == (at("E/emitter"), 1)


@pytest.mark.parametrize("where", ["A", "E"])
def test_a_member_that_is_deployed_later_is_listened_to_when_it_is_ready(actors: Actors, where: str) -> None:
    reader, emitter, member = Reader(), Emitter(), f"{where}/late"
    made = {name: actors.make(name) for name in ("A", "E")}
    made["A"].ctx.relationships.add_to_relationship("emitter", at(member))
    made["A"].add_role("reader", reader)
    for actor in made.values():
        actor.start()
    made[where].add_role("late", emitter)
    made[where].start_role("late")
    wait_until(lambda: subscribed(reader) == {at(member)})
    emitter.news.emit({"n": 1})
    assert reader.next() == (at(member), 1)


def test_a_lost_member_is_listened_to_again_when_its_successor_is_ready(actors: Actors) -> None:
    reader, emitter = Reader(), Emitter()
    lost = actors.start("E", {"emitter": Emitter()})
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    for _ in range(3):
        lost._mailbox.transport.stop()
        wait_until(lambda: subscribed(reader) == set())
        emitter = Emitter()
        lost = actors.start("E", {"emitter": emitter})
        wait_until(lambda: subscribed(reader) == {at("E/emitter")})
        emitter.news.emit({"n": 1})
        assert reader.next() == (at("E/emitter"), 1)


def test_a_member_that_left_is_listened_to_again_when_it_comes_back(actors: Actors) -> None:
    reader = Reader()
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    for n in range(3):
        emitter = Emitter()
        member = actors.start("E", {"emitter": emitter})
        wait_until(lambda: subscribed(reader) == {at("E/emitter")})
        emitter.news.emit({"n": n})
        assert reader.next() == (at("E/emitter"), n)
        member.stop()
        wait_until(lambda: subscribed(reader) == set())


def test_a_source_that_has_forgotten_its_subscriber_is_asked_again_when_it_is_ready(actors: Actors) -> None:
    """As a successor has that was there before anybody missed the other one."""
    reader, emitter = Reader(), Emitter()
    source = actors.start("E", {"emitter": emitter})
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    forgetful = source._events._emitting.sources[(at("E/emitter"), "news")]
    forgetful.sequence = 10
    forgetful.drop_actor("A")
    source._mailbox.transport.announce(Presence.READY)
    wait_until(lambda: forgetful.remote == {"A": {"reader"}})
    emitter.news.emit({"n": 1})
    assert reader.next() == (at("E/emitter"), 1)


def test_a_successor_of_a_source_counts_from_the_beginning(actors: Actors) -> None:
    reader, emitter = Reader(), Emitter()
    source = actors.start("E", {"emitter": emitter})
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    forgetful = source._events._emitting.sources[(at("E/emitter"), "news")]
    (subscription,) = reader.base._events._inlets[(at("E/emitter"), "news")].all()
    subscription.begin(1000)  # as it would be after so many events of the other one
    source._mailbox.transport.announce(Presence.READY)
    wait_until(lambda: subscription._since == forgetful.sequence)
    emitter.news.emit({"n": 1})
    assert reader.next() == (at("E/emitter"), 1)


def test_a_listener_whose_actor_stops_is_forgotten_by_its_sources_without_a_word_to_each(
    actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told each source, and undid each subscription at the broker: most of its time to leave."""
    emitter = Emitter()
    source = actors.start("E", {"emitter": emitter})
    listener = actors.start("A", {"reader": Reader()}, relationships={"emitter": ["E/emitter"]})
    wait_until(lambda: source.is_heard("emitter", "news"))
    transport = listener._mailbox.transport
    undone: list[str] = []
    monkeypatch.setattr(transport, "unsubscribe", lambda source, channel: undone.append(channel))
    monkeypatch.setattr(listener._mailbox, "tell", lambda *args: undone.append(args[2]))
    listener.stop()
    wait_until(lambda: not source.is_heard("emitter", "news"))
    assert undone == []


def test_a_member_removed_while_it_is_absent_is_not_listened_to_later(actors: Actors) -> None:
    reader = Reader()
    actors.start("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    relationships(reader).remove_from_relationship("emitter", at("E/emitter"))
    settled(reader)
    actors.start("E", {"emitter": Emitter()})
    settled(reader)
    assert subscribed(reader) == set()


def test_a_lost_subscriber_is_forgotten_by_its_source(actors: Actors) -> None:
    emitter = Emitter()
    source = actors.start("E", {"emitter": emitter})
    lost = actors.start("A", {"reader": Reader()}, relationships={"emitter": ["E/emitter"]})
    remote = source._events._emitting.sources[(at("E/emitter"), "news")].remote
    assert remote == {"A": {"reader"}}
    lost._mailbox.transport.stop()
    wait_until(lambda: remote == {})


# starting together


def test_roles_of_two_actors_may_listen_to_each_other_and_start_at_the_same_time(actors: Actors) -> None:
    both_starting = threading.Barrier(2)

    def wait_for_the_other(instance: RoleInstanceID) -> bool:
        both_starting.wait(DEADLINE_S)
        return True

    class Peer(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

        @EventHandler("peer", "news", extra_filter=wait_for_the_other)
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.seen.put(source)

    peers = {"A": Peer(), "B": Peer()}
    made = [
        actors.make(name, {"peer": peer}, relationships={"peer": [f"{other}/peer"]})
        for (name, peer), other in zip(peers.items(), "BA", strict=True)
    ]
    for start in [in_thread(actor.start) for actor in made]:
        start.result(DEADLINE_S)
    peers["A"].news.emit()
    assert peers["B"].seen.get(timeout=DEADLINE_S) == at("A/peer")
    peers["B"].news.emit()
    assert peers["A"].seen.get(timeout=DEADLINE_S) == at("B/peer")


def test_a_member_removed_while_the_role_starts_is_not_listened_to(actors: Actors) -> None:
    gate = Gate()

    def slow(instance: RoleInstanceID) -> bool:
        gate.pass_through(instance)
        return True

    class Slow(Reader):
        @EventHandler("emitter", "news", extra_filter=slow)
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None: ...

    reader = Slow()
    actors.start("E", {"emitter": Emitter()})
    actor = actors.make("A", {"reader": reader}, relationships={"emitter": ["E/emitter"]})
    start = in_thread(actor.start)
    gate.entered()
    actor.ctx.relationships.remove_from_relationship("emitter", at("E/emitter"))
    gate.open()
    start.result(DEADLINE_S)
    wait_until(lambda: subscribed(reader) == set())


def test_many_actors_that_all_listen_to_each_other_start_together(actors: Actors) -> None:
    names = [f"N{i}" for i in range(6)]

    class Node(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.seen: queue.SimpleQueue[RoleInstanceID] = queue.SimpleQueue()

        @EventHandler("node", "news")
        def on_news(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
            self.seen.put(source)

    nodes = {name: Node() for name in names}
    made = [
        actors.make(name, {"node": node}, relationships={"node": [f"{o}/node" for o in names if o != name]})
        for name, node in nodes.items()
    ]
    for start in [in_thread(actor.start) for actor in made]:
        start.result(DEADLINE_S)
    everyone = {at(f"{name}/node") for name in names}
    for name, node in nodes.items():
        wait_until(lambda name=name, node=node: subscribed(node) == everyone - {at(f"{name}/node")})  # type: ignore[misc]
    for node in nodes.values():
        node.news.emit()
    for name, node in nodes.items():
        assert {node.seen.get(timeout=DEADLINE_S) for _ in range(5)} == everyone - {at(f"{name}/node")}

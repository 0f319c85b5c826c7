from __future__ import annotations

import contextvars
import os
import pickle
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roleml.core import context as context_module
from roleml.core.context import (
    ActorNotFoundError,
    ActorProfile,
    Contacts,
    Context,
    Relationships,
    RoleInstanceID,
    check_name,
    parse_instances,
)

A, B, C = (RoleInstanceID(f"client{i}", "trainer") for i in (1, 2, 3))
texts = st.text(max_size=5)


# --- names and ids ---


@pytest.mark.parametrize("name", ["a", "client-1", "Client_2", "x" * 64, "0", "rm"])
def test_a_name_of_letters_digits_underscore_and_hyphen_is_valid(name: str) -> None:
    assert check_name("actor", name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a b", "a.b", "ä", "a\n", "a#"])
def test_any_other_name_is_refused_and_the_error_says_what_is_right(name: str) -> None:
    with pytest.raises(ValueError, match=r"role name .* is not valid: use 1 to 64 letters"):
        check_name("role", name)


@pytest.mark.parametrize("name", ["@events", "rml", "rml-x", "amq", "amq-direct"])
def test_names_that_begin_like_those_of_the_runtime_are_reserved(name: str) -> None:
    with pytest.raises(ValueError, match=r"actor name .* is reserved"):
        check_name("actor", name)


@given(texts, texts)
def test_an_id_is_equal_ordered_and_hashed_like_the_plain_tuple(actor: str, role: str) -> None:
    instance = RoleInstanceID(actor, role)
    assert instance == (actor, role)
    assert hash(instance) == hash((actor, role))
    assert {instance: 1}[actor, role] == 1  # type: ignore[index]  # the point of the test
    assert sorted([A, instance]) == sorted([tuple(A), (actor, role)])


def test_an_id_is_written_and_read_as_actor_slash_instance() -> None:
    assert str(A) == "client1/trainer"
    assert RoleInstanceID.of("client1/trainer") == A
    assert isinstance(RoleInstanceID.of("client1/trainer"), RoleInstanceID)


@pytest.mark.parametrize("text", ["client1", "a/b/c", ""])
def test_reading_an_id_needs_exactly_two_parts(text: str) -> None:
    with pytest.raises(ValueError, match="should read 'actor/instance'"):
        RoleInstanceID.of(text)


def test_parsing_instances_fills_in_the_default_role() -> None:
    assert parse_instances(["a/b", "c"]) == [("a", "b"), ("c", "actor")]
    assert parse_instances("c", "conductor") == [("c", "conductor")]
    assert parse_instances("a/b") == [("a", "b")]
    assert parse_instances([]) == []


def test_parsing_leaves_out_what_has_more_slashes_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_instances(["a/b/c", "d/e"]) == [("d", "e")]
    assert "a/b/c" in caplog.text


# --- profiles and contacts ---


def test_profiles_are_equal_and_hash_alike_if_they_name_the_same_actor() -> None:
    old, new = ActorProfile("a", "here:1"), ActorProfile("a", "there:2")
    assert old == new
    assert (old != new) is False
    assert hash(old) == hash(new)
    assert len({old, new, ActorProfile("b", "here:1")}) == 2
    plain = ("a", "here:1")
    assert old != plain
    assert plain != old


def test_a_profile_needs_no_address() -> None:
    assert ActorProfile("a") == ActorProfile("a", "")
    assert ActorProfile("a").address == ""


def test_contacts_are_inserted_and_replaced_by_name() -> None:
    contacts = Contacts(ActorProfile("a", "1"))
    assert contacts.add_contact(ActorProfile("b", "2")) is None
    replaced = contacts.add_contact(ActorProfile("a", "3"))
    assert replaced is not None
    assert replaced.address == "1"
    assert contacts.get_actor_profile("a").address == "3"
    assert contacts.all_actor_names() == ["a", "b"]
    removed = contacts.remove_contact("a")
    assert removed is not None
    assert removed.address == "3"
    assert contacts.remove_contact("a") is None
    assert contacts.all_actor_names() == ["b"]


def test_an_unknown_contact_is_an_error_that_names_the_nearest() -> None:
    contacts = Contacts(ActorProfile("client1"), ActorProfile("server"))
    with pytest.raises(ActorNotFoundError, match="no contact with actor 'clinet1'; did you mean 'client1'"):
        contacts.get_actor_profile("clinet1")
    assert "x" in str(ActorNotFoundError("x"))
    assert str(pickle.loads(pickle.dumps(ActorNotFoundError("x")))) == str(ActorNotFoundError("x"))


def test_all_actors_is_a_snapshot() -> None:
    contacts = Contacts(ActorProfile("a"), ActorProfile("b"))
    for profile in contacts.all_actors():
        contacts.remove_contact(profile.name)
    assert contacts.all_actor_names() == []


def test_contact_listeners_get_each_profile_added() -> None:
    contacts = Contacts(ActorProfile("a"))
    seen: list[str] = []
    contacts.add_listener(lambda profile: seen.append(profile.name))
    contacts.add_contact(ActorProfile("b"))
    contacts.add_contact(ActorProfile("b"))
    contacts.remove_contact("b")
    assert seen == ["b", "b"]


# --- relationships ---


def test_members_are_added_and_removed_and_keep_their_order() -> None:
    relationships = Relationships({"trainer": [B]})
    relationships.add_to_relationship("trainer", A, C)
    relationships.add_to_relationship("trainer", A)
    assert list(relationships.get_relationship_view("trainer")) == [B, A, C]
    assert list(relationships.get_relationship("trainer")) == [B, A, C]
    relationships.remove_from_relationship("trainer", B, RoleInstanceID("no", "member"))
    relationships.remove_from_relationship("unknown", B)
    assert relationships.get_relationship_view("trainer") == {A, C}
    assert relationships.instance_belongs_to_relationship(A, "trainer")
    assert not relationships.instance_belongs_to_relationship(B, "trainer")
    assert not relationships.instance_belongs_to_relationship(A, "unknown")


def test_an_unknown_relationship_is_empty() -> None:
    relationships = Relationships()
    assert list(relationships.get_relationship("x")) == []
    assert relationships.get_relationship_view("x") == frozenset()
    assert relationships.get_relationship_unsafe("x") == frozenset()
    assert relationships.all_relationships() == {}


def test_adding_or_removing_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="no role instance given to be added"):
        Relationships().add_to_relationship("x")
    with pytest.raises(ValueError, match="no role instance given to be removed"):
        Relationships().remove_from_relationship("x")


def test_plain_tuples_become_ids() -> None:
    relationships = Relationships({"x": [("a", "b")]})
    relationships.add_to_relationship("x", ("c", "d"))
    assert all(isinstance(each, RoleInstanceID) for each in relationships.get_relationship_view("x"))


@pytest.mark.parametrize("wrong", ["client1/trainer", ["a", "b"], ("a",), [A, B], ("a", 1)])
def test_what_is_no_role_instance_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"RoleInstanceID.of\('actor/role'\)"):
        Relationships().add_to_relationship("x", wrong)  # type: ignore[arg-type]


def test_a_view_is_a_snapshot_and_the_unsafe_set_is_live() -> None:
    relationships = Relationships({"x": [A]})
    view, unsafe = relationships.get_relationship_view("x"), relationships.get_relationship_unsafe("x")
    iterator = relationships.get_relationship("x")
    relationships.add_to_relationship("x", B)
    assert view == {A}
    assert list(iterator) == [A]
    assert unsafe == {A, B}


@pytest.mark.filterwarnings("ignore:Sampling from a set:DeprecationWarning")  # Python 3.10 only
def test_a_view_can_be_sampled_reproducibly() -> None:
    clients = [RoleInstanceID(f"client{i}", "trainer") for i in range(20)]
    views = [Relationships({"trainer": clients}).get_relationship_view("trainer") for _ in range(2)]
    samples = [random.Random(3).sample(view, k=5) for view in views]
    assert samples[0] == samples[1]
    assert all(isinstance(each, RoleInstanceID) for each in samples[0])


def test_an_alias_is_the_same_set_as_its_original() -> None:
    relationships = Relationships({"trainer": [A]}, {"client": "trainer", "worker": "client"})
    relationships.add_to_relationship("worker", B)
    relationships.add_to_relationship("client", C)
    relationships.remove_from_relationship("trainer", A)
    assert [relationships.get_relationship_view(name) for name in ("trainer", "client", "worker")] == [
        {B, C}
    ] * 3
    assert relationships.all_relationships() == {"trainer": {B, C}, "client": {B, C}, "worker": {B, C}}
    assert relationships.names_of("client") == ["client", "trainer", "worker"]


def test_linking_creates_a_missing_original() -> None:
    relationships = Relationships()
    relationships.link_relationship("client", "trainer")
    assert relationships.all_relationships() == {"trainer": set(), "client": set()}


def test_an_alias_with_members_cannot_be_linked() -> None:
    relationships = Relationships({"client": [A], "trainer": [B]})
    with pytest.raises(ValueError, match="'client' has members already"):
        relationships.link_relationship("client", "trainer")
    relationships.link_relationship("worker", "trainer")
    with pytest.raises(ValueError, match="'worker' has members already"):
        relationships.link_relationship("worker", "other")


def test_an_alias_can_be_linked_again_while_it_is_empty() -> None:
    relationships = Relationships({"b": [B]})
    relationships.link_relationship("x", "a")
    relationships.link_relationship("x", "b")
    relationships.add_to_relationship("a", A)
    assert relationships.get_relationship_view("x") == {B}


def test_linking_an_original_later_takes_its_aliases_along() -> None:
    relationships = Relationships({"c": [C]})
    relationships.link_relationship("a", "b")
    relationships.link_relationship("b", "c")
    assert relationships.get_relationship_view("a") == {C}
    relationships.add_to_relationship("a", A)
    assert relationships.get_relationship_view("c") == {C, A}


def test_linking_in_a_circle_changes_nothing() -> None:
    relationships = Relationships()
    relationships.link_relationship("a", "b")
    relationships.link_relationship("b", "a")
    relationships.link_relationship("a", "a")
    relationships.add_to_relationship("b", B)
    assert relationships.get_relationship_view("a") == {B}


Change = tuple[str, str, tuple[RoleInstanceID, ...]]


def changes_of(relationships: Relationships) -> list[Change]:
    changes: list[Change] = []
    relationships.add_listener(lambda name, change, instances: changes.append((name, change, instances)))
    return changes


def test_listeners_get_the_instances_passed_even_if_members_already() -> None:
    relationships = Relationships({"x": [A]})
    changes = changes_of(relationships)
    relationships.add_to_relationship("x", A, B)
    relationships.remove_from_relationship("x", C)
    relationships.remove_from_relationship("unknown", C)
    assert changes == [("x", "add", (A, B)), ("x", "remove", (C,)), ("unknown", "remove", (C,))]


def test_listeners_are_told_once_per_name_with_the_used_name_first() -> None:
    relationships = Relationships(initial_links={"client": "trainer", "worker": "trainer"})
    changes = changes_of(relationships)
    relationships.add_to_relationship("worker", A)
    assert changes == [("worker", "add", (A,)), ("trainer", "add", (A,)), ("client", "add", (A,))]
    changes.clear()
    relationships.remove_from_relationship("trainer", A)
    assert [name for name, *_ in changes] == ["trainer", "client", "worker"]


def test_linking_to_a_relationship_with_members_adds_them_to_the_alias_and_its_aliases() -> None:
    relationships = Relationships({"trainer": [A, B]})
    relationships.link_relationship("worker", "client")
    changes = changes_of(relationships)
    relationships.link_relationship("client", "trainer")
    assert changes == [("client", "add", (A, B)), ("worker", "add", (A, B))]


def test_linking_to_an_empty_relationship_or_an_equal_one_tells_nobody() -> None:
    relationships = Relationships()
    changes = changes_of(relationships)
    relationships.link_relationship("client", "trainer")
    relationships.link_relationship("client", "trainer")
    assert changes == []


def test_a_role_may_hold_the_table_while_adding() -> None:
    relationships = Relationships()
    changes = changes_of(relationships)
    with relationships:
        relationships.add_to_relationship("x", A)
        assert relationships.get_relationship_view("x") == {A}
        assert changes == []
    assert changes == [("x", "add", (A,))]


names = st.sampled_from("abcde")
instances = st.sampled_from([A, B, C])


class RelationshipsMachine(RuleBasedStateMachine):
    """Against a model in which linked names simply share one group."""

    def __init__(self) -> None:
        super().__init__()
        self.relationships = Relationships()
        self.group_of = {name: name for name in "abcde"}
        self.links: list[tuple[str, str]] = []
        self.members: dict[str, set[RoleInstanceID]] = {name: set() for name in "abcde"}
        self.heard: dict[str, set[RoleInstanceID]] = {name: set() for name in "abcde"}
        self.relationships.add_listener(self.hear)

    def hear(self, name: str, change: str, changed: tuple[RoleInstanceID, ...]) -> None:
        if change == "add":
            self.heard[name].update(changed)
        else:
            self.heard[name].difference_update(changed)

    def own(self, name: str) -> str:
        while self.group_of[name] != name:
            name = self.group_of[name]
        return name

    @rule(name=names, instance=instances)
    def add(self, name: str, instance: RoleInstanceID) -> None:
        self.relationships.add_to_relationship(name, instance)
        self.members[self.own(name)].add(instance)

    @rule(name=names, instance=instances)
    def remove(self, name: str, instance: RoleInstanceID) -> None:
        self.relationships.remove_from_relationship(name, instance)
        self.members[self.own(name)].discard(instance)

    @rule(alias=names, original=names)
    def link(self, alias: str, original: str) -> None:
        if self.members[self.own(alias)]:
            with pytest.raises(ValueError, match="has members"):
                self.relationships.link_relationship(alias, original)
            return
        self.relationships.link_relationship(alias, original)
        if self.own(alias) != self.own(original):
            self.group_of[alias] = original

    @invariant()
    def every_name_shows_the_members_of_its_group(self) -> None:
        for name in "abcde":
            assert self.relationships.get_relationship_view(name) == self.members[self.own(name)]
            group = {other for other in "abcde" if self.own(other) == self.own(name)}
            assert set(self.relationships.names_of(name)) == group
            assert self.relationships.names_of(name)[0] == name

    @invariant()
    def whoever_follows_the_changes_of_a_name_knows_its_members(self) -> None:
        for name in "abcde":
            assert self.heard[name] == self.members[self.own(name)]


TestRelationshipsModel = RelationshipsMachine.TestCase


# --- context ---


@pytest.fixture(autouse=True)
def process_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What building a context changes in the process, put back afterwards."""
    directory, path, state = Path.cwd(), list(sys.path), random.getstate()
    monkeypatch.setattr(context_module, "_latest", None)
    yield
    os.chdir(directory)
    sys.path[:] = path
    random.setstate(state)


def test_building_prepares_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    built = Context.build(ActorProfile("a"), workdir="work", src="source", seed=5)
    assert built.workdir == str(tmp_path / "work")
    assert built.src == str(tmp_path / "source")
    assert Path.cwd() == tmp_path / "work"
    assert sys.path[-1] == str(tmp_path / "source")
    assert random.random() == random.Random(5).random()
    again = Context.build(ActorProfile("a"), src=tmp_path / "source")
    assert sys.path.count(again.src) == 1


def test_source_directory_is_the_working_directory_by_default(tmp_path: Path) -> None:
    built = Context.build(ActorProfile("a"), workdir=tmp_path)
    assert built.src == built.workdir == str(tmp_path)


def test_without_a_seed_the_one_drawn_is_recorded_and_used(tmp_path: Path) -> None:
    built = Context.build(ActorProfile("a"), workdir=tmp_path)
    assert built.seed >= 0
    assert random.random() == random.Random(built.seed).random()


def test_initial_content_is_taken_over(tmp_path: Path) -> None:
    built = Context.build(
        ActorProfile("a", "here"),
        workdir=tmp_path,
        initial_relationships={"trainer": [A]},
        initial_relationship_links={"client": "trainer"},
        initial_contacts=[ActorProfile("b")],
        initial_handwaves=["b"],
    )
    assert built.profile.address == "here"
    assert built.relationships.get_relationship_view("client") == {A}
    assert built.contacts.all_actor_names() == ["b"]
    assert built.handwaves == ["b"]
    assert built.start_time_formatted.count("-") == 5


def test_a_missing_working_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Context.build(ActorProfile("a"), workdir=tmp_path / "nowhere")


def test_templates_are_filled_from_the_context(tmp_path: Path) -> None:
    built = Context.build(ActorProfile("a"), workdir=tmp_path, seed=9)
    text = built.apply_general_template("$workdir/${src}-$seed-$timestamp-$time-$$")
    assert text == f"{tmp_path}/{tmp_path}-9-{int(built.start_time)}-{built.start_time_formatted}-$"


def test_the_random_of_a_template_is_new_each_time_and_leaves_the_seeded_sequence_alone(
    tmp_path: Path,
) -> None:
    built = Context.build(ActorProfile("a"), workdir=tmp_path, seed=9)
    values = {built.apply_general_template("$random") for _ in range(20)}
    assert len(values) > 1
    assert all(1 <= int(value) <= 2147483647 for value in values)
    assert random.random() == random.Random(9).random()


def test_an_unknown_name_in_a_template_is_a_key_error_and_a_lone_dollar_a_value_error(
    tmp_path: Path,
) -> None:
    built = Context.build(ActorProfile("a"), workdir=tmp_path)
    with pytest.raises(KeyError, match="did you mean 'workdir'"):
        built.apply_general_template("$workdri")
    with pytest.raises(ValueError, match=r"template .*: Invalid placeholder .*; write \$name"):
        built.apply_general_template("5 $ ")


def test_without_an_actor_there_is_no_active_context() -> None:
    with pytest.raises(RuntimeError, match="no context is active"):
        Context.active_context()


def test_the_ambient_context_is_the_one_activated_here_else_the_latest(tmp_path: Path) -> None:
    first = Context.build(ActorProfile("first"), workdir=tmp_path)
    second = Context.build(ActorProfile("second"), workdir=tmp_path)
    Context.set_active_context(first)
    Context.set_active_context(second)
    assert Context.active_context() is second
    with first.activate():
        assert Context.active_context() is first
        with second.activate():
            assert Context.active_context() is second
        assert Context.active_context() is first
    assert Context.active_context() is second


def test_a_thread_sees_the_context_only_in_a_copy_of_the_variables(tmp_path: Path) -> None:
    first = Context.build(ActorProfile("first"), workdir=tmp_path)
    second = Context.build(ActorProfile("second"), workdir=tmp_path)
    Context.set_active_context(second)
    seen: dict[str, Context] = {}

    def look(where: str) -> None:
        seen[where] = Context.active_context()

    with first.activate():
        threads = [
            threading.Thread(target=look, args=("plain",)),
            threading.Thread(target=contextvars.copy_context().run, args=(look, "copied")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert seen["plain"] is second
    assert seen["copied"] is first

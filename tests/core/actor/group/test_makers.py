from __future__ import annotations

import time

import pytest

from roleml.core import context as context_module
from roleml.core.actor.group.makers import ActorGroup, Relationship, RoleInstances
from roleml.core.context import ActorProfile, Contacts, Context, Relationships, RoleInstanceID

A, B = RoleInstanceID("client1", "trainer"), RoleInstanceID("client2", "trainer")


def context_of(name: str, *trainers: RoleInstanceID) -> Context:
    """A context without the effects that building one has on the process."""
    return Context(
        start_time=time.time(),
        start_time_formatted="",
        workdir="/",
        src="/",
        seed=1,
        contacts=Contacts(),
        relationships=Relationships({"trainer": trainers}),
        handwaves=[],
        profile=ActorProfile(name),
    )


def test_a_relationship_group_shows_the_members_at_each_look() -> None:
    context = context_of("server", A)
    group = Relationship("trainer", context)
    before = group.targets
    context.relationships.add_to_relationship("trainer", B)
    assert before == {A}
    assert group.targets == {A, B}
    assert isinstance(group, ActorGroup)
    assert Relationship("unknown", context).targets == frozenset()


def test_a_relationship_group_belongs_to_the_context_active_when_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context_module, "_latest", None)
    first, second = context_of("first", A), context_of("second", B)
    with pytest.raises(RuntimeError, match="no context is active"):
        Relationship("trainer")
    Context.set_active_context(second)
    with first.activate():
        inside = Relationship("trainer")
    assert inside.targets == {A}
    assert Relationship("trainer").targets == {B}


def test_given_instances_become_ids_in_their_order() -> None:
    group = RoleInstances([("client2", "trainer"), A, ("client2", "trainer")])
    assert list(group.targets) == [B, A]
    assert group.targets == {A, B}
    assert all(isinstance(each, RoleInstanceID) for each in group.targets)

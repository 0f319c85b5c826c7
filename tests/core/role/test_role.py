from __future__ import annotations

import logging
from typing import Any

import pytest

from roleml.core.context import ActorProfile, RoleInstanceID
from roleml.core.role import exceptions
from roleml.core.role.base import Role
from roleml.core.role.channels import Service
from roleml.core.role.exceptions import CallerError, RoleInteractionError
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Message, MyArgs, MyPayloads, TaskInvocation
from tests.actors import Actors, Probe


@pytest.mark.parametrize(
    ("given", "standard"), [("a_b", "a-b"), ("a__B_", "a--B-"), (" x-y ", " x-y "), ("", "")]
)
def test_a_standard_name_has_hyphens_for_underscores_and_nothing_else_changed(
    given: str, standard: str
) -> None:
    assert to_standardized_name(given) == standard


def test_the_key_of_a_task_is_a_text(actors: Actors) -> None:
    probe = Probe()
    actors.start("A", {"probe": probe})
    with pytest.raises(TypeError, match=r"the key of a task is a text, not 5"):
        probe.call_task("probe", "anything", key=5)  # type: ignore[arg-type]


def test_a_message_is_a_named_tuple_of_two_parts() -> None:
    assert Message({"a": 1}) == ({"a": 1}, {})
    assert Message.empty() == ({}, {})
    assert Message.empty().args is not Message.empty().args
    assert MyArgs(a=1) == MyPayloads(a=1) == {"a": 1}


def test_a_role_that_was_not_added_has_no_actor() -> None:
    role = Role()
    assert role.name == ""
    assert role.logger is logging.getLogger()
    for name in ("base", "ctx", "profile", "id"):
        with pytest.raises(RuntimeError, match=r"role not initialized"):
            getattr(role, name)
    with pytest.raises(RuntimeError, match=r"role not initialized"):
        role.call("x", "y")


def test_a_role_ignores_options_it_does_not_know() -> None:
    class Picky(Role):
        def __init__(self, size: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.size = size

    assert Picky(3, learning_rate=0.1).size == 3


def test_a_role_may_forget_to_call_its_parents_constructor(actors: Actors) -> None:
    class Forgetful(Role):
        def __init__(self) -> None:
            self.x = 1

        @Service
        def ask(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
            return self.x

    role = Forgetful()
    assert role.name == ""
    actor = actors.start("A", {"forgetful": role})
    assert role.base is actor
    assert role.call("forgetful", "ask") == 1


def test_a_role_that_was_added_knows_its_actor(actors: Actors) -> None:
    role = Probe()
    actor = actors.make("A", {"my_role": role})
    assert role.name == "my_role"
    assert role.base is actor
    assert role.ctx is actor.ctx
    assert role.profile == ActorProfile("A")
    assert role.id == RoleInstanceID("A", "my_role")
    assert role.logger is logging.getLogger("roleml.roles.my_role")


def test_a_role_is_attached_once(actors: Actors) -> None:
    role = Probe()
    actor = actors.make("A", {"first": role})
    with pytest.raises(RuntimeError, match=r"already the role 'first'"):
        role.attach("second", actor)


def test_require_blames_the_caller() -> None:
    Role().require([1])
    with pytest.raises(CallerError, match=r"(?m)^handler assertion failed$"):
        Role().require([])
    with pytest.raises(CallerError, match=r"(?m)^too few$"):
        Role().require(0, "too few")


def test_the_exceptions_between_roles_have_one_root() -> None:
    for name in (
        "HandlerError CallerError ChannelNotFoundError TaskResultTimeoutError NoSuchEventError InternalError"
    ).split():
        assert issubclass(getattr(exceptions, name), RoleInteractionError)
    assert issubclass(exceptions.NoSuchRoleError, RuntimeError)
    assert not issubclass(exceptions.NoSuchRoleError, RoleInteractionError)


def test_a_task_invocation_is_known_by_its_methods() -> None:
    class Done:
        def result(self, timeout: float | None = None) -> int:
            return 1

        def exception(self, timeout: float | None = None) -> None: ...

        def add_done_callback(self, func: Any) -> None: ...

    assert isinstance(Done(), TaskInvocation)
    assert not isinstance(object(), TaskInvocation)


def test_a_role_may_have_attributes_called_like_the_registries(actors: Actors) -> None:
    class Busy(Role):
        def __init__(self) -> None:
            super().__init__()
            self.services: Any = 1
            self.tasks: Any = [1]
            self.events: Any = None
            self.subscriptions: Any = object()
            self.plugin_attributes: Any = 0
            self.event_handlers: Any = 0

        @Service
        def ask(self, caller: RoleInstanceID, args: Any, payloads: Any) -> Any:
            return self.tasks

    probe = Probe()
    actors.start("A", {"busy": Busy(), "probe": probe})
    assert probe.call("busy", "ask") == [1]

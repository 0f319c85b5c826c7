from __future__ import annotations

import pytest

from roleml.core.actor.status import RoleStatusManager
from roleml.core.role.exceptions import NoSuchRoleError
from roleml.core.status import Status, StatusTransferCallbackError


def test_roles_are_kept_in_the_order_added() -> None:
    statuses = RoleStatusManager()
    for name in ("actor", "trainer", "aggregator"):
        control = statuses.add_role(name)
        assert statuses.ctrl(name) is control
        assert control.name == name
        assert control.status is Status.DECLARING
    assert list(statuses.ctrls) == ["actor", "trainer", "aggregator"]


def test_an_unknown_role_is_an_error_that_names_the_nearest() -> None:
    statuses = RoleStatusManager()
    statuses.add_role("trainer")
    with pytest.raises(NoSuchRoleError, match="no role instance 'trianer'; did you mean 'trainer'"):
        statuses.ctrl("trianer")


def test_a_name_can_be_added_only_once() -> None:
    statuses = RoleStatusManager()
    statuses.add_role("trainer")
    with pytest.raises(RuntimeError, match="'trainer' already"):
        statuses.add_role("trainer")


def test_callbacks_get_the_name_for_roles_added_before_and_after() -> None:
    statuses = RoleStatusManager()
    seen: list[tuple[str, str, Status]] = []
    before = statuses.add_role("before")
    statuses.add_callback(Status.DECLARED, lambda name, old: seen.append(("first", name, old)))
    statuses.add_callback(Status.DECLARED, lambda name, old: seen.append(("second", name, old)))
    after = statuses.add_role("after")
    before.declared()
    after.declared()
    assert seen == [
        ("first", "before", Status.DECLARING),
        ("second", "before", Status.DECLARING),
        ("first", "after", Status.DECLARING),
        ("second", "after", Status.DECLARING),
    ]


def test_a_callback_can_refuse() -> None:
    statuses = RoleStatusManager()

    def refuse(name: str, old: Status) -> None:
        raise ZeroDivisionError

    statuses.add_callback(Status.DECLARED, refuse)
    with pytest.raises(StatusTransferCallbackError):
        statuses.add_role("trainer").declared()
    assert list(statuses.ctrls) == ["trainer"]


def test_a_terminated_role_is_gone_after_its_callbacks_and_its_name_is_free() -> None:
    statuses = RoleStatusManager()
    known: list[bool] = []
    statuses.add_callback(Status.TERMINATED, lambda name, _: known.append(name in statuses.ctrls))
    first = statuses.add_role("trainer")
    first.declared()
    first.terminate()
    assert known == [True]
    assert dict(statuses.ctrls) == {}
    second = statuses.add_role("trainer")
    first.terminate()
    assert known == [True]
    assert statuses.ctrl("trainer") is second


def test_an_offloaded_role_stays_known() -> None:
    from roleml.core.context import ActorProfile

    statuses = RoleStatusManager()
    control = statuses.add_role("trainer")
    control.declared()
    control.ready()
    control.pause()
    control.terminate_as_offloaded(ActorProfile("elsewhere"))
    assert statuses.ctrl("trainer").status is Status.OFFLOADED


def test_terminating_in_reverse_order_while_iterating_is_safe() -> None:
    statuses = RoleStatusManager()
    for name in ("actor", "trainer", "aggregator"):
        statuses.add_role(name).declared()
    terminated = []
    for name in reversed(statuses.ctrls):
        statuses.ctrl(name).terminate()
        terminated.append(name)
    assert terminated == ["aggregator", "trainer", "actor"]


def test_the_mapping_is_read_only() -> None:
    statuses = RoleStatusManager()
    with pytest.raises(TypeError):
        statuses.ctrls["x"] = statuses.add_role("x")  # type: ignore[index]

from __future__ import annotations

import queue
import uuid

import pytest

from roleml.core.actor.actor import Actor
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service, Task
from roleml.extensions.messaging.invokers.requests import RequestsProcedureInvoker
from roleml.extensions.plugins.partner.base import Partner
from roleml.legacy import LegacyComponent


class Worker(Role):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    @Service(expand=True)
    def times(self, _: RoleInstanceID, n: int) -> int:
        return n * self.factor

    @Task(expand=True)
    def times_later(self, _: RoleInstanceID, n: int) -> int:
        return n * self.factor


class Boss(Role):
    worker = Partner()
    colleague = Partner("worker")


def test_a_partner_calls_one_or_all_members_of_its_relationship() -> None:
    context = Context.build(ActorProfile("a"))
    with Actor(context, broker=f"embedded://{uuid.uuid4().hex}") as actor:
        boss = Boss()
        actor.add_role("boss", boss)
        for n in (2, 3):
            actor.add_role(f"worker{n}", Worker(n))
            context.relationships.add_to_relationship("worker", RoleInstanceID("a", f"worker{n}"))
        actor.start()

        members = [RoleInstanceID("a", "worker2"), RoleInstanceID("a", "worker3")]
        assert list(boss.worker.instances) == list(boss.colleague.instances) == members
        assert boss.worker.service("times", {"n": 5}) == 10
        assert boss.worker.service_all("times", {"n": 5}) == list(zip(members, [10, 15], strict=True))
        assert boss.colleague.task("times-later", {"n": 5}).result(10) == 10
        results: queue.SimpleQueue[tuple[RoleInstanceID, int]] = queue.SimpleQueue()
        boss.worker.task_all(
            "times-later", {"n": 1}, on_result=lambda source, task: results.put((source, task.result()))
        )
        assert {results.get(timeout=10) for _ in members} == set(zip(members, [2, 3], strict=True))


def test_two_instances_of_a_role_have_partners_of_their_own() -> None:
    context = Context.build(ActorProfile("a"))
    with Actor(context, broker=f"embedded://{uuid.uuid4().hex}") as actor:
        first, second = Boss(), Boss()
        actor.add_role("first", first)
        actor.add_role("second", second)
        assert first.worker.role is first
        assert second.worker.role is second


def test_a_partner_without_a_role_says_so() -> None:
    with pytest.raises(RuntimeError, match="role instance that was added"):
        Boss.worker.instances


def test_a_real_package_and_the_legacy_table_share_a_parent() -> None:
    assert issubclass(RequestsProcedureInvoker, LegacyComponent)

"""A relationship as an attribute of a role."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.types import (
    Args,
    ErrorHandlingStrategy,
    Message,
    Payloads,
    PluginAttribute,
    TaskInvocation,
)

__all__ = ["Partner"]


class Partner(PluginAttribute):
    """The roles of one relationship, as an attribute of the role that talks to them.

    ::

        class Aggregator(Role):
            trainer = Partner()          # the relationship is called like the attribute ...
            reviewers = Partner('peer')  # ... unless named

            def collect(self):
                return self.trainer.service_all('get-model')

    Each method does what the method of ``Role`` behind it does, and raises the same.
    """

    def __init__(self, relationship_name: str = "") -> None:
        self.relationship_name = relationship_name
        self._role: Role | None = None

    def bind(self, role: Role, attribute_name: str) -> Partner:
        bound = type(self)(self.relationship_name or attribute_name)
        bound._role = role
        return bound

    @property
    def role(self) -> Role:
        if self._role is None:
            raise RuntimeError("a Partner belongs to a role instance that was added to an actor")
        return self._role

    @property
    def instances(self) -> Collection[RoleInstanceID]:
        """A snapshot of the members."""
        return self.role.ctx.relationships.get_relationship_view(self.relationship_name)

    def service(
        self,
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message: Message | None = None,
    ) -> Any:
        """``Role.call`` on the relationship."""
        return self.role.call(self.relationship_name, channel_name, args, payloads, message=message)

    def service_all(
        self,
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message: Message | None = None,
        on_result: Callable[[RoleInstanceID, Any], Any] | None = None,
        on_error: ErrorHandlingStrategy = ErrorHandlingStrategy.RAISE_FIRST,
    ) -> list[tuple[RoleInstanceID, Any]]:
        """``Role.call_group`` on all members."""
        return self.role.call_group(
            self.instances,
            channel_name,
            args,
            payloads,
            message=message,
            on_result=on_result,
            on_error=on_error,
        )

    def task(
        self,
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message: Message | None = None,
    ) -> TaskInvocation:
        """``Role.call_task`` on the relationship."""
        return self.role.call_task(self.relationship_name, channel_name, args, payloads, message=message)

    def task_all(
        self,
        channel_name: str,
        args: Args | None = None,
        payloads: Payloads | None = None,
        *,
        message: Message | None = None,
        on_result: Callable[[RoleInstanceID, TaskInvocation], Any] | None = None,
        on_call_error: ErrorHandlingStrategy = ErrorHandlingStrategy.RAISE_FIRST,
    ) -> None:
        """``Role.call_task_group`` on all members."""
        self.role.call_task_group(
            self.instances,
            channel_name,
            args,
            payloads,
            message=message,
            on_result=on_result,
            on_call_error=on_call_error,
        )

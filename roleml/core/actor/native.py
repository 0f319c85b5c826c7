"""The native role: an actor's control plane, through which others see and change what it hosts.

Every channel is open only to members of the actor's relationship ``manager``, local roles included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from roleml.core.actor.logtap import LogBuffer, tap
from roleml.core.context import ActorProfile, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service, Task
from roleml.core.role.exceptions import CallerError, HandlerError, NoSuchRoleError
from roleml.core.role.helpers import require_relationship
from roleml.core.status import Status, StatusError
from roleml.shared.threads import shared_clock

if TYPE_CHECKING:
    from roleml.core.actor.actor import Actor

__all__ = ["HEARTBEAT_S", "NATIVE_ROLE_NAME", "NativeRole"]

logger = logging.getLogger("roleml.actor.native")

NATIVE_ROLE_NAME = "actor"
HEARTBEAT_S = 20.0

_managers_only = require_relationship("manager")


class NativeRole(Role):
    """Deployed first on every actor, as ``actor``, and the only member of its relationship ``/``."""

    contact_updated = Event()
    relationship_updated = Event()
    handshake_completed = Event()
    handwave_completed = Event()
    role_assigned = Event()
    role_removed = Event()
    role_status_changed = Event()
    heartbeat = Event()
    log = Event()

    def __init__(self) -> None:
        super().__init__()
        self._cancel_heartbeat: Callable[[], None] | None = None
        self._alive = False
        self._log: LogBuffer | None = None

    @property
    def _actor(self) -> Actor:
        return cast("Actor", self.base)

    def begin(self) -> None:
        """The actor runs: report changes from now on, and beat."""
        self._alive = True
        if self._actor.passes_on_log:
            self._log = LogBuffer(self.ctx.profile.name, self._is_log_heard, self._pass_on)
            tap.add(self._log)
        self.ctx.contacts.add_listener(self._contact_added)
        self.ctx.relationships.add_listener(self._relationship_changed)
        self._beat()

    def end(self) -> None:
        self._alive = False
        if self._cancel_heartbeat is not None:
            self._cancel_heartbeat()
        if self._log is not None:
            tap.remove(self._log)
        self.ctx.contacts.remove_listener(self._contact_added)
        self.ctx.relationships.remove_listener(self._relationship_changed)

    def _beat(self) -> None:
        if not self._alive:
            return
        self._report(self.heartbeat)
        self._cancel_heartbeat = shared_clock().after(HEARTBEAT_S, self._beat)

    def _is_log_heard(self) -> bool:
        return self._actor.is_heard(NATIVE_ROLE_NAME, self.log.channel_name)

    def _pass_on(self, lines: dict[str, Any]) -> None:
        self._report(self.log, **lines)

    def _report(self, event: Event, **args: Any) -> None:
        try:
            event.emit(args)
        except HandlerError:  # the actor is stopping; nobody needs the news
            logger.debug("%s was not reported: the actor is stopping", event.channel_name)

    def _contact_added(self, profile: ActorProfile) -> None:
        self._report(self.contact_updated, name=profile.name)

    def _relationship_changed(self, name: str, op: str, instances: tuple[RoleInstanceID, ...]) -> None:
        self._report(self.relationship_updated, name=name, op=op, instances=list(instances))

    # contacts

    @_managers_only
    @Service(expand=True)
    def update_contacts(self, _: RoleInstanceID, contacts: Mapping[str, str]) -> None:
        for name, address in contacts.items():
            self.ctx.contacts.add_contact(ActorProfile(name, address))

    @_managers_only
    @Service(expand=True)
    def handshake(self, _: RoleInstanceID, name: str) -> None:
        self._actor.handshake(name)
        self._report(self.handshake_completed, name=name)

    @_managers_only
    @Service(expand=True)
    def handwave(self, _: RoleInstanceID, name: str) -> None:
        self._actor.handwave(name)
        self._report(self.handwave_completed, name=name)

    # relationships

    @_managers_only
    @Service(expand=True)
    def update_relationship(
        self, _: RoleInstanceID, relationship_name: str, op: str, instances: Iterable[tuple[str, str]]
    ) -> None:
        members = [RoleInstanceID(*instance) for instance in instances]
        if op == "add":
            self.ctx.relationships.add_to_relationship(relationship_name, *members)
        elif op == "remove":
            self.ctx.relationships.remove_from_relationship(relationship_name, *members)
        else:
            raise CallerError(f"op must be 'add' or 'remove', not {op!r}")

    @_managers_only
    @Service(expand=True)
    def add_relationship_link(
        self, _: RoleInstanceID, from_relationship_name: str, to_relationship_name: str
    ) -> None:
        try:
            self.ctx.relationships.link_relationship(from_relationship_name, to_relationship_name)
        except ValueError as e:
            raise CallerError(str(e)) from e

    # roles

    @_managers_only
    @Task(expand=True)
    def assign_role(self, _: RoleInstanceID, name: str, spec: Any) -> None:
        self._refuse_for_myself(name)
        cls = self._actor.install_role(name, spec)
        self._report(self.role_assigned, name=name, cls=cls.__name__)

    @_managers_only
    @Task(expand=True)
    def terminate_role(self, _: RoleInstanceID, name: str) -> None:
        self._refuse_for_myself(name)
        self._actor.stop_role(name)
        self._report(self.role_removed, name=name)

    @_managers_only
    @Task(expand=True)
    def change_role_status(self, _: RoleInstanceID, name: str, status: Status | int | str) -> None:
        self._refuse_for_myself(name)
        wanted = _status_of(status)
        if wanted not in (Status.DECLARED, Status.READY, Status.PAUSED):
            raise CallerError(f"a role cannot be told to be {wanted.name}; use terminate-role to end it")
        control = self._control(name)
        try:
            control.status = wanted
        except StatusError as e:
            raise HandlerError(str(e)) from e
        self._report(self.role_status_changed, name=name, new_status=wanted)

    @_managers_only
    @Service(expand=True)
    def get_role_status(self, _: RoleInstanceID, name: str) -> Status:
        return cast(Status, self._control(name).status)

    @_managers_only
    @Service(expand=True)
    def get_sent(self, _: RoleInstanceID) -> tuple[int, int]:
        """How many messages the actor has sent, and their bytes."""
        sent = self._actor.sent
        return sent.messages, sent.nbytes

    def _control(self, name: str) -> Any:
        try:
            return self._actor.role_status_manager.ctrl(name)
        except NoSuchRoleError as e:
            raise CallerError(str(e)) from e

    @staticmethod
    def _refuse_for_myself(name: str) -> None:
        if name == NATIVE_ROLE_NAME:
            raise CallerError(f"{name!r} is the native role: it lives as long as its actor")


def _status_of(status: Status | int | str) -> Status:
    try:
        return Status[status.upper()] if isinstance(status, str) else Status(status)
    except (KeyError, ValueError, TypeError):
        raise CallerError(f"unknown status {status!r}; use DECLARED, READY or PAUSED") from None

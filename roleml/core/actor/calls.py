"""Services and tasks: resolving whom to call, and serving what is called here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from roleml.core.actor.checkpoints import Checkpoints
from roleml.core.actor.failures import at_caller, of_handler
from roleml.core.actor.handled import Handled
from roleml.core.actor.once import TaskName
from roleml.core.actor.status import RoleStatusManager
from roleml.core.context import Context, RoleInstanceID, as_instance
from roleml.core.role.base import Role
from roleml.core.role.channels import MARK
from roleml.core.role.exceptions import (
    CallerError,
    ChannelNotFoundError,
    HandlerError,
    NoSuchRoleError,
    RoleInteractionError,
    TaskResultTimeoutError,
)
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Message, TaskInvocation, as_message
from roleml.core.status import ExecutionTicket, StatusError
from roleml.messaging.envelope import Kind
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.pending import Pending
from roleml.messaging.serving import Job, NotTakenError, Request
from roleml.shared.suggestions import did_you_mean

__all__ = ["Calls", "Invocation"]

logger = logging.getLogger("roleml.managers.task")
message_logger = logging.getLogger("roleml.managers.service")


class Invocation(TaskInvocation):
    """An accepted task call. See :class:`~roleml.core.role.types.TaskInvocation`."""

    def __init__(self, pending: Pending, mailbox: Mailbox, ctx: Context) -> None:
        self._pending = pending
        self._mailbox = mailbox
        self._ctx = ctx

    def __repr__(self) -> str:
        return f"<task {self._pending}, {'done' if self._pending.done else 'running'}>"

    def result(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        try:
            return self._pending.value()
        except Exception as e:  # noqa: BLE001  # translated, whatever it is
            raise at_caller(e)  # noqa: B904  # it has its cause

    def exception(self, timeout: float | None = None) -> Exception | None:
        self._wait(timeout)
        try:
            self._pending.value()
        except Exception as e:  # noqa: BLE001  # translated, whatever it is
            return at_caller(e)
        return None

    def add_done_callback(self, func: Callable[[TaskInvocation], Any]) -> None:
        self._mailbox.when_done(self._pending, lambda: self._notify(func))

    def _wait(self, timeout: float | None) -> None:
        if not self._pending.wait(timeout):
            raise TaskResultTimeoutError(
                f"no result of {self._pending} within {timeout} s; "
                "it is still running, and may be waited for again"
            )

    def _notify(self, func: Callable[[TaskInvocation], Any]) -> None:
        with self._ctx.activate():
            try:
                func(self)
            except Exception:
                logger.exception("a callback for %s failed", self._pending)


class Calls:
    """The calls of an actor's roles, and those made to them."""

    def __init__(
        self,
        ctx: Context,
        mailbox: Mailbox,
        statuses: RoleStatusManager,
        handled: Handled,
        checkpoints: Checkpoints,
    ) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._statuses = statuses
        self._handled = handled
        self._checkpoints = checkpoints
        self._roles: dict[str, Role] = {}
        self._starting = True
        self._leaving = False
        mailbox.serve(Kind.SERVICE, lambda request: self._accept(request, "service"))
        mailbox.serve(Kind.TASK, self._accept_task)

    @property
    def ctx(self) -> Context:
        return self._ctx

    def add_role(self, name: str, role: Role) -> None:
        self._roles[name] = role
        self._mailbox.transport.bind(name, type(role).services, type(role).tasks)

    def started(self) -> None:
        """All roles that the actor began with are there: who is missing now does not come."""
        self._starting = False

    def leaving(self) -> None:
        """The actor stops: tasks that still come are for its next process, where they are kept."""
        self._leaving = True

    def open_role(self, name: str) -> None:
        """The role is ready: tasks that wait for it may come."""
        self._mailbox.transport.open(name)

    def remove_role(self, name: str, *, keep_tasks: bool) -> None:
        """Serve the role no more. ``keep_tasks``: it comes back with its actor, and finds tasks waiting."""
        self._roles.pop(name, None)
        self._mailbox.transport.unbind(name, keep_tasks=keep_tasks)

    # calling

    def resolve(self, target: str | RoleInstanceID) -> RoleInstanceID:
        """The role instance that a target stands for (see :class:`~roleml.core.role.base.Role`).

        Raises:
            CallerError: a relationship without members, and no local role of its name.
            TypeError: neither a name nor a role instance.
        """
        if not isinstance(target, str):
            return as_instance(target)
        members = self._ctx.relationships.get_relationship_view(target)
        if members:
            return min(members)
        if target in self._roles:
            return RoleInstanceID(self._ctx.profile.name, target)
        known = [*self._ctx.relationships.all_relationships(), *self._roles]
        hint = (
            "; to address one instance, use RoleInstanceID.of(...)"
            if "/" in target
            else did_you_mean(target, known)
        )
        raise at_caller(  # a handler that asks for such a target must not blame its own caller for it
            CallerError(
                f"actor {self._ctx.profile.name} has no relationship with members, and no role, "
                f"named {target!r}{hint}"
            )
        )

    def call(self, name: str, target: str | RoleInstanceID, channel_name: str, message: Message) -> Any:
        instance, channel = self.resolve(target), to_standardized_name(channel_name)
        message = _checked(message, f"{instance}.{channel}")
        self._log("calling service", instance, channel, message)
        try:
            return self._mailbox.call(Kind.SERVICE, self.address(name), instance, channel, message)
        except Exception as e:  # noqa: BLE001  # translated, whatever it is
            raise at_caller(e)  # noqa: B904  # it has its cause

    def call_task(
        self, name: str, target: str | RoleInstanceID, channel_name: str, message: Message, key: str = ""
    ) -> Invocation:
        instance, channel = self.resolve(target), to_standardized_name(channel_name)
        message = _checked(message, f"{instance}.{channel}")
        self._log("calling task", instance, channel, message)
        try:
            pending = self._mailbox.submit(self.address(name), instance, channel, message, key)
        except Exception as e:  # noqa: BLE001  # translated, whatever it is
            raise at_caller(e)  # noqa: B904  # it has its cause
        return self.invocation(pending)

    def invocation(self, pending: Pending) -> Invocation:
        """An accepted task of this actor's, as its caller sees it."""
        return Invocation(pending, self._mailbox, self._ctx)

    def address(self, name: str) -> RoleInstanceID:
        return RoleInstanceID(self._ctx.profile.name, name)

    # serving

    def explain(self, request: Request) -> None:
        """Raise why a request to this actor found nobody."""
        try:
            kind, name, channel = request.content
        except (TypeError, ValueError) as e:
            raise CallerError(f"cannot explain {request.content!r}") from e
        self._find(name, channel, kind)
        raise HandlerError(
            f"{self.address(name)}.{channel} was not there a moment ago, and is now: call again"
        )

    def _accept_task(self, request: Request) -> Job:
        try:
            return self._accept(request, "task")
        except RoleInteractionError as e:
            remote = request.source[0] != self._ctx.profile.name
            if self._leaving and remote and self._mailbox.transport.keeps_tasks:
                raise NotTakenError(str(e)) from e
            raise

    def _accept(self, request: Request, kind: str) -> Job:
        """Admit one request: the role is there and open, and has the channel. Waits while it is paused."""
        name = request.target[1]
        role, attribute_name = self._find(name, request.channel, kind)
        source, where = RoleInstanceID(*request.source), f"{role.id}.{request.channel}"
        message = _checked(request.content, where)
        ticket = self._admit(name)
        self._log(f"serving {kind} for {source}:", role.id, request.channel, message)
        handler = getattr(role, attribute_name)
        save = self._checkpoints.enabled and getattr(handler, MARK).checkpoint

        def work() -> Any:
            return handler(source, *message)

        if save or request.key:
            key = request.key or request.id
            task = TaskName(source, name, request.channel, key) if kind == "task" else None
            work = partial(self._checkpoints.serve, name, work, save=save, task=task, task_id=request.id)
        return lambda: self._run(ticket, where, work)

    def _find(self, name: str, channel: str, kind: str) -> tuple[Role, str]:
        """The role of that name, and the attribute that handles the channel."""
        role = self._roles.get(name)
        if role is None:
            if name in self._statuses.ctrls:  # it could not be added, or is about to be gone
                self._admit(name).stop()
            if self._starting:
                error = StatusError(
                    f"actor {self._ctx.profile.name} is starting, and hosts no role {name!r} yet"
                )
                raise HandlerError(str(error)) from error
            raise CallerError(
                f"actor {self._ctx.profile.name} hosts no role named {name!r}"
                f"{did_you_mean(name, self._roles)}"
            )
        channels = type(role).services if kind == "service" else type(role).tasks
        attribute_name = channels.get(channel)
        if attribute_name is None:
            raise ChannelNotFoundError(_no_channel(role, channel, kind, channels))
        return role, attribute_name

    def _admit(self, name: str) -> ExecutionTicket:
        try:
            return self._statuses.ctrl(name).acquire_execution()
        except (StatusError, NoSuchRoleError) as e:
            raise HandlerError(f"{self.address(name)} is not open: {e}") from e

    def _run(self, ticket: ExecutionTicket, where: str, work: Callable[[], Any]) -> Any:
        with ticket, self._ctx.activate():
            role, began_s = ticket.control.name, time.perf_counter()
            try:
                value = work()
                self._handled.done(role, where.rpartition(".")[2], began_s)
                return value  # noqa: TRY300  # the handler's, and only its errors, are looked at here
            except (Exception, SystemExit) as e:  # a handler that exits ends neither its actor nor its caller
                self._handled.failed(role, where, e)
                raise of_handler(e, where) from e

    @staticmethod
    def _log(action: str, instance: RoleInstanceID, channel: str, message: Message) -> None:
        if message_logger.isEnabledFor(logging.DEBUG):
            message_logger.debug("%s %s.%s with args %s", action, instance, channel, message.args)


def _checked(content: object, where: str) -> Message:
    try:
        return as_message(content)
    except TypeError as e:
        raise at_caller(CallerError(f"{where}: {e}")) from None


def _no_channel(role: Role, channel: str, kind: str, channels: Iterable[str]) -> str:
    other, verb = ("task", "call_task") if kind == "service" else ("service", "call")
    if channel in (type(role).tasks if other == "task" else type(role).services):
        return f"{role.id}.{channel} is a {other}, not a {kind}: use {verb}"
    return f"{role.id} has no {kind} named {channel!r}{did_you_mean(channel, channels)}"

"""The actor: a node that hosts roles."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from roleml.core.actor.calls import Calls
from roleml.core.actor.checkpoints import Checkpoints
from roleml.core.actor.elements import ElementInstance, Elements
from roleml.core.actor.events import Events, Handler
from roleml.core.actor.failures import describe
from roleml.core.actor.following import Following
from roleml.core.actor.greetings import Greetings
from roleml.core.actor.group.calls import GroupCalls, GroupMode
from roleml.core.actor.handled import Handled
from roleml.core.actor.native import NATIVE_ROLE_NAME, NativeRole
from roleml.core.actor.reports import REPORT, Inquiry, Report, Reports
from roleml.core.actor.runnables import Runnables
from roleml.core.actor.status import RoleStatusManager
from roleml.core.context import ActorProfile, Context, RoleInstanceID, check_name
from roleml.core.role.base import Role
from roleml.core.role.elements import ElementImplementation
from roleml.core.role.exceptions import ChannelNotFoundError
from roleml.core.role.types import EventSubscriptionMode, Message, TaskInvocation
from roleml.core.status import Status, StatusError, StatusTransferCallbackError, executions_here
from roleml.messaging.codec import Codec
from roleml.messaging.envelope import Kind
from roleml.messaging.exceptions import HandshakeError, MessagingError
from roleml.messaging.mailbox import EXPLAIN, Mailbox
from roleml.messaging.serving import Job, Pace, Request
from roleml.messaging.signing import Seals
from roleml.messaging.traffic import Sent
from roleml.messaging.transport import Presence, open_transport
from roleml.shared.suggestions import did_you_mean
from roleml.shared.threads import shared_pool

__all__ = ["Actor", "BaseActor"]


class BaseActor:
    """Hosts roles and connects them with those of other actors through a broker.

    An actor is connected from its construction on, and in service from :meth:`run` or :meth:`start` until
    :meth:`stop`. Its roles are started in the order they were added, and stopped in reverse.

    Args:
        context: who this actor is and whom it knows.
        broker: URL of the broker; the default one connects the actors of this process.
        allow_pickle: whether to exchange arbitrary Python objects. Reading one can run any code its sender
            likes, so by default only the embedded broker does, where nothing leaves the process.
        pickle_key_file: a file with the key that all actors share which exchange such objects over another
            broker; without it, the environment variable ``ROLEML_PICKLE_KEY`` holds the key.
        collective: how group calls go about: all at once, one after the other, or not at all.
        handshakes: actors to greet now; each must be there.
        log_remote: whether whoever subscribes to the event ``log`` of the native role gets this actor's log.
        tracing: whether OpenTelemetry gets a span for each service and task, here and where it is served.
        checkpoint: a folder for checkpoints; without one, none are made. Relative to `context.workdir`.
        resume: whether roles go on from the last checkpoint there, if there is one.

    Raises:
        CheckpointError: there is a checkpoint, and without `resume`; or it cannot be used.
        ValueError: a name, the broker's URL or the key is not valid, or pickles need a key and there is none.
        MsgConnectionError: the broker is not there, or has an actor of this name.
        HandshakeError: one of ``handshakes`` did not answer.
    """

    def __init__(
        self,
        context: Context,
        *,
        broker: str = "embedded://",
        allow_pickle: bool | None = None,
        pickle_key_file: str | os.PathLike[str] | None = None,
        collective: GroupMode = "parallel",
        handshakes: Sequence[str] = (),
        install_role: Callable[[BaseActor, str, Any], type[Role]] | None = None,
        log_remote: bool = True,
        tracing: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> None:
        check_name("actor", context.profile.name)
        in_process = broker.startswith(("embedded:", "disabled:"))
        if allow_pickle is None:
            allow_pickle = broker.startswith("embedded:")
        seals = Seals.of_file(pickle_key_file) if allow_pickle and not in_process else None
        self.ctx = context
        self.logger = logging.getLogger("roleml.actor")
        self.management_lock = threading.RLock()
        self.role_status_manager = RoleStatusManager(f"actor {context.profile.name}")
        self.passes_on_log = log_remote
        self._install_role = install_role
        self._roles: dict[str, Role] = {}
        self._running = False
        self._stopping = False
        self._ended = threading.Event()

        mailbox = Mailbox(
            open_transport(broker, context.profile.name),
            Codec(allow_pickle=allow_pickle),
            shared_pool(),
            seals,
        )
        self._mailbox = mailbox
        if tracing:
            from roleml.core.actor.tracing import OpenTelemetryTracing

            mailbox.trace_with(OpenTelemetryTracing())
        self._elements = Elements(context.workdir)
        self._checkpoints = Checkpoints(
            None if checkpoint is None else os.path.join(context.workdir, checkpoint),
            context.profile.name,
            self._roles,
            self._elements,
            resume=resume,
        )
        handled = self._handled = Handled()
        self._calls = Calls(context, mailbox, self.role_status_manager, handled, self._checkpoints)
        self._group_calls = GroupCalls(self._calls, mailbox, collective)
        self._events = Events(context, mailbox, self.role_status_manager, handled)
        self._following = Following(context, mailbox, self._events)
        self._runnables = Runnables(context, mailbox, handled)
        self._reports = Reports(
            context, mailbox, self.role_status_manager, self._events, handled, self._roles, time.monotonic()
        )
        self._greetings = Greetings(context, mailbox)
        self._inquiry = Inquiry(context.profile.name, mailbox)
        self._controls: dict[str, Callable[[Request], Any]] = {
            **self._events.controls(),
            EXPLAIN: self._calls.explain,
            REPORT: lambda _: self.report(),
            **self._greetings.controls(),
        }
        mailbox.serve(Kind.CONTROL, self._accept_control)
        mailbox.describe_with(describe)
        for status, react in (
            (Status.STARTING, self._role_starting),
            (Status.READY, self._role_ready),
            (Status.FINALIZING, self._role_finalizing),
            (Status.TERMINATED, self._role_terminated),
        ):
            self.role_status_manager.add_callback(status, react)

        Context.set_active_context(context)
        mailbox.transport.forgive(self._checkpoints.survived)
        mailbox.start()
        try:
            self._greetings.handshake_all(handshakes)
        except HandshakeError:
            mailbox.stop()
            raise

    @property
    def profile(self) -> ActorProfile:
        return self.ctx.profile

    @property
    def roles(self) -> Mapping[str, Role]:
        """The hosted roles by name, in the order added."""
        return dict(self._roles)

    @property
    def sent(self) -> Sent:
        """What this actor has sent through its broker."""
        return self._mailbox.traffic.sent

    def report(self) -> Report:
        """How this actor is, in types of JSON: the status of each role, what it handled, whom it calls, whom
        it waits for, payloads that are arriving, what was rejected, and the last failure.

        Every actor of the same broker may ask for it; args, payloads and elements are not in it.
        """
        return self._reports.make()

    def reports_of(
        self, actors: Collection[str], timeout_s: float = 5.0
    ) -> dict[str, Report | MessagingError | None]:
        """The reports of other actors; an error for one that is not there, ``None`` for one that is silent.

        Waits up to ``timeout_s`` for all together. Who was silent is not asked again before it has answered.
        """
        return self._inquiry.ask(actors, timeout_s)

    def pace_with(self, pace: Pace) -> None:
        """Let ``pace(request, job)`` run the handlers of services, tasks and events: it calls the job, once.

        To be called before :meth:`start`. Simulations slow down handlers with it.
        """
        self._mailbox.pace_with(pace)

    def __enter__(self) -> BaseActor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # hosting

    def add_role(self, name: str, role: Role) -> None:
        """Host ``role`` as ``name``: it can be addressed and subscribed to, and is not in service yet.

        Raises:
            ValueError: the name is not valid.
            TypeError: ``role`` is not an instance of a role class.
            RuntimeError: the name is taken, the role instance is hosted already, or the actor is stopping.
            MsgConnectionError: the broker refuses what the role needs.
        """
        check_name("role", name)
        if not isinstance(role, Role):
            raise TypeError(f"role {name!r} needs an instance of a class derived from Role, not {role!r}")
        with self.management_lock:
            self._check_not_stopping(f"host role {name!r}")
            control = self.role_status_manager.add_role(name)
            try:
                role.attach(name, self)
                self._bind_plugins(role)
                self._roles[name] = role
                self._elements.add_role(name, role)
                self._events.add_role(name, role)
                self._following.add_role(name, role)
                self._calls.add_role(name, role)
                control.declared()
            except Exception:
                self.logger.exception("role %s could not be added", name)
                raise
        self._following.declared(name)

    def implement_element(
        self, instance_name: str, element_name: str, impl: ElementImplementation
    ) -> ElementInstance[Any]:
        """Provide a workload of a hosted role.

        Raises:
            RuntimeError: no such role or element, it has an implementation, or nothing provides an object.
        """
        return self._elements.implement(instance_name, element_name, impl)

    def start_role(self, name: str) -> None:
        """Put a hosted role into service.

        Raises:
            RuntimeError: no such role, it was started before, or the actor is stopping.
            StatusTransferCallbackError: it could not start; it is not hosted any more.
        """
        with self.management_lock:
            self._check_not_stopping(f"start role {name!r}")
            control = self.role_status_manager.ctrls.get(name)
            if control is None:
                raise RuntimeError(
                    f"actor {self.profile.name} hosts no role named {name!r}{did_you_mean(name, self._roles)}"
                )
            if not control.is_declared_only:
                raise RuntimeError(f"role {name!r} cannot be started: it is {control.status.name}")
            try:
                control.ready()
            except StatusTransferCallbackError:
                control.terminate(force=True)
                raise
        if self._running:
            self._mailbox.transport.announce(Presence.READY)

    def stop_role(self, name: str) -> None:
        """Take a role out of service and forget it; waits until its handlers have returned.

        Raises:
            RuntimeError: no such role.
            StatusError: called by a handler of that role, which would have to wait for itself.
        """
        control = self.role_status_manager.ctrls.get(name)
        if control is None:
            raise RuntimeError(
                f"actor {self.profile.name} hosts no role named {name!r}{did_you_mean(name, self._roles)}"
            )
        control.terminate(force=True)

    def install_role(self, name: str, spec: Any) -> type[Role]:
        """Build a role from its configuration, host it and start it; returns its class.

        Raises:
            RuntimeError: this actor was not made by an ``ActorBuilder``; else as :meth:`add_role` and
                :meth:`start_role`.
            ConfigError: the configuration is wrong.
        """
        if self._install_role is None:
            raise RuntimeError("this actor cannot build roles: make it with an ActorBuilder")
        return self._install_role(self, name, spec)

    # running

    def start(self) -> None:
        """Start all roles, in the order they were added, and return. Called at most once.

        Raises:
            RuntimeError: the actor was started or stopped before.
            StatusTransferCallbackError: a role could not start. Earlier ones are in service: :meth:`stop`.
        """
        with self.management_lock:
            if self._running or self._stopping:
                raise RuntimeError(
                    f"actor {self.profile.name} was {'stopped' if self._stopping else 'started'} before; "
                    "build a new one"
                )
            self._running = True
            self.logger.info("actor starts running")
            self._checkpoints.start()
            for control in list(self.role_status_manager.ctrls.values()):
                if control.is_declared_only:
                    control.ready()
            self._calls.started()
        self._mailbox.transport.announce(Presence.READY)

    def run(self) -> None:
        """:meth:`start`, then wait until the actor is stopped."""
        self.start()
        self.wait()

    def wait(self) -> None:
        """Return when the actor is stopped."""
        self._ended.wait()

    def when_returned(self, listener: Callable[[str, BaseException | None], None]) -> None:
        """Call ``listener(name, error)`` each time ``run()`` of a ``Runnable`` role is over, in its thread.

        Such a role stays in service. ``error`` is what ``run()`` raised.
        """
        self._runnables.when_returned(listener)

    def stop(self) -> None:
        """End all roles, in reverse order, and leave the broker. May be called from any thread, and again.

        A further call waits for the first one to finish, unless it comes from ``run()`` of a role of this
        actor, which the first one waits for.

        Raises:
            StatusError: called by a handler of this actor, which would have to wait for itself.
        """
        if not self._stopping and self._executes_here():
            raise StatusError(
                f"actor {self.profile.name} cannot be stopped by a handler of its own, which it would have "
                "to wait for; let another thread do it"
            )
        with self.management_lock:
            stopping, self._stopping = self._stopping, True
            if not stopping:
                self._calls.leaving()
                self._before_stop()
        if not stopping:
            self._stop()
        elif not self._runnables.runs_here() and not self._executes_here():
            self._ended.wait()

    def _stop(self) -> None:
        # Not under the management lock: a handler that waits for it is waited for here.
        try:
            for name, control in reversed(list(self.role_status_manager.ctrls.items())):
                try:
                    control.terminate(force=True)
                except Exception:
                    self.logger.exception("role %s did not end properly", name)
            self._greetings.handwave_all(self.ctx.handwaves)
        finally:  # also when interrupted, by another Ctrl-C
            self._mailbox.stop()
            self.logger.info("actor now stopped")
            self._ended.set()  # last: the process may end with this

    def _executes_here(self) -> bool:
        controls = self.role_status_manager.ctrls.values()
        return any(ticket.control in controls for ticket in executions_here())

    def _check_not_stopping(self, purpose: str) -> None:
        if self._stopping:
            raise RuntimeError(f"actor {self.profile.name} cannot {purpose}: it is stopping")

    def _before_stop(self) -> None: ...

    # a role's life: what happens on entering each status, in this order

    def _role_starting(self, name: str, old: Status) -> None:
        with self.ctx.activate():
            self._elements.apply_defaults(name)
            self._checkpoints.restore(name)
            self._following.start(name)

    def _role_ready(self, name: str, old: Status) -> None:
        self.logger.info("role instance (%s) is READY", name)
        if old is Status.STARTING:
            self._events.open(name)
            self._calls.open_role(name)
            self._runnables.start(name, self._roles[name])

    def _role_finalizing(self, name: str, old: Status) -> None:
        with self.ctx.activate():
            self._runnables.stop(name)
            self._calls.remove_role(name, keep_tasks=self._stopping)
            self._following.remove_role(name)
            self._events.remove_role(name, leaving=self._stopping)
            self._elements.finalize(name)

    def _role_terminated(self, name: str, old: Status) -> None:
        self._roles.pop(name, None)
        self._handled.forget(name)
        self.logger.info("role instance (%s) is TERMINATED", name)

    @staticmethod
    def _bind_plugins(role: Role) -> None:
        for names in type(role).plugin_attributes.values():
            for attribute_name in names:
                plugin = getattr(type(role), attribute_name)
                setattr(role, attribute_name, plugin.bind(role, attribute_name))

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether checkpoints are made."""
        return self._checkpoints.enabled

    def save_checkpoint(self) -> None:
        """See :meth:`roleml.core.role.base.Role.save_checkpoint`."""
        self._checkpoints.save()

    # what roles do, each on behalf of the role `name` (which need not exist for calls)

    def call(self, name: str, target: str | RoleInstanceID, channel_name: str, message: Message) -> Any:
        return self._calls.call(name, target, channel_name, message)

    def call_task(
        self, name: str, target: str | RoleInstanceID, channel_name: str, message: Message, key: str = ""
    ) -> TaskInvocation:
        return self._calls.call_task(name, target, channel_name, message, key)

    def call_group(
        self, name: str, group: Iterable[RoleInstanceID], channel_name: str, **options: Any
    ) -> list[tuple[RoleInstanceID, Any]]:
        return self._group_calls.call(name, group, channel_name, **options)

    def call_task_group(
        self, name: str, group: Iterable[RoleInstanceID], channel_name: str, **options: Any
    ) -> None:
        self._group_calls.call_task(name, group, channel_name, **options)

    def subscribe(
        self,
        name: str,
        target: RoleInstanceID,
        channel_name: str,
        handler: Handler,
        *,
        conditions: Mapping[str, Any] | None = None,
        mode: EventSubscriptionMode = "forever",
    ) -> None:
        self._events.subscribe(name, target, channel_name, handler, conditions=conditions, mode=mode)

    def unsubscribe(self, name: str, target: RoleInstanceID, channel_name: str) -> None:
        self._events.unsubscribe(name, target, channel_name)

    def is_heard(self, name: str, channel_name: str) -> bool:
        """Whether anybody is subscribed to that event of a role here."""
        return self._events.is_heard(name, channel_name)

    def emit(self, name: str, channel_name: str, message: Message) -> None:
        self._events.emit(name, channel_name, message)

    def convert_relationship_to_instance(self, name: str) -> RoleInstanceID:
        """The role instance that a relationship stands for as a target."""
        return self._calls.resolve(name)

    # other actors

    def handshake(self, actor_name: str) -> None:
        """Introduce this actor to another, which adds it to its contacts. Raises ``HandshakeError``."""
        self._greetings.handshake(actor_name)

    def handwave(self, actor_name: str) -> None:
        """Say goodbye to another actor, which then forgets this one. Raises ``HandwaveError``."""
        self._greetings.handwave(actor_name)

    def _accept_control(self, request: Request) -> Job:
        control = self._controls.get(request.channel)
        if control is None:
            raise ChannelNotFoundError(f"actor {self.profile.name} does not know how to {request.channel!r}")
        return lambda: control(request)


class Actor(BaseActor):
    """A :class:`BaseActor` with a native role, by which others may manage it."""

    def __init__(self, context: Context, **options: Any) -> None:
        super().__init__(context, **options)
        self.native_role = NativeRole()
        self.add_role(NATIVE_ROLE_NAME, self.native_role)
        context.relationships.add_to_relationship("/", RoleInstanceID(context.profile.name, NATIVE_ROLE_NAME))

    def start(self) -> None:
        with self.management_lock:  # stop() comes before or after, not in between
            super().start()
            self.native_role.begin()

    def _before_stop(self) -> None:
        self.native_role.end()

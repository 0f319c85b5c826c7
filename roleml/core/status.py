"""The status of a role: what it may be, how it changes, and the executions a change has to wait for."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Protocol

from roleml.core.executions import ExecutionTicket, executions_here
from roleml.shared.errors import RoleMLError
from roleml.shared.patience import Patience

if TYPE_CHECKING:
    from roleml.core.context import ActorProfile

__all__ = [
    "CALLBACKS_MAY_REFUSE",
    "DRAINING",
    "ENTERED_AGAIN",
    "TRANSITIONS",
    "WAITING",
    "Admission",
    "ExecutionTicket",
    "Operation",
    "RoleOffloadedError",
    "Status",
    "StatusControl",
    "StatusError",
    "StatusTransferCallbackError",
    "admission",
    "executions_here",
    "set_logger",
    "steps",
]

logger = logging.getLogger(__name__)


def set_logger(new_logger: logging.Logger) -> None:
    """Let all status controls log there."""
    global logger
    logger = new_logger


class Status(Flag):
    """Where a role is in its life. The values travel in messages and never change."""

    DECLARING = 1
    DECLARED = 2
    STARTING = 4
    READY = 8
    PAUSING = 16
    PAUSED = 32
    TERMINATING = 64
    FINALIZING = 128
    TERMINATED = 256
    RESUMING = 512
    OFFLOADED = 1024
    DECLARED_COMPATIBLE = DECLARED | STARTING | READY | PAUSING | PAUSED


class StatusError(RoleMLError, ValueError):
    """The status does not allow this.

    - `RoleOffloadedError`: the role lives on another actor now
    """

    code = "RML-R009"


class RoleOffloadedError(StatusError):
    """The role has moved to the actor `offloaded_to`."""

    code = "RML-R010"

    def __init__(self, instance_name: str, offloaded_to: ActorProfile) -> None:
        super().__init__(instance_name, offloaded_to)
        self.instance_name = instance_name
        self.offloaded_to = offloaded_to

    def __str__(self) -> str:
        return f"{self.instance_name} has moved to actor {self.offloaded_to.name}"


class StatusTransferCallbackError(RoleMLError, RuntimeError):
    """A callback failed on entering a status, and with it the change; the cause is what it raised."""

    code = "RML-R011"


class Operation(Enum):
    """What can be asked of a status control; the value completes 'cannot ...'."""

    DECLARE = "be declared"
    READY = "become ready"
    PAUSE = "pause"
    TERMINATE = "terminate"
    OFFLOAD = "be offloaded"


_TERMINATION = (Status.TERMINATING, Status.FINALIZING, Status.TERMINATED)

#: The statuses an operation goes through, by the status it starts from; what is missing is not allowed.
#: Neither STARTING nor RESUMING leads back to READY: one was left there by a failure, and has to terminate.
TRANSITIONS: dict[Operation, dict[Status, tuple[Status, ...]]] = {
    Operation.DECLARE: {
        Status.DECLARING: (Status.DECLARED,),
        Status.DECLARED: (),
        Status.TERMINATED: (Status.DECLARED,),
    },
    Operation.READY: {
        Status.DECLARED: (Status.STARTING, Status.READY),
        Status.PAUSED: (Status.RESUMING, Status.READY),
        Status.READY: (),
    },
    Operation.PAUSE: {
        Status.READY: (Status.PAUSING, Status.PAUSED),
        Status.PAUSED: (),
    },
    Operation.TERMINATE: {
        Status.DECLARING: _TERMINATION,
        # never started: there is nothing to wait for, but elements and channels to take down
        Status.DECLARED: (Status.FINALIZING, Status.TERMINATED),
        Status.STARTING: _TERMINATION,
        Status.RESUMING: _TERMINATION,
        Status.READY: _TERMINATION,
        Status.PAUSED: _TERMINATION,
        # left there by an interrupted operation (Ctrl-C)
        Status.PAUSING: _TERMINATION,
        Status.TERMINATING: _TERMINATION,
        Status.FINALIZING: (Status.FINALIZING, Status.TERMINATED),
        Status.TERMINATED: (Status.TERMINATED,),
        Status.OFFLOADED: (),
    },
    Operation.OFFLOAD: {
        Status.PAUSED: (Status.OFFLOADED,),
    },
}

#: Having entered one of these, an operation waits until nothing executes any more.
DRAINING = Status.PAUSING | Status.TERMINATING
#: In these, an execution that asks for admission waits for READY.
WAITING = Status.PAUSING | Status.PAUSED | Status.RESUMING
#: Entered anew by each termination, whether or not the status was that already.
ENTERED_AGAIN = Status.FINALIZING | Status.TERMINATED
#: On entering one of these, a failing callback makes the operation fail.
CALLBACKS_MAY_REFUSE = Status.DECLARED | Status.STARTING | Status.READY | Status.RESUMING | Status.PAUSING


class Admission(Enum):
    """Whether an execution may begin."""

    GRANTED = "granted"
    LATER = "later"
    REFUSED = "refused"


def admission(status: Status, *, nested: bool) -> Admission:
    """Whether an execution may begin in this status; `nested` in another one of the same role.

    A pausing role waits for its executions to end, so whatever those still need must not wait for the role.
    """
    if status is Status.READY or (nested and status is Status.PAUSING):
        return Admission.GRANTED
    return Admission.LATER if status in WAITING else Admission.REFUSED


def steps(operation: Operation, status: Status, name: str) -> tuple[Status, ...]:
    """The statuses to go through; a `StatusError` naming the object if it cannot be done from here."""
    allowed = TRANSITIONS[operation]
    if status not in allowed:
        right = ", ".join(str(each.name) for each in allowed)
        raise StatusError(f"{name} cannot {operation.value} while {status.name}; it can when it is {right}")
    return allowed[status]


class _Lock(Protocol):
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...


StatusCallback = Callable[[Status], Any]
StatusListener = Callable[[str, Status, Status], Any]


class StatusControl:
    """Changes the status of one object, and admits executions as the status allows.

    Operations (`declared`, `ready`, `pause`, `terminate`, ...) exclude each other for their whole duration,
    including the wait for executions: one that is asked for meanwhile waits, and then applies to the
    resulting status. On every change the callbacks of the new status run in the thread that changes it, in
    the order registered and after the status is visible, then the listeners. A callback that fails makes the
    operation fail with `StatusTransferCallbackError` and leaves the status where it is, except on the way to
    PAUSED, TERMINATED or OFFLOADED, where it is logged; what a listener raises is always logged.

    What waits without a limit logs after 30 seconds what it is waiting for.
    """

    def __init__(self, name: str = "object", *, status_transfer_lock: _Lock | None = None) -> None:
        self.name = name
        self._transfer_lock: _Lock = status_transfer_lock or threading.RLock()
        self._transferring_thread: int | None = None
        # Guards the three values below it. No foreign code runs, nothing is logged and no other lock is
        # waited for while it is held. (The bare lock, where no waiting is involved, costs half the time.)
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._status = Status.DECLARING
        self._tickets: set[ExecutionTicket] = set()
        self._offloaded_to: ActorProfile | None = None
        self._callbacks: list[tuple[Status, StatusCallback]] = []
        self._listeners: list[StatusListener] = []

    def __repr__(self) -> str:
        return f"<status of {self.name}: {self._status.name}, {len(self._tickets)} executions>"

    # --- what the status is ---

    @property
    def status(self) -> Status:
        """The current status; to assign DECLARED, READY, PAUSED or TERMINATED is to call that operation."""
        return self._status

    @status.setter
    def status(self, status: Status) -> None:
        operations: dict[Status, Callable[[], None]] = {
            Status.DECLARED: self.declared,
            Status.READY: self.ready,
            Status.PAUSED: self.pause,
            Status.TERMINATED: self.terminate,
        }
        if status not in operations:
            right = ", ".join(str(each.name) for each in operations)
            raise StatusError(f"{self.name} cannot be set to {status}; it can be set to {right}")
        operations[status]()

    @property
    def executing(self) -> int:
        """How many executions there are."""
        with self._mutex:
            return len(self._tickets)

    @property
    def is_declared(self) -> bool:
        """Whether the channels of the object are known: from DECLARED until its termination begins."""
        return self._status in Status.DECLARED_COMPATIBLE

    @property
    def is_declared_only(self) -> bool:
        return self._status == Status.DECLARED

    @property
    def is_ready(self) -> bool:
        return self._status == Status.READY

    @property
    def is_paused(self) -> bool:
        return self._status == Status.PAUSED

    @property
    def is_terminated(self) -> bool:
        return self._status == Status.TERMINATED

    def add_callback(self, status: Status, func: StatusCallback) -> None:
        """Call `func(old_status)` on entering `status`."""
        self._callbacks.append((status, func))

    def add_listener(self, func: StatusListener) -> None:
        """Call `func(name, current, old)` on every change."""
        self._listeners.append(func)

    # --- operations ---

    def declared(self, ignore_callback_error: bool = False) -> None:
        """To DECLARED, from DECLARING or, for another life, from TERMINATED.

        This and all other operations raise `StatusError` where the status does not allow them.
        """
        self._perform(Operation.DECLARE, tolerant=ignore_callback_error)

    def ready(self, ignore_callback_error: bool = False) -> None:
        """To READY: by way of STARTING from DECLARED, by way of RESUMING from PAUSED.

        After a `StatusTransferCallbackError` the status is the one that failed; `terminate` then.
        """
        self._perform(Operation.READY, tolerant=ignore_callback_error)

    def pause(self, force: bool = False, *, ignore_callback_error_on_revert: bool = False) -> None:
        """From READY to PAUSED, waiting for the running executions; `force` asks them to end early.

        When a callback of PAUSING fails, the status is READY again. From inside an execution of the same
        object this is a `StatusError`: the execution would wait for itself.
        """
        self._perform(Operation.PAUSE, None, force, tolerant_return=ignore_callback_error_on_revert)

    def try_pause(
        self, timeout: float, *, force: bool = False, ignore_callback_error_on_revert: bool = False
    ) -> bool:
        """Like `pause`; when that takes longer than `timeout` seconds, back to READY and False."""
        tolerant = ignore_callback_error_on_revert
        return self._perform(Operation.PAUSE, timeout, force, tolerant_return=tolerant)

    def terminate(self, force: bool = False, *, ignore_callback_error_on_revert: bool = False) -> None:
        """To TERMINATED, waiting for the running executions; `force` asks them to end early.

        Afterwards the control may be used for another life (`declared`). From inside an execution of the
        same object this is a `StatusError`: the execution would wait for itself.
        """
        self._perform(Operation.TERMINATE, None, force, tolerant_return=ignore_callback_error_on_revert)

    def try_terminate(
        self, timeout: float, *, force: bool = False, ignore_callback_error_on_revert: bool = False
    ) -> bool:
        """Like `terminate`; when that takes longer than `timeout` seconds, back to where it was and False."""
        tolerant = ignore_callback_error_on_revert
        return self._perform(Operation.TERMINATE, timeout, force, tolerant_return=tolerant)

    def terminate_as_offloaded(self, profile: ActorProfile) -> None:
        """From PAUSED to OFFLOADED: the object lives at `profile` now.

        Executions waiting for it to become ready get a `RoleOffloadedError`.
        """
        self._perform(Operation.OFFLOAD, offloaded_to=profile)

    @contextlib.contextmanager
    def lock_status_for_execute(self, status: Status) -> Iterator[None]:
        """Run the block while the status is one of `status` (a combination), else raise `StatusError`.

        No operation begins or goes on during the block. Only inside an execution of the same object, where
        waiting for an operation that waits for the execution would be a dead end, one may be under way: it
        can give up, but it cannot get further before the execution ends.
        """
        if self._executes_here():
            locked = self._transfer_lock.acquire(blocking=False)
        else:
            locked = self._begin("lock its status", Patience())
        outer_thread = self._transferring_thread
        if locked:
            self._transferring_thread = threading.get_ident()
        try:
            current = self._status
            if current not in status:
                raise StatusError(f"{self.name} is {current.name}; this can be done while it is {status}")
            yield
        finally:
            if locked:
                self._transferring_thread = outer_thread
                self._transfer_lock.release()

    def _perform(
        self,
        operation: Operation,
        timeout: float | None = None,
        force: bool = False,
        *,
        tolerant: bool = False,
        tolerant_return: bool = False,
        offloaded_to: ActorProfile | None = None,
    ) -> bool:
        """Go through the statuses of the operation; False if the time was not enough."""
        if timeout is None and self._executes_here():
            if not steps(operation, self._status, self.name):
                return True
            raise StatusError(
                f"{self.name} cannot {operation.value} from inside its own execution, which it would have to "
                f"wait for; let another role or thread do it"
            )
        patience = Patience(timeout)
        if not self._begin(operation.value, patience):
            return False
        outer_thread, self._transferring_thread = self._transferring_thread, threading.get_ident()
        try:
            origin = self._status
            if outer_thread == self._transferring_thread and origin in Status.TERMINATING | Status.FINALIZING:
                raise StatusError(
                    f"{self.name} is {origin.name} already: its callbacks must leave it at that"
                )
            path = steps(operation, origin, self.name)
            for status in path:
                try:
                    self._enter(status, tolerant, offloaded_to)
                except StatusTransferCallbackError:
                    if self._status is Status.PAUSING:
                        self._enter(origin, tolerant_return)
                    raise
                if path[-1] in (status, self._status):
                    return True
                if self._status is not status:
                    raise StatusError(
                        f"{self.name} did not {operation.value}: a callback of {status.name} took it to "
                        f"{self._status.name}"
                    )
                if status in DRAINING and not self._drain(operation.value, force, patience):
                    self._enter(origin, tolerant_return)
                    return False
            return True
        finally:
            self._transferring_thread = outer_thread
            self._transfer_lock.release()

    def _begin(self, purpose: str, patience: Patience) -> bool:
        """Exclude other operations; False if the patience ended first."""
        while not self._transfer_lock.acquire(timeout=patience.next_wait_s()):
            if patience.exhausted:
                return False
            now = self._status.name
            patience.report(
                logger, "%s waits to %s: another operation has come to %s", self.name, purpose, now
            )
        return True

    def _drain(self, purpose: str, force: bool, patience: Patience) -> bool:
        """Wait until nothing executes; False if the patience ended first."""
        while True:
            with self._changed:
                if force:
                    for ticket in self._tickets:
                        ticket.ask_for_stopping()
                if self._changed.wait_for(lambda: not self._tickets, patience.next_wait_s()):
                    return True
                running = list(self._tickets)
            if patience.exhausted:
                return False
            patience.report(logger, "%s waits to %s: %s", self.name, purpose, running)

    def _enter(self, status: Status, tolerant: bool, offloaded_to: ActorProfile | None = None) -> None:
        with self._changed:
            old, self._status = self._status, status
            self._offloaded_to = offloaded_to
            self._changed.notify_all()
        if old is status and status not in ENTERED_AGAIN:
            return
        refusal: StatusTransferCallbackError | None = None
        for wanted, callback in tuple(self._callbacks):
            error = _attempt(callback, old) if status in wanted else None
            if error is None:
                continue
            if status in CALLBACKS_MAY_REFUSE and not tolerant:
                refusal = StatusTransferCallbackError(
                    f"{self.name} failed on its way from {old.name} to {status.name}: "
                    f"{type(error).__name__}: {error}"
                )
                refusal.__cause__ = error
                break
            logger.error(
                "%s is %s, though callback %r failed", self.name, status.name, callback, exc_info=error
            )
        for listener in tuple(self._listeners):
            if error := _attempt(listener, self.name, status, old):
                logger.error("listener %r of %s failed on %s", listener, self.name, status, exc_info=error)
        if refusal is not None:
            raise refusal

    # --- executions ---

    def acquire_execution(self, worker_id: object = None, *, timeout: float | None = None) -> ExecutionTicket:
        """Count one more execution, until its ticket is stopped.

        While the object is pausing or paused this waits up to `timeout` seconds for it to become ready
        (None: as long as it takes), unless the caller belongs to a running execution of the object
        (see `ExecutionTicket`). `worker_id` describes the execution in the log.

        Raises:
            StatusError: the status admits no execution, or did not in time.
            RoleOffloadedError: the object has moved.
        """
        ticket = ExecutionTicket(self, worker_id)
        with self._mutex:
            if self._status is _READY:
                self._tickets.add(ticket)
                return ticket
        self._await_admission(ticket, Patience(timeout))
        return ticket

    def release_execution(self, ticket: ExecutionTicket) -> None:
        """The same as `ticket.stop()`."""
        if ticket.control is not self:
            raise ValueError(f"{ticket!r} is not an execution of {self.name}")
        with self._mutex:
            ticket.is_stopped = True
            self._tickets.discard(ticket)
            if not self._tickets and self._status is not _READY:
                self._changed.notify_all()

    def _executes_here(self) -> bool:
        return any(ticket.control is self for ticket in executions_here())

    def _await_admission(self, ticket: ExecutionTicket, patience: Patience) -> None:
        nested = self._executes_here()
        # A callback that waits for the end of its own operation would wait for ever.
        may_wait = self._transferring_thread != threading.get_ident()

        def decided() -> bool:
            return not may_wait or admission(self._status, nested=nested) is not Admission.LATER

        while True:
            with self._changed:
                self._changed.wait_for(decided, patience.next_wait_s())
                status, offloaded_to = self._status, self._offloaded_to
                verdict = admission(status, nested=nested)
                if verdict is Admission.GRANTED:
                    self._tickets.add(ticket)
                    return
            if offloaded_to is not None:
                raise RoleOffloadedError(self.name, offloaded_to)
            if verdict is Admission.REFUSED:
                raise StatusError(f"{self.name} is {status.name}: it executes nothing unless it is READY")
            if not may_wait:
                raise StatusError(
                    f"{self.name} is {status.name}: its callbacks must not execute anything in it"
                )
            if patience.exhausted:
                raise StatusError(
                    f"{self.name} is {status.name}, and was not READY again within {patience.waited_s:.3g} s"
                )
            patience.report(logger, "%r waits: %s is %s", ticket, self.name, status.name)


def _attempt(func: Callable[..., Any], *args: Any) -> Exception | None:
    try:
        func(*args)
    except Exception as e:  # noqa: BLE001  # who gets it depends on the status: see _enter
        return e
    return None


# On Python 3.11 to look up an enum member takes longer than all else an admission does.
_READY = Status.READY

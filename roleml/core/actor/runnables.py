"""Roles with a life of their own: one thread for each Runnable."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext

from roleml.core.actor.handled import Handled
from roleml.core.context import Context
from roleml.core.role.base import Role
from roleml.core.role.exceptions import HandlerError
from roleml.messaging.mailbox import Mailbox
from roleml.shared.interfaces import Runnable
from roleml.shared.patience import Patience

__all__ = ["Runnables"]

logger = logging.getLogger("roleml.managers.runnable")

#: How long run() may go on by itself that was not told how to stop, before its calls are given up.
GRACE_S = 5.0


class Runnables:
    """The threads of an actor's runnable roles."""

    def __init__(self, ctx: Context, mailbox: Mailbox, handled: Handled) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._handled = handled
        self._threads: dict[str, tuple[Runnable, threading.Thread]] = {}
        self._listeners: list[Callable[[str, BaseException | None], None]] = []

    def when_returned(self, listener: Callable[[str, BaseException | None], None]) -> None:
        """Call `listener(name, error)` each time the run() of a role is over, in the thread that ran it."""
        self._listeners.append(listener)

    def start(self, name: str, role: Role) -> None:
        if isinstance(role, Runnable):
            # a daemon: a role that ignores stop() must not keep the process from ending
            thread = threading.Thread(target=self._run, args=(name, role), name=f"role-{name}", daemon=True)
            self._threads[name] = role, thread
            thread.start()

    def _run(self, name: str, role: Runnable) -> None:
        failure: BaseException | None = None
        with self._ctx.activate():
            try:
                role.run()
            except Exception as error:
                failure = error
                if self._mailbox.is_released(name) and isinstance(error, HandlerError):
                    logger.info("run() of role %s ended: %s", name, error)
                else:
                    self._handled.failed(name, f"{self._ctx.profile.name}/{name}.run()", error)
                    logger.exception("run() of role %s failed; the role stays in service", name)
            except SystemExit as error:  # ends this thread only, like that of any other thread
                failure = error if error.code else None
        for listener in list(self._listeners):
            listener(name, failure)

    def runs_here(self) -> bool:
        """Whether the calling thread is that of a role."""
        return any(thread is threading.current_thread() for _, thread in list(self._threads.values()))

    def stop(self, name: str) -> None:
        """Ask the role to stop, if it still runs, and wait until it has."""
        if name not in self._threads:
            return
        role, thread = self._threads[name]
        try:
            if thread.is_alive():
                self._end(name, role, thread)
        finally:
            del self._threads[name]

    def _end(self, name: str, role: Runnable, thread: threading.Thread) -> None:
        try:
            role.stop()
        except Exception:
            logger.exception("stop() of role %s failed", name)
        if thread is threading.current_thread():
            return  # the role ends its own actor: it cannot wait for itself
        patience = Patience()
        says_how = type(role).stop is not Runnable.stop
        if not says_how:
            thread.join(GRACE_S)
        # one that does not say how it is to be stopped waits for nobody's answer any more
        with nullcontext() if says_how else self._mailbox.released(name):
            while thread.is_alive():
                thread.join(patience.next_wait_s())
                patience.report(logger, "waiting for run() of role %s to return", name)

"""The server's side of registration."""

from __future__ import annotations

import threading

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service
from roleml.shared.interfaces import Runnable

__all__ = ["ServerInitiator"]


class ServerInitiator(Role, Runnable):
    """Waits until enough clients have registered, or long enough, and starts.

    Registered role instances become members of a relationship of this actor; for that, this role must be in
    the actor's relationship ``manager``. Subclasses override :meth:`start_impl`, and perhaps
    :meth:`register_impl`.
    """

    def __init__(
        self, min_clients: int = 10, max_seconds: float = 86400, relationship_name: str = "trainer"
    ) -> None:
        """``max_seconds``: after that time it starts with those that it has."""
        super().__init__()
        self.min_clients = min_clients
        self.max_seconds = max_seconds
        self.relationship_name = relationship_name
        self._lock = threading.Lock()
        self._registered: set[RoleInstanceID] = set()
        self._enough = threading.Event()
        self._stopped = False

    @Service(expand=True)
    def register(self, caller: RoleInstanceID, instance_name: str | None = None) -> None:
        """Take in a client: the caller itself, or another role instance of its actor."""
        instance = RoleInstanceID(caller.actor_name, instance_name or caller.instance_name)
        self.register_impl(instance)
        change = {"relationship_name": self.relationship_name, "op": "add", "instances": [instance]}
        self.call("/", "update-relationship", args=change)
        with self._lock:
            self._registered.add(instance)
            enough = len(self._registered) >= self.min_clients
        self.logger.info("%s is registered (%d of %d)", instance, len(self._registered), self.min_clients)
        if enough:
            self._enough.set()

    def run(self) -> None:
        if not self._enough.wait(self.max_seconds):
            self.logger.warning(
                "after %g s, %d of %d clients are registered; starting with them",
                self.max_seconds,
                len(self._registered),
                self.min_clients,
            )
        if not self._stopped:
            self.start_impl()

    def stop(self) -> None:
        """Do not start any more."""
        self._stopped = True
        self._enough.set()

    def register_impl(self, instance: RoleInstanceID) -> None:
        """Called with each client before it is taken in; may raise to refuse it, and is for subclasses."""

    def start_impl(self) -> None:
        """Called once, when there are enough clients or the time is over; for subclasses."""

"""The statuses of the roles of one actor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from roleml.core.role.exceptions import NoSuchRoleError
from roleml.core.status import Status, StatusControl
from roleml.shared.suggestions import did_you_mean

__all__ = ["RoleStatusManager"]

RoleStatusCallback = Callable[[str, Status], Any]


class RoleStatusManager:
    """Holds a status control for each role, from its addition until it is terminated.

    Nobody else should keep a control: once the role is gone, another one may get its name.
    """

    def __init__(self, host: str = "this actor") -> None:
        self._host = host  # for messages, which other actors may get to read
        self._lock = threading.Lock()
        # Replaced as a whole by each change, so that readers need no lock and see no change while iterating.
        self._controls: Mapping[str, StatusControl] = MappingProxyType({})
        self._callbacks: tuple[tuple[Status, RoleStatusCallback], ...] = ()

    @property
    def ctrls(self) -> Mapping[str, StatusControl]:
        """The controls by role name, in the order added, as they are at this moment."""
        return self._controls

    def ctrl(self, name: str) -> StatusControl:
        """The control of this role; `NoSuchRoleError` if there is no such role (any more)."""
        control = self._controls.get(name)
        if control is None:
            hint = did_you_mean(name, self._controls)
            raise NoSuchRoleError(f"{self._host} has no role instance {name!r}{hint}")
        return control

    def add_role(self, name: str) -> StatusControl:
        """Begin to keep the status of a role, at DECLARING; `RuntimeError` if the name is taken."""
        control = StatusControl(name)
        with self._lock:
            if name in self._controls:
                raise RuntimeError(f"{self._host} has a role instance {name!r} already")
            for status, callback in self._callbacks:
                self._attach(control, status, callback)
            control.add_listener(lambda *_: self._forget_if_terminated(control))
            self._controls = MappingProxyType({**self._controls, name: control})
        return control

    def add_callback(self, status: Status, callback: RoleStatusCallback) -> None:
        """Call `callback(instance_name, old_status)` when any role, present or future, enters `status`."""
        with self._lock:
            self._callbacks = (*self._callbacks, (status, callback))
            for control in self._controls.values():
                self._attach(control, status, callback)

    def _attach(self, control: StatusControl, status: Status, callback: RoleStatusCallback) -> None:
        def call(old: Status) -> None:
            # Terminating again a role that is gone must not touch a new one under its name.
            if self._controls.get(control.name) is control:
                callback(control.name, old)

        control.add_callback(status, call)

    def _forget_if_terminated(self, control: StatusControl) -> None:
        # A listener, not a callback: the callbacks of TERMINATED still find the role.
        if control.is_terminated:
            with self._lock:
                remaining = {name: each for name, each in self._controls.items() if each is not control}
                self._controls = MappingProxyType(remaining)

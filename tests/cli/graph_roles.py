"""Roles whose code is read by the tests of `roleml graph`."""

from __future__ import annotations

from typing import Any

import roleml.essentials as rml
from roleml.core.actor.group.makers import Relationship


class Silent(rml.Role):
    done = rml.Event()

    @rml.Task(expand=True)
    def do_it(self, _: rml.RoleInstanceID) -> None: ...

    @rml.Service(expand=True)
    def status(self, _: rml.RoleInstanceID) -> None: ...


class Base(rml.Role):
    HELPER = "helper"

    def ask_helper(self) -> Any:
        return self.call(self.HELPER, "ask")


class Asks(Base):
    def work(self, whom: str) -> None:
        self.call_task_group(list(Relationship("worker", self.ctx).targets), "do_it")
        self.call_group(Relationship("team").targets, "status")
        self.call("listens", "told", {"a": 1})
        self.call(whom, "computed")


class Listens(rml.Role):
    @rml.Service(expand=True)
    def told(self, _: rml.RoleInstanceID) -> None: ...

    @rml.EventHandler("worker", "done", expand=True)
    def on_done(self, _: rml.RoleInstanceID) -> None: ...

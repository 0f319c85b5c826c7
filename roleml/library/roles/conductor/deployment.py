"""Brings a run configuration to the actors that take part, through their native roles."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from roleml.core.actor.native import NATIVE_ROLE_NAME
from roleml.core.context import RoleInstanceID, parse_instances
from roleml.core.role.base import Role
from roleml.core.role.exceptions import RoleInteractionError
from roleml.library.roles.conductor.types import RunSpec
from roleml.shared.errors import RoleMLError

__all__ = ["AbsentError", "Deployment", "DeploymentError"]

logger = logging.getLogger("roleml.conductor")

#: Actors that are deployed to at a time.
AT_A_TIME = 16

_Call = Callable[[], Any]


class AbsentError(RoleMLError, RuntimeError):
    """Some actors cannot be deployed to. Nothing was changed anywhere."""

    code = "RML-D001"

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        self.actors = list(errors)
        lines = "".join(f"\n  {actor}: {error}" for actor, error in errors.items())
        super().__init__(
            f"{len(errors)} of the actors cannot be deployed to, so nothing was changed:{lines}\n"
            "Start each with this broker, its name, and this role in its relationship 'manager'."
        )


class DeploymentError(RoleMLError, RuntimeError):
    """A step failed. What was done before it stays: see ``done``."""

    code = "RML-D002"

    def __init__(
        self, failures: Sequence[tuple[str, str, Exception]], done: Mapping[str, Sequence[str]]
    ) -> None:
        #: actor, step and error of each failure
        self.failures = list(failures)
        #: by actor, the steps that were carried out
        self.done = {actor: list(steps) for actor, steps in done.items()}
        failed = "\n".join(f"{actor}: {step} failed: {error}" for actor, step, error in failures)
        before = "".join(f"\n  {actor}: {', '.join(steps)}" for actor, steps in self.done.items() if steps)
        super().__init__(
            f"{failed}\nThis was done before, and stays until the actors are stopped:{before or ' nothing'}"
        )


class Deployment:
    """One run configuration on its way. ``role`` calls the native roles, as a manager of all actors."""

    def __init__(self, role: Role, spec: RunSpec) -> None:
        self._role = role
        self._spec = spec
        self._me = role.profile.name
        self._lock = threading.Lock()
        self._done: dict[str, list[str]] = {}
        self._failures: list[tuple[str, str, Exception]] = []

    def run(self) -> None:
        """Deploy: to the own actor first, then in the configured order, then to all others side by side.

        Raises:
            AbsentError: not all actors are there, or let us manage them.
            DeploymentError: a step failed. Actors that were being deployed to meanwhile are finished with.
        """
        names = [profile["name"] for profile in self._spec.get("profiles") or ()]
        first = dict.fromkeys([self._me, *(self._spec.get("deployment_order") or ())])
        rest = [name for name in names if name not in first]
        self._check_present([*first, *rest])
        for actor in first:
            self._deploy(actor)
            self._raise_if_failed()
        with ThreadPoolExecutor(AT_A_TIME, "roleml-deployment") as pool:
            list(pool.map(self._deploy, rest))
        self._raise_if_failed()
        logger.info("deploy completed")

    def _raise_if_failed(self) -> None:
        if self._failures:
            raise DeploymentError(self._failures, self._done)

    def _check_present(self, actors: Sequence[str]) -> None:
        """Ask each whether it lets us manage it, before anything is changed."""
        errors: dict[str, Exception] = {}

        def ask(actor: str) -> None:
            try:
                self._role.call(_native(actor), "get-role-status", args={"name": NATIVE_ROLE_NAME})
            except RoleInteractionError as e:
                with self._lock:
                    errors[actor] = e

        with ThreadPoolExecutor(AT_A_TIME, "roleml-deployment") as pool:
            list(pool.map(ask, actors))
        if errors:
            raise AbsentError({actor: errors[actor] for actor in actors if actor in errors})

    def _deploy(self, actor: str) -> None:
        with self._lock:
            if self._failures:
                return
            done = self._done.setdefault(actor, [])
        for step, call in self._steps(actor):
            try:
                call()
            except RoleInteractionError as e:
                with self._lock:
                    self._failures.append((actor, step, e))
                return
            done.append(step)
        # one line for each kind of step, as RoleML 0.3 logs it
        for kind in dict.fromkeys(step.partition(" '")[0] for step in done):
            logger.info("%s: deployed %s", actor, kind)

    def _steps(self, actor: str) -> Iterator[tuple[str, _Call]]:
        """What is to be done at an actor, each step with its name."""
        native, spec = _native(actor), self._spec
        call = partial(self._role.call, native)
        addresses = {each["name"]: each.get("address", "") for each in spec.get("profiles") or ()}
        contacts = {name: addresses.get(name, "") for name in (spec.get("connections") or {}).get(actor, ())}
        if contacts:
            yield "contacts", partial(call, "update-contacts", args={"contacts": contacts})
        for name, members in (spec.get("relationships") or {}).get(actor, {}).items():
            instances = [
                RoleInstanceID(each.actor_name or actor, each.instance_name)
                for each in parse_instances(members, name)
            ]
            if instances:
                change = {"relationship_name": name, "op": "add", "instances": instances}
                yield f"relationships '{name}'", partial(call, "update-relationship", args=change)
        for alias, original in (spec.get("relationship_links") or {}).get(actor, {}).items():
            link = {"from_relationship_name": alias, "to_relationship_name": original}
            yield f"relationship links '{alias}'", partial(call, "add-relationship-link", args=link)
        for name, role in (spec.get("roles") or {}).get(actor, {}).items():
            assignment = {"name": name, "spec": role if isinstance(role, Mapping) else {"class": role}}
            yield f"roles '{name}'", partial(self._assign, native, assignment)

    def _assign(self, native: RoleInstanceID, assignment: dict[str, Any]) -> None:
        self._role.call_task(native, "assign-role", args=assignment).result()


def _native(actor: str) -> RoleInstanceID:
    return RoleInstanceID(actor, NATIVE_ROLE_NAME)

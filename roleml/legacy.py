"""Names of RoleML 0.3 that published configurations and programs still import.

Two tables, no files: ``MOVED`` gives an old module path the contents of the module that is its home
today; ``COMPONENTS`` makes the engine classes that a configuration may name. The broker does what those
classes did, so a component only loads, is accepted, and warns once (see ``core.builders``).

The tables become importable through one import hook, which :func:`install` adds at ``import roleml``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar, Literal

__all__ = ["COMPONENTS", "MOVED", "LegacyComponent", "install"]

#: old module path -> its home today
MOVED: dict[str, str] = {
    "roleml.actor.group.base": "roleml.core.actor.group.base",
    "roleml.actor.group.helpers": "roleml.core.actor.group.helpers",
    "roleml.actor.group.makers": "roleml.core.actor.group.makers",
    "roleml.actor.group.impl.null": "roleml.core.actor.group.impl.null",
    "roleml.actor.group.impl.sequential": "roleml.core.actor.group.impl.sequential",
    "roleml.actor.group.impl.threaded": "roleml.core.actor.group.impl.threaded",
    "roleml.core.actor.base": "roleml.core.actor.actor",
    "roleml.core.actor.default": "roleml.core.builders.actor",
    "roleml.core.actor.default.bootstrap": "roleml.core.builders.actor",
    "roleml.core.actor.default.native": "roleml.core.actor.native",
    "roleml.core.actor.default.managers.event": "roleml.core.actor.events",
    "roleml.core.actor.default.managers.task": "roleml.core.actor.promise",
    "roleml.core.actor.manager.helpers": "roleml.core.actor.conditions",
    "roleml.core.messaging.exceptions": "roleml.messaging.exceptions",
    "roleml.core.messaging.types": "roleml.core.role.types",
    "roleml.library.workload.datasets.base": "roleml.library.workload.datasets.bases",
    "roleml.library.workload.models.protocols": "roleml.library.workload.models.bases",
}

Kind = Literal["invoker", "provider", "messaging", "collective"]

#: module path -> (class name, what it was, mode); the mode is what a component still decides
COMPONENTS: dict[str, list[tuple[str, Kind, str | None]]] = {
    "roleml.extensions.messaging.invokers.requests": [("RequestsProcedureInvoker", "invoker", None)],
    "roleml.extensions.messaging.providers.flask": [("FlaskProcedureProvider", "provider", None)],
    "roleml.extensions.messaging.comb.grpc.component": [("GRPCMessagingComponent", "messaging", None)],
    "roleml.extensions.messaging.default.comb": [("DefaultMessagingComponent", "messaging", None)],
    "roleml.extensions.messaging.default.separate": [
        ("DefaultProcedureInvoker", "invoker", None),
        ("DefaultProcedureProvider", "provider", None),
    ],
    "roleml.core.messaging.null": [
        ("ProcedureInvokerDisabled", "invoker", "disabled"),
        ("ProcedureProviderDisabled", "provider", "disabled"),
        ("MessagingComponentDisabled", "messaging", "disabled"),
    ],
    "roleml.core.actor.group.base": [("CollectiveImplementor", "collective", None)],
    "roleml.core.actor.group.impl.threaded": [("ThreadedCollectiveImplementor", "collective", "parallel")],
    "roleml.core.actor.group.impl.sequential": [
        ("SequentialCollectiveImplementor", "collective", "sequential")
    ],
    "roleml.core.actor.group.impl.null": [("CollectiveImplementorDisabled", "collective", "disabled")],
}


class LegacyComponent:
    """A component class of RoleML 0.3: accepted wherever it was, and without work of its own."""

    legacy_name: ClassVar[str]
    kind: ClassVar[Kind]
    mode: ClassVar[str | None]

    def __init__(self, *_: Any, **options: Any) -> None:
        self.options = options


class _LegacyFinder:
    """Answers imports of the paths in the two tables, and of the packages above them.

    Finder and loader by protocol only: importing ``importlib.abc`` would take longer than all of roleml's own
    light modules.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in MOVED or fullname in COMPONENTS:
            is_package = _is_parent(fullname)
        elif _is_parent(fullname):
            is_package = True
        else:
            return None
        return ModuleSpec(fullname, self, is_package=is_package)  # type: ignore[arg-type]  # a loader by protocol

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name in MOVED:
            home = importlib.import_module(MOVED[name])
            module.__dict__.update(
                {key: value for key, value in vars(home).items() if not key.startswith("__")}
            )
            module.__all__ = getattr(home, "__all__", [])  # type: ignore[attr-defined]  # a module's own export list
        for class_name, kind, mode in COMPONENTS.get(name, ()):
            fields = {"legacy_name": class_name, "kind": kind, "mode": mode, "__module__": name}
            setattr(module, class_name, type(class_name, (LegacyComponent,), fields))


def _is_parent(fullname: str) -> bool:
    prefix = fullname + "."
    return any(path.startswith(prefix) for table in (MOVED, COMPONENTS) for path in table)


_FINDER = _LegacyFinder()


def install() -> None:
    """Make the tables importable. Calling it again changes nothing.

    The hook stands last, so a real module of the same path always wins.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)

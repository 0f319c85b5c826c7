"""Component classes of RoleML 0.3 in a configuration: accepted, and said to be replaced by the broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from roleml.core.builders.errors import Problems, WrongTypeError
from roleml.core.builders.resolve import MISSING, resolve

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = [
    "COMPONENT_KEYS",
    "Component",
    "GroupMode",
    "find_component",
    "group_mode",
    "messaging_is_disabled",
]

GroupMode = Literal["parallel", "sequential", "disabled"]

logger = logging.getLogger("roleml.actor")

# configuration key -> the kinds of components that may stand there
_KINDS = {
    "procedure_invoker": ("invoker", "messaging"),
    "procedure_provider": ("provider", "messaging"),
    "messaging_component": ("messaging",),
    "collective_implementor": ("collective",),
}

COMPONENT_KEYS = tuple(_KINDS)

# what a component for group calls still changes, by its mode
_GROUP_EFFECTS = {
    "sequential": "the members of a group are called one after the other",
    "disabled": "group calls are refused",
}

_lock = threading.Lock()
_announced: set[str] = set()


class Component(NamedTuple):
    """What is left of a component: its name, and what it still decides (`'disabled'` and the like)."""

    name: str
    mode: str | None


def find_component(value: Any, key: str, problems: Problems, *, within: KeyPath = ()) -> Component | None:
    """The component that the configuration at `within` names under `key`, None if it names none or a wrong
    one.
    """
    if value is None:
        return None
    path: KeyPath = (*within, key, "type") if isinstance(value, Mapping) else (*within, key)
    target = value["type"] if isinstance(value, Mapping) else value
    cls = resolve(target, path, problems)
    if cls is MISSING:
        return None
    # known by its attributes: the table of these classes belongs to the package, and is not imported here
    name, kind = getattr(cls, "legacy_name", None), getattr(cls, "kind", None)
    if not isinstance(cls, type) or not isinstance(name, str):
        instead = (
            "remove it" if key == "collective_implementor" else "choose the broker with the key 'broker'"
        )
        text = f"{target!r} is not one of the component classes that are accepted here; {instead} instead"
    elif kind not in _KINDS[key]:
        text = (
            f"{name} belongs to another key: it is of the kind {kind!r}, expected {' or '.join(_KINDS[key])}"
        )
    else:
        component = Component(name, getattr(cls, "mode", None))
        _announce(component, key)
        return component
    problems.add(path, text, WrongTypeError, at_value=True)
    return None


def messaging_is_disabled(components: list[Component]) -> bool:
    """Whether messaging components were named, and none that works."""
    return bool(components) and all(component.mode == "disabled" for component in components)


def group_mode(component: Component | None) -> GroupMode:
    """How group calls go about. Without a component: in parallel."""
    return "parallel" if component is None or component.mode is None else cast("GroupMode", component.mode)


def _announce(component: Component, key: str) -> None:
    name, mode = component
    with _lock:
        if name in _announced:
            return
        _announced.add(name)
    effect = _GROUP_EFFECTS.get(mode or "") if key == "collective_implementor" else None
    if effect is not None:
        logger.warning("%s is accepted: %s. Without %r, all are called at once", name, effect, key)
        return
    logger.warning("%s is accepted, but the broker does this work now: %r needs no value any more", name, key)

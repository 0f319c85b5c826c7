"""Groups of role instances to call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from roleml.core.context import Context, RoleInstanceID, as_instance
from roleml.shared.collections.frozen import OrderedFrozenSet

__all__ = ["ActorGroup", "Relationship", "RoleInstances"]


class ActorGroup(ABC):
    """Something that knows which role instances belong to it."""

    @property
    @abstractmethod
    def targets(self) -> Iterable[RoleInstanceID]:
        """The members, as they are now."""


class Relationship(ActorGroup):
    """The members of a relationship of one actor.

    Without a context it is that of the actor whose handler constructs this object; outside of handlers, that
    of the actor constructed last (see `Context.active_context`).
    """

    def __init__(self, name: str, context: Context | None = None) -> None:
        self.name = name
        self._relationships = (Context.active_context() if context is None else context).relationships

    @property
    def targets(self) -> OrderedFrozenSet[RoleInstanceID]:
        """An immutable snapshot, new each time; empty for an unknown relationship."""
        return self._relationships.get_relationship_view(self.name)


class RoleInstances(ActorGroup):
    """Role instances given one by one, as ids or plain tuples; the group keeps their order."""

    def __init__(self, instances: Iterable[tuple[str, str]]) -> None:
        self._targets = OrderedFrozenSet(map(as_instance, instances))

    @property
    def targets(self) -> OrderedFrozenSet[RoleInstanceID]:
        return self._targets

"""Actors, their roles, and who talks to whom, with actors of one kind drawn as one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roleml.cli.check.fitting import ActorView
from roleml.cli.graph.channels import calls_of

__all__ = ["Edge", "Group", "Topology"]


@dataclass(frozen=True)
class Edge:
    """From a role, or (``""``) an actor as a whole, to a role; both as ``(group, role)``."""

    source: tuple[str, str]
    target: tuple[str, str]
    #: what is called; the events listened to; or the relationship, if no more is known
    labels: tuple[str, ...]
    #: ``call``, ``event`` (to the listener), or ``relationship``
    kind: str


@dataclass
class Group:
    """One actor, or several that have the same roles, know the same others and are known to the same."""

    names: list[str]
    #: role names to the names of their classes
    roles: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.names[0]

    @property
    def label(self) -> str:
        if len(self.names) < 3:
            return ", ".join(self.names)
        return f"{self.names[0]} ... {self.names[-1]} ({len(self.names)})"


@dataclass
class Topology:
    """What is drawn."""

    groups: list[Group]
    edges: list[Edge]

    @staticmethod
    def of(actors: Mapping[str, ActorView]) -> Topology:
        """The topology of a configuration, as `roleml.cli.check.files.read` sees it."""
        groups = _groups(actors)
        group_of = {name: group for group in groups for name in group.names}
        edges: dict[tuple[tuple[str, str], tuple[str, str], str], set[str]] = {}

        def add(source: tuple[str, str], target: tuple[str, str], label: str, kind: str) -> None:
            keyed = [(group_of[actor].key, role) for actor, role in (source, target)]
            edges.setdefault((keyed[0], keyed[1], kind), set()).add(label)

        for actor in actors.values():
            explained: set[str] = set()
            for name, hosted in actor.roles.items():
                if hosted.cls is None:
                    continue
                for relationship, channel in calls_of(hosted.cls):
                    for target in _targets(actor, relationship, actors):
                        add((actor.name, name), target, channel, "call")
                        explained.add(actor.links.get(relationship, (relationship, ()))[0])
                for wanted in hosted.cls.event_handlers.values():
                    for target in _targets(actor, wanted.relationship, actors):
                        add(target, (actor.name, name), wanted.channel_name, "event")
                        explained.add(actor.links.get(wanted.relationship, (wanted.relationship, ()))[0])
            for relationship in actor.relationships:
                if relationship not in explained and relationship != "manager":
                    for target in _targets(actor, relationship, actors):
                        add((actor.name, ""), target, relationship, "relationship")
        return Topology(
            groups,
            [
                Edge(source, target, tuple(sorted(labels)), kind)
                for (source, target, kind), labels in sorted(edges.items())
            ],
        )


def _targets(
    actor: ActorView, relationship: str, actors: Mapping[str, ActorView]
) -> Iterable[tuple[str, str]]:
    instances = [member.instance for member in actor.members(relationship)]
    known = [(a, r) for a, r in instances if a in actors and r in actors[a].roles]
    if not instances and relationship in actor.roles:
        return [(actor.name, relationship)]
    return known


def _groups(actors: Mapping[str, ActorView]) -> list[Group]:
    known_by: dict[str, set[tuple[str, str, str]]] = {name: set() for name in actors}
    for actor in actors.values():
        for relationship, members in actor.relationships.items():
            for member in members:
                other, role = member.instance
                if other in known_by and other != actor.name:
                    known_by[other].add((actor.name, relationship, role))
    groups: dict[object, Group] = {}
    for actor in actors.values():
        roles = {name: hosted.cls.__name__ if hosted.cls else "" for name, hosted in actor.roles.items()}
        own = frozenset(
            (relationship, "" if member.instance[0] == actor.name else member.instance[0], member.instance[1])
            for relationship, members in actor.relationships.items()
            for member in members
        )
        stem = re.sub(r"\d+$", "", actor.name)
        signature = (stem, tuple(roles.items()), own, frozenset(known_by[actor.name]))
        groups.setdefault(signature, Group([], roles)).names.append(actor.name)
    return list(groups.values())

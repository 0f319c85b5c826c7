"""Actors, their roles, and who talks to whom, with actors of one kind drawn as one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roleml.cli.check.fitting import ActorView
from roleml.cli.graph.channels import calls_of
from roleml.core.actor.native import NATIVE_ROLE_NAME

__all__ = ["Edge", "Group", "Party", "Topology"]


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
class Party:
    """An actor, as far as it is drawn: the classes of its roles by name, and who is in its relationships."""

    name: str
    roles: dict[str, str] = field(default_factory=dict)
    relationships: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass
class Topology:
    """What is drawn."""

    groups: list[Group]
    edges: list[Edge]

    @staticmethod
    def of(actors: Mapping[str, ActorView]) -> Topology:
        """The topology of a configuration, as `roleml.cli.check.files.read` sees it."""
        drawing = _Drawing([_party_of(actor) for actor in actors.values()])
        for actor in actors.values():
            explained: set[str] = set()
            for name, hosted in actor.roles.items():
                if hosted.cls is None:
                    continue
                for relationship, channel in calls_of(hosted.cls):
                    for target in _targets(actor, relationship, actors):
                        drawing.add((actor.name, name), target, channel, "call")
                        explained.add(actor.links.get(relationship, (relationship, ()))[0])
                for wanted in hosted.cls.event_handlers.values():
                    for target in _targets(actor, wanted.relationship, actors):
                        drawing.add(target, (actor.name, name), wanted.channel_name, "event")
                        explained.add(actor.links.get(wanted.relationship, (wanted.relationship, ()))[0])
            for relationship in actor.relationships:
                if relationship not in explained and relationship != "manager":
                    for target in _targets(actor, relationship, actors):
                        drawing.add((actor.name, ""), target, relationship, "relationship")
        return drawing.done()

    @staticmethod
    def live(reports: Mapping[str, Mapping[str, Any]]) -> Topology:
        """The topology of actors that run, out of their reports (`roleml.core.actor.reports`).

        Calls are those that were made, with their numbers. Native roles, and actors that only look, are left
        out.
        """
        parties = [party for party in map(_party_in, reports.values()) if party.roles]
        there = {(party.name, role) for party in parties for role in party.roles}
        drawing = _Drawing(parties)
        for party in parties:
            report, met = reports[party.name], set()
            for call in report["calls"]:
                target = _pair(call["target"])
                if {target, (party.name, call["role"])} <= there:
                    drawing.add((party.name, call["role"]), target, call["channel"], "call", call["number"])
                    met.add(target)
            for wanted in report["subscriptions"]:
                source = _pair(wanted["source"])
                if source in there:
                    drawing.add(source, (party.name, wanted["role"]), wanted["channel"], "event")
                    met.add(source)
            for relationship, members in party.relationships.items():
                others = [member for member in members if member in there and member[0] != party.name]
                if relationship != "manager" and not met.intersection(members):
                    for member in others:
                        drawing.add((party.name, ""), member, relationship, "relationship")
        return drawing.done()


class _Drawing:
    """Gathers edges, with actors of one kind as one."""

    def __init__(self, parties: Iterable[Party]) -> None:
        self._groups = _groups(list(parties))
        self._group_of = {name: group for group in self._groups for name in group.names}
        self._edges: dict[tuple[tuple[str, str], tuple[str, str], str], Counter[str]] = {}

    def add(
        self, source: tuple[str, str], target: tuple[str, str], label: str, kind: str, number: int = 0
    ) -> None:
        ends = [(self._group_of[actor].key, role) for actor, role in (source, target)]
        self._edges.setdefault((ends[0], ends[1], kind), Counter())[label] += number

    def done(self) -> Topology:
        return Topology(
            self._groups,
            [
                Edge(source, target, tuple(_counted(*each) for each in sorted(labels.items())), kind)
                for (source, target, kind), labels in sorted(self._edges.items())
            ],
        )


def _counted(label: str, number: int) -> str:
    return f"{label} x{number}" if number else label


def _targets(
    actor: ActorView, relationship: str, actors: Mapping[str, ActorView]
) -> Iterable[tuple[str, str]]:
    instances = [member.instance for member in actor.members(relationship)]
    known = [(a, r) for a, r in instances if a in actors and r in actors[a].roles]
    if not instances and relationship in actor.roles:
        return [(actor.name, relationship)]
    return known


def _party_of(actor: ActorView) -> Party:
    return Party(
        actor.name,
        {name: hosted.cls.__name__ if hosted.cls else "" for name, hosted in actor.roles.items()},
        {name: [member.instance for member in members] for name, members in actor.relationships.items()},
    )


def _party_in(report: Mapping[str, Any]) -> Party:
    roles = {
        name: role.get("class", "").rpartition(".")[2]
        for name, role in report["roles"].items()
        if name != NATIVE_ROLE_NAME
    }
    relationships = {
        name: [_pair(member) for member in members]
        for name, members in report["relationships"].items()
        if name not in ("/", *roles)  # an actor's own roles
    }
    return Party(report["actor"], roles, relationships)


def _pair(instance: str) -> tuple[str, str]:
    actor, _, role = instance.partition("/")
    return actor, role


def _groups(parties: Sequence[Party]) -> list[Group]:
    known_by: dict[str, set[tuple[str, str, str]]] = {party.name: set() for party in parties}
    for party in parties:
        for relationship, members in party.relationships.items():
            for other, role in members:
                if other in known_by and other != party.name:
                    known_by[other].add((party.name, relationship, role))
    groups: dict[object, Group] = {}
    for party in parties:
        own = frozenset(
            (relationship, "" if other == party.name else other, role)
            for relationship, members in party.relationships.items()
            for other, role in members
        )
        stem = re.sub(r"\d+$", "", party.name)
        signature = (stem, tuple(party.roles.items()), own, frozenset(known_by[party.name]))
        groups.setdefault(signature, Group([], party.roles)).names.append(party.name)
    return list(groups.values())

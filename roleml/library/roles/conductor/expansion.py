"""From a template to a configuration that says everything for each actor by its name."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from roleml.library.roles.conductor.helpers import apply_templates, detect_templates, match_actors
from roleml.library.roles.conductor.types import RunSpec, RunSpecTemplate
from roleml.shared.suggestions import nearest

__all__ = ["expand"]

logger = logging.getLogger("roleml.conductor")


def expand(
    template: RunSpecTemplate | Mapping[str, Any],
    conductor: str,
    *,
    warn: Callable[[str], object] = logger.warning,
) -> RunSpec:
    """What a valid template says for each actor. ``conductor`` is the actor that deploys.

    Patterns of roles look at ``profiles`` and the conductor, those of connections and relationships at
    ``profiles_separate`` too, and what they look for among all actors. Actors come in the order of the
    profiles. The template itself is not modified. What ``warn`` gets names a pattern that matches nobody;
    it goes to the log.
    """
    actors = _Actors(template, conductor, warn)
    spec: dict[str, Any] = {
        "profiles": actors.profiles,
        "roles": _roles(template.get("roles") or {}, actors),
        "connections": _connections(template, actors),
        "relationships": _relationships(template, actors),
        "relationship_links": _links(template.get("relationship_links") or {}, actors),
        "deployment_order": _order(template.get("deployment_order") or (), actors, conductor),
        "fixed": True,
    }
    if template.get("experiment") is not None:
        spec["experiment"] = copy.deepcopy(template["experiment"])
    return cast("RunSpec", spec)


class _Actors:
    """Who there is, as patterns see it."""

    def __init__(self, template: Mapping[str, Any], conductor: str, warn: Callable[[str], object]) -> None:
        self._warn = warn
        groups = [
            [profile for profile in template.get(key) or () if profile["name"] != conductor]
            for key in ("profiles", "profiles_separate", "profiles_individual")
        ]
        batch, separate, individual = ([profile["name"] for profile in group] for group in groups)
        self.batch = [*batch, conductor]
        self.served = [*batch, *separate, conductor]
        self.all = [*batch, *separate, *individual, conductor]
        self.profiles = [
            {key: profile[key] for key in ("name", "address") if profile.get(key) is not None}
            for group in groups
            for profile in group
        ]

    def match(self, among: Sequence[str], pattern: str, where: str) -> list[str]:
        found = match_actors(among, pattern)
        if not found:
            near = nearest(pattern, among)
            hint = f"; the nearest is {near}" if near else ""
            self._warn(f"{where}: {pattern!r} matches none of the {len(among)} actors{hint}")
        return found


def _roles(rules: Mapping[str, Mapping[str, Any]], actors: _Actors) -> dict[str, dict[str, Any]]:
    roles: dict[str, dict[str, Any]] = {}
    for pattern, specs in rules.items():
        producers = detect_templates(specs)
        for actor in actors.match(actors.batch, pattern, "roles"):
            roles.setdefault(actor, {}).update(apply_templates(specs, producers))
    return roles


def _connections(template: Mapping[str, Any], actors: _Actors) -> dict[str, list[str]]:
    given = template.get("connections") or {}
    connections = {actor: list(others) for actor, others in given.items()}
    for rule in template.get("connection_rules") or ():
        sources, targets = rule.split(" ")
        for actor in actors.match(actors.served, sources, "connection_rules"):
            others = actors.match(actors.all, targets, "connection_rules")
            _extend(connections.setdefault(actor, []), (each for each in others if each != actor))
    return connections


def _relationships(template: Mapping[str, Any], actors: _Actors) -> dict[str, dict[str, list[str]]]:
    given = template.get("relationships") or {}
    relationships = {
        actor: {name: _listed(members) for name, members in each.items()} for actor, each in given.items()
    }
    for pattern, rules in (template.get("relationship_rules") or {}).items():
        for actor in actors.match(actors.served, pattern, "relationship_rules"):
            for name, targets in rules.items():
                members = relationships.setdefault(actor, {}).setdefault(name, [])
                for target in _listed(targets):
                    other, slash, role = target.rpartition("/")
                    found = actors.match(
                        actors.all, other if slash else target, f"relationship_rules.{pattern}"
                    )
                    _extend(members, (f"{each}/{role if slash else name}" for each in found))
    return relationships


def _links(rules: Mapping[str, Mapping[str, str]], actors: _Actors) -> dict[str, dict[str, str]]:
    links: dict[str, dict[str, str]] = {}
    for pattern, aliases in rules.items():
        for actor in actors.match(actors.served, pattern, "relationship_links"):
            links.setdefault(actor, {}).update(aliases)
    return links


def _order(patterns: Iterable[str], actors: _Actors, conductor: str) -> list[str]:
    order: list[str] = []
    for pattern in patterns:
        found = actors.match(actors.all, pattern, "deployment_order")
        _extend(order, (each for each in found if each != conductor))
    return order


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _extend(items: list[str], more: Iterable[str]) -> None:
    """Append what is not there yet."""
    items.extend(each for each in dict.fromkeys(more) if each not in items)

"""Run configurations of the Conductor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from roleml.cli.check.findings import Code, Findings, problems_of
from roleml.cli.check.fitting import ActorView, Check, Hosted, Member, items, listed, mappings
from roleml.core.builders.errors import ConfigError, Problems
from roleml.core.context import RoleInstanceID
from roleml.library.roles.conductor.expansion import expand
from roleml.library.roles.conductor.helpers import match_actors
from roleml.library.roles.conductor.types import validate_run_spec, validate_run_spec_template
from roleml.shared.suggestions import did_you_mean, nearest
from roleml.simulation.experiment import CONDUCTOR, SECTION

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = ["RunCheck"]

_PROFILES = ("profiles", "profiles_separate", "profiles_individual")


class RunCheck(Check):
    """A run configuration."""

    _conductor = Hosted(None, ("experiment",))

    def check(self) -> Findings:
        fixed = self.config.get("fixed") is True
        try:
            if fixed:
                validate_run_spec(self.config, self.marks, conductor=CONDUCTOR)
            else:
                validate_run_spec_template(self.config, self.marks)
        except ConfigError as e:
            self.findings.errors.extend(e.problems)
        self._check_experiment()
        if self.findings.errors and not self._roughly_right():
            return self.findings
        patterns = {pattern for pattern, _ in items(self.config.get("roles"))}
        self._check_patterns(fixed)
        checked: dict[tuple[str, str], Hosted] = {}
        for pattern in patterns:
            for role_name, spec in items(self.config["roles"][pattern]):
                path = ("roles", pattern, role_name)
                checked[pattern, role_name] = self.role(role_name, spec, path)
        names = [each["name"] for key in _PROFILES for each in _named(self.config.get(key))]
        self.actors = {name: ActorView(name, ("profiles",)) for name in [*names, CONDUCTOR]}
        self._place_roles(checked, fixed)
        self._place_relationships(fixed)
        self.fit_together()
        return self.findings

    def _roughly_right(self) -> bool:
        """Whether one can go on in spite of errors of form."""
        lists = all(isinstance(self.config.get(key) or [], list) for key in _PROFILES)
        mappings = all(
            isinstance(self.config.get(key) or {}, Mapping)
            and all(isinstance(each or {}, Mapping) for each in (self.config.get(key) or {}).values())
            for key in ("roles", "relationships", "relationship_rules", "relationship_links")
        )
        return lists and mappings

    def _check_experiment(self) -> None:
        section = self.config.get("experiment")
        if section is not None:
            problems = Problems(self.marks)
            SECTION.check(section, ("experiment",), problems)
            self.findings.errors.extend(problems_of(problems))
        conductor = section.get("conductor") if isinstance(section, Mapping) else None
        if conductor is not None:
            self._conductor = self.role(CONDUCTOR, conductor, ("experiment", "conductor"))

    def _check_patterns(self, fixed: bool) -> None:
        if fixed:
            return
        batch, separate, individual = (
            [each["name"] for each in _named(self.config.get(key))] for key in _PROFILES
        )
        batch, served = [*batch, CONDUCTOR], [*batch, *separate, CONDUCTOR]
        everyone = [*served, *individual]

        def expect(pattern: Any, among: Sequence[str], path: KeyPath, *, at_value: bool = False) -> None:
            try:
                found = match_actors(among, str(pattern))
            except ValueError:
                return  # reported with the form
            if not found:
                near = nearest(str(pattern), among)
                hint = f"; the nearest is {near}" if near else ""
                self.warn(path, f"{pattern!r} matches no actor{hint}", Code.PATTERN, at_value=at_value)

        for pattern, _ in items(self.config.get("roles")):
            expect(pattern, batch, ("roles", pattern))
        for key in ("relationship_rules", "relationship_links"):
            for pattern, _ in items(self.config.get(key)):
                expect(pattern, served, (key, pattern))
        for pattern, rules in items(self.config.get("relationship_rules")):
            for name, targets in items(rules):
                for target in [targets] if isinstance(targets, str) else listed(targets):
                    other = str(target).rpartition("/")[0] or str(target)
                    expect(other, everyone, ("relationship_rules", pattern, name), at_value=True)
        for i, rule in enumerate(listed(self.config.get("connection_rules"))):
            for pattern, among in zip(str(rule).split(" "), (served, everyone), strict=False):
                expect(pattern, among, ("connection_rules", i), at_value=True)
        for i, pattern in enumerate(listed(self.config.get("deployment_order"))):
            expect(pattern, everyone, ("deployment_order", i), at_value=True)

    def _place_roles(self, checked: Mapping[tuple[str, str], Hosted], fixed: bool) -> None:
        self.actors[CONDUCTOR].roles[CONDUCTOR] = self._conductor
        batch = [each["name"] for each in _named(self.config.get("profiles"))]
        for (pattern, role_name), hosted in checked.items():
            try:
                names = [pattern] if fixed else match_actors([*batch, CONDUCTOR], pattern)
            except ValueError:
                continue
            for name in names:
                if name in self.actors and isinstance(role_name, str):
                    self.actors[name].roles[role_name] = hosted

    def _place_relationships(self, fixed: bool) -> None:
        for actor_name, relationships in items(self.config.get("relationships")):
            if actor_name not in self.actors:
                hint = did_you_mean(str(actor_name), self.actors)
                text = f"there is no actor {actor_name!r}{hint}"
                self.error(("relationships", actor_name), text, Code.MEMBER)
                continue
            for name, members in items(relationships):
                several = [members] if isinstance(members, str) else listed(members)
                for i, text in enumerate(several):
                    path: KeyPath = ("relationships", actor_name, name, i)
                    self._add_member(actor_name, name, str(text), path)
        if fixed:
            links = dict(items(self.config.get("relationship_links")))
        else:
            rules: dict[str, Any] = {key: _named(self.config.get(key)) for key in _PROFILES}
            rules |= {key: self.config.get(key) for key in ("relationship_rules", "relationship_links")}
            try:
                spec = expand(
                    rules, CONDUCTOR, warn=lambda _: None
                )  # _check_patterns reports them, with places
            except (ValueError, TypeError, KeyError, AttributeError):  # wrong in form, which is reported
                return
            for actor_name, relationships in (spec.get("relationships") or {}).items():
                for name, members in relationships.items():
                    path = self._rule_of(actor_name, name)
                    for text in members:
                        self._add_member(actor_name, name, text, path)
            links = dict(spec.get("relationship_links") or {})
        for actor_name, aliases in links.items():
            for alias, original in items(aliases):
                if actor_name in self.actors:
                    path = self._link_of(actor_name, alias, fixed)
                    self.actors[actor_name].links[alias] = (str(original), path)

    def _rule_of(self, actor_name: str, name: str) -> KeyPath:
        for pattern, rules in items(self.config.get("relationship_rules")):
            if match_actors([actor_name], pattern) and name in rules:
                return ("relationship_rules", pattern, name)
        return ("relationship_rules",)

    def _link_of(self, actor_name: str, alias: str, fixed: bool) -> KeyPath:
        for pattern, aliases in items(self.config.get("relationship_links")):
            if (pattern == actor_name if fixed else match_actors([actor_name], pattern)) and alias in aliases:
                return ("relationship_links", pattern, alias)
        return ("relationship_links",)

    def _add_member(self, actor_name: str, name: str, text: str, path: KeyPath) -> None:
        other, _, role = text.partition("/")
        if "/" in role:
            return  # reported with the form
        member = Member(RoleInstanceID(other or actor_name, role or name), path)
        self.actors[actor_name].relationships.setdefault(name, []).append(member)


def _named(profiles: Any) -> list[Mapping[str, Any]]:
    """The profiles that have a name; what is wrong with the others is reported with the form."""
    return [each for each in mappings(profiles) if isinstance(each.get("name"), str)]

"""Configurations of actors: one, or a list of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from roleml.cli.check.findings import Code, Findings, problems_of
from roleml.cli.check.fitting import ActorView, Check, Member, items, listed
from roleml.core.builders.actor import ActorBuilder
from roleml.core.builders.components import COMPONENT_KEYS, find_component
from roleml.core.builders.errors import Problems
from roleml.core.builders.role import RoleBuilder
from roleml.core.builders.spec import ACTOR
from roleml.core.context import Relationships
from roleml.messaging.transport import check_url

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath

__all__ = ["ActorsCheck"]


class ActorsCheck(Check):
    """One actor's configuration, or a list of them."""

    def check(self) -> Findings:
        several = "profiles" in self.config
        self.whole = several
        configs: list[tuple[Any, KeyPath]] = [(self.config, ())]
        if several:
            if not isinstance(self.config["profiles"], list) or not self.config["profiles"]:
                self.error(("profiles",), "'profiles' is a list of actor configurations", Code.PROFILES)
                return self.findings
            configs = [(each, ("profiles", i)) for i, each in enumerate(self.config["profiles"])]
        for config, path in configs:
            self._add(config, path)
        self.fit_together()
        return self.findings

    def _add(self, config: Any, path: KeyPath) -> None:
        problems = Problems(self.marks)
        ACTOR.check(config, path, problems)
        role_builder = RoleBuilder.apart()  # presets belong to the process of the actor, which this is not
        if isinstance(config, Mapping):
            self._look_up(config, path, problems)
        for role_cls, preset in items(config.get("element_preset") if isinstance(config, Mapping) else None):
            role_builder.add_preset(role_cls, preset, (*path, "element_preset", role_cls), problems)
        self.findings.errors.extend(problems_of(problems))
        if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
            return
        name = config["name"]
        if name in self.actors:
            text = f"an actor is named {name!r} already: names are addresses"
            self.error((*path, "name"), text, Code.NAME, at_value=True)
            return
        actor = self.actors[name] = ActorView(name, path)
        for role_name, spec in items(config.get("roles")):
            hosted = self.role(role_name, spec, (*path, "roles", role_name), role_builder)
            if isinstance(role_name, str):
                actor.roles[role_name] = hosted
        for relationship, members in items(config.get("relationships")):
            at = (*path, "relationships", relationship)
            builder = ActorBuilder()
            several = [members] if isinstance(members, str) else listed(members)
            for i, text in enumerate(several):
                if not isinstance(text, str):
                    continue  # reported with the form
                where = at if isinstance(members, str) else (*at, i)
                try:
                    instance = builder._parse_instance_name(text, name)
                except ValueError as e:
                    self.error(where, str(e), Code.FORM, at_value=True)
                else:
                    actor.relationships.setdefault(relationship, []).append(Member(instance, where))
        relationships = Relationships(
            {name: [member.instance for member in members] for name, members in actor.relationships.items()}
        )
        for alias, original in items(config.get("relationship_links")):
            where = (*path, "relationship_links", alias)
            try:
                relationships.link_relationship(alias, str(original))
            except ValueError as e:
                self.error(where, str(e), Code.LINK)
            else:
                actor.links[alias] = (str(original), where)

    def _look_up(self, config: Mapping[str, Any], path: KeyPath, problems: Problems) -> None:
        """The folders, the broker and the components, as far as they have the form."""
        for key in ("workdir", "src"):
            folder = config.get(key)
            if isinstance(folder, str) and not os.path.isdir(folder):
                text = f"there is no folder {folder!r} here: it must be there where the actor runs"
                self.warn((*path, key), text, Code.NO_EFFECT, at_value=True)
        broker = config.get("broker")
        if isinstance(broker, str):
            try:
                check_url(broker)
            except ValueError as error:
                problems.add((*path, "broker"), str(error), at_value=True)
        for key in COMPONENT_KEYS:
            value = config.get(key)
            name = value.get("type") if isinstance(value, Mapping) else value
            if isinstance(name, str) and "." in name:
                find_component(value, key, problems, within=path)

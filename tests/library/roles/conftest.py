from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.core.context import ActorProfile, Context
from roleml.core.role.elements import ElementImplementation

Host = Callable[..., rml.Actor]


class Caller(rml.Role):
    """Stands for whoever uses the roles under test, and keeps the events it subscribed to."""

    def __init__(self) -> None:
        super().__init__()
        self.received: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen(self, source: str, channel_name: str) -> None:
        self.subscribe(rml.RoleInstanceID(self.profile.name, source), channel_name, self._on_event)

    def next_event(self) -> dict[str, Any]:
        return self.received.get(timeout=10)

    def _on_event(self, _: Any, args: Mapping[str, Any], payloads: Mapping[str, Any]) -> None:
        self.received.put(dict(args))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Host]:
    """Starts an actor with the roles given, each either a role or a pair of a role and its elements."""
    monkeypatch.chdir(tmp_path)
    actors = []

    def start(
        name: str, roles: Mapping[str, Any], *, relationships: Mapping[str, Any] | None = None, seed: int = 0
    ) -> rml.Actor:
        context = Context.build(
            ActorProfile(name, ""), seed=seed, initial_relationships=dict(relationships or {})
        )
        actor = rml.Actor(context)
        actors.append(actor)
        for role_name, given in roles.items():
            role, elements = given if isinstance(given, tuple) else (given, {})
            actor.add_role(role_name, role)
            for element_name, element in elements.items():
                if not isinstance(element, ElementImplementation):
                    element = ElementImplementation(impl=element)
                actor.implement_element(role_name, element_name, element)
        actor.start()
        return actor

    yield start
    for actor in reversed(actors):
        actor.stop()

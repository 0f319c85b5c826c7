"""Clients register, and the server starts by itself."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

import roleml.essentials as rml
from roleml.core.role.exceptions import HandlerError
from roleml.library.roles.initiator.client import ClientInitiator
from roleml.library.roles.initiator.server import ServerInitiator
from tests.actors import DEADLINE_S, Actors, Probe, at, in_thread


class Server(ServerInitiator):
    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.started: queue.SimpleQueue[list[rml.RoleInstanceID]] = queue.SimpleQueue()

    def register_impl(self, instance: rml.RoleInstanceID) -> None:
        if instance.actor_name == "stranger":
            raise ValueError("strangers are not taken")

    def start_impl(self) -> None:
        self.started.put(list(self.ctx.relationships.get_relationship("trainer")))


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


def serve(actors: Actors, **options: object) -> Server:
    server = Server(**options)
    actors.start("server", {"initiator": server}, relationships={"manager": ["server/initiator"]})
    return server


def join(actors: Actors, name: str) -> None:
    roles: dict[str, rml.Role] = {"trainer": Probe(), "initiator": ClientInitiator()}
    actors.start(name, roles, relationships={"server": ["server/initiator"]})


def test_it_starts_once_when_enough_clients_have_registered(actors: Actors) -> None:
    server = serve(actors, min_clients=3)
    for name in ("a", "b"):
        join(actors, name)
    assert server.started.empty()
    join(actors, "c")
    members = server.started.get(timeout=DEADLINE_S)
    assert sorted(members) == [at("a/trainer"), at("b/trainer"), at("c/trainer")]
    join(actors, "late")
    with pytest.raises(queue.Empty):
        server.started.get(timeout=0.05)


def test_a_client_that_registers_again_counts_once(actors: Actors) -> None:
    server = serve(actors, min_clients=2)
    client = Probe()
    actors.start("a", {"client": client})
    for _ in range(3):
        client.call(at("server/initiator"), "register")
    assert server.started.empty()
    client.call(at("server/initiator"), "register", args={"instance_name": "second"})
    assert sorted(server.started.get(timeout=DEADLINE_S)) == [at("a/client"), at("a/second")]


def test_many_at_once_are_all_taken(actors: Actors) -> None:
    server = serve(actors, min_clients=8)
    for joining in [in_thread(join, actors, f"client{number}") for number in range(8)]:
        joining.result(DEADLINE_S)
    assert len(server.started.get(timeout=DEADLINE_S)) == 8


def test_it_starts_with_those_it_has_when_the_time_is_over(actors: Actors) -> None:
    server = serve(actors, min_clients=3, max_seconds=0.05)
    assert len(server.started.get(timeout=DEADLINE_S)) < 3


def test_stopping_it_does_not_start_it(actors: Actors) -> None:
    server = serve(actors, min_clients=3)
    actors.stop()
    assert server.started.empty()


def test_the_application_may_refuse_a_client(actors: Actors) -> None:
    server = serve(actors, min_clients=1)
    client = Probe()
    actors.start("stranger", {"client": client})
    with pytest.raises(HandlerError, match="strangers are not taken"):
        client.call(at("server/initiator"), "register")
    assert server.started.empty()

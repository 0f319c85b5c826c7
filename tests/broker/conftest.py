"""A provisioned application with alice, bob and mallory, whom tests of attacks share; and a managed vhost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actors import Actors
from tests.broker.broker import Broker
from tests.broker.members import Bob, Member
from tests.broker.node import Node
from tests.broker.provisioned import Provisioned, provisioned


@pytest.fixture
def place(broker_node: Broker, broker_vhost: str) -> Iterator[Provisioned]:
    with provisioned(broker_node, broker_vhost, ["alice", "bob", "mallory"]) as place:
        yield place


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


@pytest.fixture
def mallory(place: Provisioned) -> Iterator[Member]:
    member = Member(place)
    yield member
    if member.connection.is_open:
        member.connection.close()


@pytest.fixture
def bob(place: Provisioned, actors: Actors) -> Bob:
    return Bob(place, actors)


@pytest.fixture
def managed_vhost(managed_node: Node) -> Iterator[str]:
    """A vhost of the node that has the management plugin."""
    managed_node.add_vhost("app")
    yield "app"
    managed_node.delete_vhost("app")


@pytest.fixture
def managed_actors(managed_node: Node, managed_vhost: str, actors: Actors) -> Actors:
    """Actors there."""
    actors.broker = managed_node.url(vhost=managed_vhost)
    return actors

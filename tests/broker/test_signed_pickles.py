"""Pickles over a broker that anybody may use: only those with the key are read, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service
from roleml.core.role.exceptions import RoleInteractionError
from roleml.messaging.codec import Codec
from roleml.messaging.rabbitmq import names
from tests.actors import DEADLINE_S, Actors, wait_until
from tests.broker.client import open_connection

WHO = names.CALL, "to.bob.worker.service.take"
ran: list[str] = []


def note() -> str:
    ran.append("read")
    return "ran"


class Runs:
    def __reduce__(self) -> Any:
        return note, ()


class Worker(Role):
    @Service(expand=True)
    def take(self, caller: RoleInstanceID, thing: Any) -> Any:
        return str(thing)


@pytest.fixture
def actors() -> Iterator[Actors]:
    ran.clear()
    actors = Actors()
    yield actors
    actors.stop()


def key_file(folder: Path, key: str) -> Path:
    file = folder / key
    file.write_text(key * 32)
    file.chmod(0o600)
    return file


def start(actors: Actors, name: str, url: str, role: Role, key: Path | None = None) -> Role:
    actors.start(name, {"worker": role}, relationships={"bob": ["bob/worker"]}, broker=url,
                 allow_pickle=key is not None, pickle_key_file=key)  # fmt: skip
    return role


def test_actors_that_share_a_key_exchange_pickles(broker_url: str, actors: Actors, tmp_path: Path) -> None:
    key = key_file(tmp_path, "k")
    start(actors, "bob", broker_url, Worker(), key)
    alice = start(actors, "alice", broker_url, Role(), key)
    assert alice.call("bob", "take", {"thing": Runs()}) == "ran"
    assert ran == ["read"]


def test_a_pickle_of_another_key_fails_its_call(broker_url: str, actors: Actors, tmp_path: Path) -> None:
    start(actors, "bob", broker_url, Worker(), key_file(tmp_path, "k"))
    alice = start(actors, "alice", broker_url, Role(), key_file(tmp_path, "x"))
    with pytest.raises(RoleInteractionError, match="signed with another key"):
        alice.call("bob", "take", {"thing": Runs()})
    assert ran == []


def test_a_pickle_where_none_is_wanted_fails_its_call(
    broker_url: str, actors: Actors, tmp_path: Path
) -> None:
    start(actors, "bob", broker_url, Worker())
    alice = start(actors, "alice", broker_url, Role(), key_file(tmp_path, "k"))
    with pytest.raises(RoleInteractionError, match="allow_pickle: true in this actor's configuration"):
        alice.call("bob", "take", {"thing": Runs()})
    assert ran == []


class Eavesdropper:
    """Somebody with all rights on the broker, and without the key."""

    def __init__(self, url: str) -> None:
        self.connection = open_connection(url)
        self.channel = self.connection.channel()
        self.channel.queue_declare("mallory", exclusive=True)
        self.channel.confirm_delivery()

    def listen(self) -> None:
        self.channel.queue_bind("mallory", *WHO)

    def captured(self) -> tuple[Any, bytes]:
        found: list[tuple[Any, bytes]] = []

        def look() -> bool:
            _, properties, body = self.channel.basic_get("mallory", auto_ack=True)
            if properties is not None:
                found.append((properties, body))
            return bool(found)

        wait_until(look, DEADLINE_S)
        return found[0]

    def send(self, properties: Any, body: bytes, **headers: Any) -> None:
        properties.message_id = f"mallory-{headers}"
        properties.headers = properties.headers | headers
        self.channel.basic_publish(*WHO, body, properties, mandatory=True)


@pytest.fixture
def mallory(broker_url: str) -> Iterator[Eavesdropper]:
    eavesdropper = Eavesdropper(broker_url)
    yield eavesdropper
    eavesdropper.connection.close()


def test_a_captured_pickle_is_not_read_again_nor_in_another_call(
    broker_url: str,
    actors: Actors,
    tmp_path: Path,
    mallory: Eavesdropper,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = key_file(tmp_path, "k")
    start(actors, "bob", broker_url, Worker(), key)
    asking = start(actors, "alice", broker_url, Role(), key)
    mallory.listen()
    asking.call("bob", "take", {"thing": Runs()})
    properties, body = mallory.captured()
    unsigned = {key: value for key, value in properties.headers.items() if key != "seal"}
    with caplog.at_level(logging.INFO, "roleml"):
        mallory.send(properties, body)  # as it was
        mallory.send(properties, body, id="another call")
        mallory.send(
            properties, Codec(allow_pickle=True).encode(((), {"thing": Runs()}, {})).to_frame(), x="y"
        )
        properties.headers = unsigned
        mallory.send(properties, body, z="unsigned")
        # Bob answers each of them to alice, who asked for none.
        wait_until(lambda: caplog.text.count("to an unknown request was dropped") == 4)
    assert ran == ["read"]
    assert asking.call("bob", "take", {"thing": 5}) == "5"

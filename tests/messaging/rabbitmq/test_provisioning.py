"""The generated permissions as regular expressions; tests/broker/test_provisioning.py has brokers obey."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from roleml.messaging.envelope import Kind
from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.provisioning import (
    Provision,
    grant_of,
    new_password,
    password_hash,
)

OWN_QUEUES = [
    names.request_queue("alice", "trainer", Kind.SERVICE),
    names.request_queue("alice", "trainer", Kind.TASK),
    *(
        queue("alice")
        for queue in (
            names.inbox_queue,
            names.events_queue,
            names.alive_queue,
            names.will_queue,
            names.dead_queue,
        )
    ),
]
OWN_EXCHANGE = names.event_exchange(("alice", "trainer"), "loss")
SHARED = [names.CALL, names.PRESENCE]


def allows(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


def test_an_actor_may_make_and_use_what_is_its_own() -> None:
    grant = grant_of("alice")
    for name in [*OWN_QUEUES, OWN_EXCHANGE]:
        assert all(allows(pattern, name) for pattern in (grant.configure, grant.write, grant.read)), name


@pytest.mark.parametrize("other", ["bob", "alice2", "al", "alice-b", "ALICE"])
def test_what_belongs_to_another_it_may_only_listen_to_as_events(other: str) -> None:
    grant = grant_of("alice")
    for name in [*OWN_QUEUES, OWN_EXCHANGE]:
        theirs = name.replace("alice", other)
        assert not allows(grant.configure, theirs)
        assert not allows(grant.write, theirs)
        assert allows(grant.read, theirs) == theirs.startswith("x.")


def test_shared_exchanges_are_used_and_not_made() -> None:
    grant = grant_of("alice")
    for exchange in SHARED:
        assert not allows(grant.configure, exchange)
        assert allows(grant.write, exchange)
        assert allows(grant.read, exchange)
    for exchange in ("amq.default", "amq.topic", "rml.other", names.BOUNCE):
        assert not allows(grant.write, exchange)


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        (names.request_key("bob", "trainer", Kind.TASK, "train"), True),
        (names.inbox_key("bob"), True),
        (names.alive_key("bob"), True),
        (names.will_key("alice"), True),
        (names.dead_key("alice"), True),
        (names.will_key("bob"), False),
        (names.dead_key("bob"), False),
        ("to.#", False),
        ("to.*.trainer.task.train", False),
        ("alice.down", False),
        ("", False),
    ],
)
def test_calls_go_to_anybody_but_not_into_their_wills(key: str, allowed: bool) -> None:
    (call, _) = grant_of("alice").topics
    assert allows(call.write, key) == allowed


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("to.alice.trainer.task.train", True),
        ("to.alice.@inbox", True),
        ("to.bob.@inbox", False),
        ("to.*.@inbox", False),
        ("to.alice.#", False),
        ("#", False),
        ("to.alice2.x", False),
    ],
)
def test_only_calls_to_itself_are_bound(key: str, allowed: bool) -> None:
    (call, _) = grant_of("alice").topics
    assert allows(call.read, key) == allowed


def test_presence_is_announced_for_itself_and_heard_of_anybody() -> None:
    (_, presence) = grant_of("alice").topics
    assert presence.exchange == names.PRESENCE
    for state in ("ready", "down", "lost", "back"):
        assert allows(presence.write, names.presence_key("alice", state))
        assert not allows(presence.write, names.presence_key("bob", state))
    assert allows(presence.read, names.presence_key("bob", "*"))
    assert not allows(presence.read, "#")


@pytest.mark.parametrize("name", ["", "a.b", "a*", "a b", "x" * 65, "rml", "rml-a", "amq", "a\n", "ä", "@a"])
def test_names_that_no_actor_has_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for an actor"):
        grant_of(name)
    with pytest.raises(ValueError, match="is no name for an actor"):
        Provision("/", {name: "x"})


def test_passwords_are_long_and_need_no_quoting_anywhere() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", password) for password in made)


def test_definitions_hold_salted_hashes_and_no_password() -> None:
    definitions = Provision("app", {"alice": "secret", "bob": None}).definitions()
    alice, bob = definitions["users"]
    raw = base64.b64decode(alice["password_hash"])
    assert raw[4:] == hashlib.sha256(raw[:4] + b"secret").digest()
    assert bob["password_hash"] == ""
    assert "secret" not in str(definitions)
    assert password_hash("secret") != password_hash("secret")


def test_a_queue_limit_is_a_policy_that_tells_the_sender() -> None:
    (policy,) = Provision("app", {"alice": "x"}, max_queue_bytes=1000).definitions()["policies"]
    assert policy["definition"] == {"max-length-bytes": 1000, "overflow": "reject-publish"}
    assert Provision("app", {"alice": "x"}).definitions()["policies"] == []


def test_an_application_without_actors_is_refused() -> None:
    with pytest.raises(ValueError, match="no actor"):
        Provision("app", {})


def test_the_script_says_to_rabbitmqctl_what_the_definitions_say(tmp_path: Path) -> None:
    """Run with a rabbitmqctl that writes down what it is told."""
    told = tmp_path / "told"
    fake = tmp_path / "rabbitmqctl"
    fake.write_text(
        f'#!/bin/sh\nexec >> {told}\nshift\nprintf "[%s]" "$@"\n'
        '[ "$1" != import_definitions ] || cat "$2"\nprintf "\\n"\n'
    )
    fake.chmod(0o700)
    provision = Provision("my $vhost", {"alice": "s e'c", "bob": None}, max_queue_bytes=5)
    subprocess.run(
        ["sh", "-c", provision.script()],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        check=True,
        timeout=20,
    )
    lines = told.read_text()
    definitions = provision.definitions()
    imported, _ = json.JSONDecoder().raw_decode(lines[lines.index("{") :])
    assert [user["name"] for user in imported["users"]] == ["alice", "bob"]
    assert imported["vhosts"] == definitions["vhosts"]
    assert imported["exchanges"] == definitions["exchanges"]
    for each in definitions["permissions"]:
        told_so = [each[key] for key in ("vhost", "user", "configure", "write", "read")]
        assert f"[set_permissions][-p]{''.join(f'[{text}]' for text in told_so)}" in lines
    for each in definitions["topic_permissions"]:
        told_so = [each[key] for key in ("vhost", "user", "exchange", "write", "read")]
        assert f"[set_topic_permissions][-p]{''.join(f'[{text}]' for text in told_so)}" in lines
    assert r"[set_policy][-p][my $vhost][rml-limits][^q\.]" in lines
    assert "s e'c" not in provision.script()
    assert {path.name for path in tmp_path.iterdir()} == {"told", "rabbitmqctl"}


def test_the_script_stops_at_the_first_refusal(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", Provision("/", {"alice": "?"}).script()],
        env={"PATH": "/usr/bin:/bin", "RABBITMQCTL": "false", "TMPDIR": str(tmp_path)},
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert not list(tmp_path.iterdir())

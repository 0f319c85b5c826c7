"""What a RabbitMQ needs so that each actor is a user of its own, with the rights of an actor and no more.

An actor may make, fill and read what carries its name: queues ``q.<actor>.*`` and exchanges ``x.<actor>.*``.
It may send calls to anybody (``rml.call``), announce itself (``rml.presence``), and listen to the events
(``x.*``) and the presence of anybody. It cannot listen to the calls of others, nor send in their name. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roleml.messaging.rabbitmq import names

__all__ = ["Grant", "Provision", "TopicGrant", "grant_of", "new_password"]

MAX_CONNECTIONS, MAX_CHANNELS = 8, 64
RESERVED_PREFIXES = ("rml", "amq")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: Bytes that may wait in one queue of an actor, unless another limit is given; 0 is no limit.
UNLIMITED = 0


@dataclass(frozen=True)
class TopicGrant:
    """The routing keys that may be sent to, and the patterns that may be bound to, a topic exchange."""

    exchange: str
    write: str
    read: str


@dataclass(frozen=True)
class Grant:
    """The rights of one user, as regular expressions over the names of queues and exchanges."""

    configure: str
    write: str
    read: str
    topics: tuple[TopicGrant, ...]


def grant_of(actor: str) -> Grant:
    """The rights of an actor's user.

    Raises:
        ValueError: this cannot be the name of an actor.
    """
    _check_name(actor)
    own = rf"(q|x)\.{actor}\..+"
    # Another's will and its tasks set aside have queues bound to rml.call, too: nobody else may write there.
    anyone = r"to\.[^.*#]+\.(?!@(will|dead)$)[^*#]+"
    return Grant(
        configure=f"^{own}$",
        write=rf"^(rml\.(call|presence)|{own})$",
        read=rf"^(rml\.(call|presence)|q\.{actor}\..+|x\..+)$",
        topics=(
            TopicGrant(
                names.CALL, write=rf"^({anyone}|to\.{actor}\.[^*#]+)$", read=rf"^to\.{actor}\.[^*#]+$"
            ),
            TopicGrant(names.PRESENCE, write=rf"^{actor}\.[a-z]+$", read=r"^[^.*#]+\.(\*|[a-z]+)$"),
        ),
    )


def new_password() -> str:
    """A password of 192 random bits that needs no quoting in a URL."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Provision:
    """The users of one application, in a vhost of its own.

    ``passwords`` maps actors to passwords; ``None`` is for a user who can log in by certificate only. Those
    that are also ``observers`` may look at the management pages.
    """

    vhost: str
    passwords: Mapping[str, str | None]
    max_queue_bytes: int = UNLIMITED
    observers: Collection[str] = ()

    def __post_init__(self) -> None:
        if not self.passwords:
            raise ValueError("there is no actor to provision a user for")
        for actor in self.passwords:
            _check_name(actor)

    def definitions(self) -> dict[str, Any]:
        """What the broker's ``load_definitions``, ``import_definitions`` and management API take.

        Passwords are in it as salted hashes.
        """
        grants = {actor: grant_of(actor) for actor in self.passwords}
        return {
            "users": [
                _user(actor, password, ["monitoring"] if actor in self.observers else [])
                for actor, password in self.passwords.items()
            ],
            "vhosts": [{"name": self.vhost}],
            "permissions": [
                {
                    "user": actor,
                    "vhost": self.vhost,
                    "configure": grant.configure,
                    "write": grant.write,
                    "read": grant.read,
                }
                for actor, grant in grants.items()
            ],
            "topic_permissions": [
                {
                    "user": actor,
                    "vhost": self.vhost,
                    "exchange": topic.exchange,
                    "write": topic.write,
                    "read": topic.read,
                }
                for actor, grant in grants.items()
                for topic in grant.topics
            ],
            **self._exchanges(),
            "policies": self._policies(),
        }

    def script(self) -> str:
        """A shell script of ``rabbitmqctl`` calls, for the broker's machine. Passwords in it are hashed."""
        definitions = self.definitions()
        imported = {key: definitions[key] for key in ("users", "vhosts", "exchanges")}
        lines = [_SCRIPT_HEAD.rstrip(), "cat > \"$file\" <<'END'", json.dumps(imported, indent=1), "END"]
        lines += ['ctl import_definitions "$file"', ""]
        for actor in self.passwords:
            grant = grant_of(actor)
            lines.append(self._call("set_permissions", actor, grant.configure, grant.write, grant.read))
            lines += [
                self._call("set_topic_permissions", actor, topic.exchange, topic.write, topic.read)
                for topic in grant.topics
            ]
        for policy in definitions["policies"]:
            definition = json.dumps(policy["definition"])
            call = self._call("set_policy", policy["name"], policy["pattern"], definition)
            lines.append(f"{call} --apply-to {policy['apply-to']}")
        return "\n".join(lines) + "\n"

    def _call(self, command: str, *arguments: str) -> str:
        return " ".join(("ctl", command, "-p", *map(shlex.quote, (self.vhost, *arguments))))

    def _exchanges(self) -> dict[str, Any]:
        return {
            "exchanges": [
                {
                    "name": name,
                    "vhost": self.vhost,
                    "type": "topic",
                    "durable": True,
                    "auto_delete": False,
                    "internal": False,
                    "arguments": {},
                }
                for name in (names.CALL, names.PRESENCE)
            ]
        }

    def _policies(self) -> list[dict[str, Any]]:
        if self.max_queue_bytes == UNLIMITED:
            return []
        # The sender is told, instead of the oldest message being dropped in silence
        definition = {"max-length-bytes": self.max_queue_bytes, "overflow": "reject-publish"}
        return [
            {
                "vhost": self.vhost,
                "name": "rml-limits",
                "pattern": r"^q\.",
                "apply-to": "queues",
                "definition": definition,
                "priority": 0,
            }
        ]


def password_hash(password: str, salt: bytes | None = None) -> str:
    """As RabbitMQ stores it: base64 of four bytes of salt, and the SHA-256 of salt and password."""
    salt = secrets.token_bytes(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def check_names(actors: Iterable[str]) -> None:
    """Raises ``ValueError`` for a name that no actor can have."""
    for actor in actors:
        _check_name(actor)


def _check_name(actor: str) -> None:
    if not _NAME.fullmatch(actor):
        raise ValueError(
            f"{actor!r} is no name for an actor: it consists of letters, digits, '-' and '_', 64 at most"
        )
    if actor.startswith(RESERVED_PREFIXES):
        raise ValueError(f"{actor!r} is no name for an actor: {' and '.join(RESERVED_PREFIXES)} are reserved")


def _limits() -> dict[str, int]:
    return {"max-connections": MAX_CONNECTIONS, "max-channels": MAX_CHANNELS}


def _user(actor: str, password: str | None, tags: list[str]) -> dict[str, Any]:
    return {
        "name": actor,
        "password_hash": "" if password is None else password_hash(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
        "limits": _limits(),
    }


_SCRIPT_HEAD = """\
#!/bin/sh
# Users and permissions of a RoleML application, on the RabbitMQ node of this machine. It may be run again.
set -eu
ctl() { "${RABBITMQCTL:-rabbitmqctl}" --quiet "$@"; }

# Not by standard input, which rabbitmqctl of RabbitMQ 4 cannot read. As root it becomes another user, who
# has to read the file; what it holds of passwords is salted hashes.
file=$(mktemp)
trap 'rm -f "$file"' EXIT
chmod 644 "$file"
"""

"""The actor that the command line is while it calls or listens."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from roleml.cli.command import CommandError
from roleml.cli.launch import chosen_broker
from roleml.core.actor.actor import BaseActor
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.logs import configure_logging
from roleml.core.role.base import Role

__all__ = ["Observer", "observer_name", "observing", "reachable_broker", "target_of"]

ROLE = "cli"


class Observer(Role):
    """Has no channels: it only calls."""


@contextmanager
def observing(
    broker: str | None,
    role: Role,
    relationships: Mapping[str, Sequence[RoleInstanceID]] | None = None,
    name: str | None = None,
) -> Iterator[BaseActor]:
    """``role``, on an actor of its own at a broker, until the block ends; yields the actor.

    Raises:
        CommandError: the broker is one that ends at the process.
        MsgConnectionError: it cannot be used.
    """
    url, name = reachable_broker(broker), name or observer_name()
    configure_logging(name, console_level="WARNING")
    actor = BaseActor(Context.build(ActorProfile(name), initial_relationships=relationships), broker=url)
    try:
        actor.add_role(ROLE, role)
        actor.start()
        yield actor
    finally:
        actor.stop()


def observer_name() -> str:
    """What an observer is called that nobody gave a name."""
    host = re.sub(r"\W", "-", socket.gethostname())[:40]
    return f"observer-{host}-{os.getpid()}"


def reachable_broker(broker: str | None) -> str:
    """The broker that is to be used. Raises CommandError for one that ends at the process."""
    url = chosen_broker(broker)
    if url.startswith(("embedded:", "disabled:")):
        raise CommandError(
            "the embedded broker ends at its process: name another with --broker "
            "amqp://user:password@host/vhost, or with ROLEML_BROKER"
        )
    return url


def target_of(text: str) -> RoleInstanceID:
    """`actor/role`; an actor alone is its native role. Raises CommandError for anything else."""
    actor, slash, role = text.partition("/")
    if not actor or (slash and not role) or "/" in role:
        raise CommandError(f"{text!r} is no role instance: write actor/role, such as server/coordinator")
    return RoleInstanceID(actor, role or "actor")

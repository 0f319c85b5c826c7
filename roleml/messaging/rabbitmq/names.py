"""What things are called on the broker: exchanges, queues, routing keys and queue arguments.

The names are read by people in the management UI, and by the permission rules of a provisioned broker. Actor
and role names hold no dots, so each name can be taken apart again.
"""

from __future__ import annotations

from typing import Any

from roleml.messaging.envelope import Address, Envelope, Kind

__all__ = [
    "BOUNCE",
    "CALL",
    "PRESENCE",
    "alive_queue",
    "call_key",
    "consumer_tag",
    "dead_queue",
    "event_exchange",
    "events_queue",
    "filter_exchange",
    "inbox_queue",
    "presence_key",
    "queue_of",
    "request_queue",
    "uploads_key",
    "uploads_queue",
    "will_queue",
]

CALL = "rml.call"
"""Topic exchange of everything that has one addressee."""
PRESENCE = "rml.presence"
"""Topic exchange of who is there."""
BOUNCE = "rml.bounce"
"""Where the broker puts requests that it gives up on."""

#: Of the names, keys and arguments in this file: counts the changes after which older and newer actors of one
#: application would not find each other's queues.
LAYOUT = 1

#: Seconds after which the broker forgets a queue that nobody has used. Never change a value under one queue
#: name: the broker refuses to declare a queue again with other arguments.
INBOX_EXPIRES_S = 600
SERVICES_EXPIRES_S = 600
TASKS_EXPIRES_S = 7 * 24 * 3600
WILL_EXPIRES_S = 60


def request_queue(actor: str, endpoint: str, kind: Kind) -> str:
    """The queue of a role's services, or of its tasks."""
    return f"q.{actor}.{endpoint}.{kind.value}s"


def consumer_tag(actor: str, endpoint: str, kind: Kind) -> str:
    """Of the consumer of `request_queue`."""
    return f"{actor}/{endpoint}:{kind.value}s"


def inbox_queue(actor: str) -> str:
    """Answers, and what is asked of the actor itself."""
    return f"q.{actor}.@inbox"


def events_queue(actor: str) -> str:
    """Events of other actors, one copy for all roles of this one, and news of who is there."""
    return f"q.{actor}.@events"


def uploads_queue(actor: str) -> str:
    """Large payloads of service requests, one copy for all actors of a process; named after the first."""
    return f"q.{actor}.@uploads"


def alive_queue(actor: str) -> str:
    """Exists exactly while the actor is connected, and belongs to its connection: the lock on its name."""
    return f"q.{actor}.@alive"


def will_queue(actor: str) -> str:
    """Holds the message that the broker publishes when the connection is lost."""
    return f"q.{actor}.@will"


def dead_queue(actor: str) -> str:
    """Tasks that were set aside."""
    return f"q.{actor}.@dead"


def event_exchange(source: Address, channel: str) -> str:
    return f"x.{source[0]}.{source[1]}.{channel}"


def filter_exchange(source: Address, channel: str) -> str:
    """Behind the channel's exchange: passes on what a subscriber's conditions ask for."""
    return f"{event_exchange(source, channel)}.where"


def presence_key(actor: str, state: str) -> str:
    return f"{actor}.{state}"


def call_key(envelope: Envelope) -> str:
    """Where a message with one addressee goes. A request has a key per channel: a missing one is noticed."""
    actor, endpoint = envelope.target
    if envelope.kind in (Kind.SERVICE, Kind.TASK):
        return request_key(actor, endpoint, envelope.kind, envelope.channel)
    return f"to.{actor}.@inbox"


def request_key(actor: str, endpoint: str, kind: Kind, channel: str) -> str:
    return f"to.{actor}.{endpoint}.{kind.value}.{channel}"


def queue_of(key: str) -> str | None:
    """The durable queue that is bound by this key, if there is one: of a role's requests, or an inbox."""
    if key.endswith(".@inbox"):
        return inbox_queue(key.split(".")[1])
    parts = key.split(".", 4)
    if len(parts) == 5 and parts[0] == "to" and parts[3] in (Kind.SERVICE.value, Kind.TASK.value):
        return request_queue(parts[1], parts[2], Kind(parts[3]))
    return None


def alive_key(actor: str) -> str:
    return f"to.{actor}.@alive"


def will_key(actor: str) -> str:
    return f"to.{actor}.@will"


def inbox_key(actor: str) -> str:
    return f"to.{actor}.@inbox"


def uploads_key(actor: str) -> str:
    return f"to.{actor}.@uploads"


def dead_key(actor: str) -> str:
    return f"to.{actor}.@dead"


def _arguments(role: str, kind: str, **extra: Any) -> dict[str, Any]:
    """What a queue's page shows of its purpose. The broker compares none of the ``x-rml-`` arguments."""
    return {"x-rml-role": role, "x-rml-kind": kind, "x-rml-version": LAYOUT, **extra}


def request_arguments(endpoint: str, kind: Kind) -> dict[str, Any]:
    expires_s = SERVICES_EXPIRES_S if kind is Kind.SERVICE else TASKS_EXPIRES_S
    return _arguments(endpoint, kind.value, **{"x-expires": expires_s * 1000})


def inbox_arguments() -> dict[str, Any]:
    return _arguments("@actor", "inbox", **{"x-expires": INBOX_EXPIRES_S * 1000})


def connection_arguments(kind: str) -> dict[str, Any]:
    """Of the queues that go with their connection: ``alive``, ``events`` and ``uploads``."""
    return _arguments("@actor", kind)


def dead_arguments() -> dict[str, Any]:
    return _arguments("@actor", "dead")


def will_arguments(actor: str) -> dict[str, Any]:
    return _arguments(
        "@actor",
        "will",
        **{
            "x-expires": WILL_EXPIRES_S * 1000,
            "x-message-ttl": 0,
            "x-dead-letter-exchange": PRESENCE,
            "x-dead-letter-routing-key": presence_key(actor, "lost"),
        },
    )

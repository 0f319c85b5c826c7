"""What actors leave on a broker: their queues of tasks, and what is there of one that was killed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.management import ManagementAPI

__all__ = ["Leftovers", "leftovers"]

_OWNED = re.compile(r"[qx]\.(?P<actor>[A-Za-z0-9_-]+)\..+")
#: those whose messages somebody waits for, or is to look at
_KEPT = re.compile(r"q\.[^.]+\.([^.]+\.tasks|@dead)")


@dataclass
class Leftovers:
    """What is on a broker of one actor."""

    actor: str
    #: by name, how many messages are in each
    queues: dict[str, int] = field(default_factory=dict)
    exchanges: list[str] = field(default_factory=list)

    @property
    def connected(self) -> bool:
        return names.alive_queue(self.actor) in self.queues

    @property
    def kept(self) -> dict[str, int]:
        """How many tasks wait, or were set aside, in which queues."""
        return {name: count for name, count in self.queues.items() if count and _KEPT.fullmatch(name)}

    def delete(self, api: ManagementAPI, vhost: str, *, tasks: bool) -> None:
        """Delete all of it; with `tasks` also what is still to be done.

        Raises:
            MsgConnectionError: the broker refuses, for example since there are tasks after all, or somebody
                who takes them. What was deleted before that is gone.
        """
        for name in self.queues:
            careful = {"if-unused": "true"}
            if _KEPT.fullmatch(name) and not tasks:
                careful["if-empty"] = "true"
            api.delete("queues", vhost, name, **careful)
        for name in self.exchanges:
            api.delete("exchanges", vhost, name)


def leftovers(api: ManagementAPI, vhost: str) -> dict[str, Leftovers]:
    """What is on a broker, by actor, also of those that are connected. Raises as `ManagementAPI.get`."""
    found: dict[str, Leftovers] = {}
    for queue in api.get("queues", vhost, columns=("name", "messages")):
        if match := _OWNED.fullmatch(queue["name"]):
            of_actor = found.setdefault(match["actor"], Leftovers(match["actor"]))
            of_actor.queues[queue["name"]] = queue.get("messages") or 0
    for exchange in api.get("exchanges", vhost, columns=("name",)):
        if match := _OWNED.fullmatch(exchange["name"]):
            of_actor = found.setdefault(match["actor"], Leftovers(match["actor"]))
            of_actor.exchanges.append(exchange["name"])
    return found

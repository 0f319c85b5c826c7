"""A member of the application that turned hostile, and those it attacks: what tests of attacks share."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import Any

import pika

from roleml.core.actor.actor import Actor
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, EventHandler, Service, Task
from roleml.messaging.codec import Codec
from roleml.messaging.rabbitmq import names
from tests.actors import Actors, wait_until
from tests.broker.provisioned import Provisioned

CONTENT = Codec().encode(None).to_frame()
WHO = "to.bob.worker.service.who"
#: whom alice knows
WORKERS = {"worker": ["bob/worker"]}


class Worker(Role):
    done = Event()

    def __init__(self) -> None:
        super().__init__()
        self.callers: queue.Queue[str] = queue.Queue()

    @Service(expand=True)
    def who(self, caller: RoleInstanceID) -> str:
        self.callers.put(str(caller))
        return str(caller)

    @Service(expand=True)
    def measure(self, caller: RoleInstanceID, data: bytes) -> tuple[int, bytes]:
        return len(data), data

    @Task(expand=True)
    def weigh(self, caller: RoleInstanceID, data: bytes) -> int:
        return len(data)

    @Task(expand=True)
    def work(self, caller: RoleInstanceID, amount: int) -> int:
        self.done.emit({"amount": amount})
        return amount * 2


class Boss(Role):
    def __init__(self) -> None:
        super().__init__()
        self.heard: queue.Queue[int] = queue.Queue()

    @EventHandler("worker", "done", expand=True)
    def on_done(self, _: RoleInstanceID, amount: int) -> None:
        self.heard.put(amount)


class Member:
    """Mallory: a valid login, and raw AMQP."""

    def __init__(self, place: Provisioned) -> None:
        self.connection = place.connect("mallory")
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(
        self, exchange: str, key: str, headers: Mapping[str, Any], user_id: str | None = "mallory"
    ) -> None:
        """Returns once the broker has taken the message; raises when nobody gets it."""
        properties = pika.BasicProperties(headers=dict(headers), user_id=user_id)
        self.channel.basic_publish(exchange, key, CONTENT, properties, mandatory=True)

    def call(self, **changes: Any) -> dict[str, Any]:
        """The headers of a call of bob's ``worker.who`` by mallory itself."""
        headers = {
            "kind": "service", "id": "1", "from": "mallory/boss", "to": "bob/worker", "channel": "who"
        }  # fmt: skip
        return {key.rstrip("_"): value for key, value in (headers | changes).items()}

    def pose_as_callee(self) -> str:
        """Be there, and take the calls of mallory's ``worker.who``; the name of the queue that has them."""
        self.channel.queue_declare("q.mallory.alive", exclusive=True)
        self.channel.queue_bind("q.mallory.alive", names.CALL, names.alive_key("mallory"))
        self.channel.queue_declare("q.mallory.calls", exclusive=True)
        self.channel.queue_bind("q.mallory.calls", names.CALL, "to.mallory.worker.service.who")
        return "q.mallory.calls"

    def trap(self, exchange: str, key: str, dead_exchange: str, dead_key: str) -> None:
        """Redirect what mallory may listen to, under the name of who sent it."""
        arguments = {
            "x-dead-letter-exchange": dead_exchange,
            "x-dead-letter-routing-key": dead_key,
            "x-message-ttl": 0,
        }
        self.channel.queue_declare("q.mallory.trap", durable=True, arguments=arguments)
        self.channel.queue_bind("q.mallory.trap", exchange, key)


class Bob:
    def __init__(self, place: Provisioned, actors: Actors) -> None:
        self.role = Worker()
        self.actor: Actor = actors.start("bob", {"worker": self.role}, broker=place.url("bob"))

    @property
    def rejected(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.actor._mailbox.transport.rejected  # type: ignore[attr-defined]
        return found

    def wait_rejected(self, reason: str, count: int = 1) -> None:
        wait_until(lambda: self.rejected.get(reason, 0) >= count)
        assert self.role.callers.empty()
        assert set(self.rejected) == {reason}

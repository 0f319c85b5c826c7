"""A broker with a user for each actor, as `roleml broker provision` sets it up, for tests of identity."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pika
import pika.exceptions

from roleml.messaging.rabbitmq import names
from roleml.messaging.rabbitmq.provisioning import grant_of
from tests.broker.broker import Broker
from tests.broker.client import open_connection

PASSWORD = "secret-of-"


class Provisioned:
    """A vhost with the users of some actors; their passwords are ``secret-of-<actor>``."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self.broker = broker
        self.vhost = vhost

    def url(self, actor: str, options: str = "") -> str:
        return self.broker.url(actor, PASSWORD + actor, self.vhost) + options

    def connect(self, actor: str) -> pika.BlockingConnection:
        """A raw connection with an actor's valid credentials, to misuse."""
        return open_connection(self.url(actor))

    def refusal(self, actor: str, operation: str, *arguments: Any, **options: Any) -> int:
        """The code with which the broker closes the channel over an operation; 0 if it does not."""
        connection = self.connect(actor)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            getattr(channel, operation)(*arguments, **options)
        except pika.exceptions.ChannelClosedByBroker as e:
            return int(e.reply_code)
        except pika.exceptions.UnroutableError:
            return 0
        finally:
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()
        return 0


@contextlib.contextmanager
def provisioned(broker: Broker, vhost: str, actors: Sequence[str]) -> Iterator[Provisioned]:
    """Give these actors users and permissions in ``vhost``, and the vhost the exchanges they share."""
    connection = open_connection(broker.url(vhost=vhost))
    channel = connection.channel()
    for exchange in (names.CALL, names.PRESENCE):
        channel.exchange_declare(exchange, "topic", durable=True)
    connection.close()
    made = []
    try:
        for actor in actors:
            grant = grant_of(actor)
            broker.add_user(actor, PASSWORD + actor)
            made.append(actor)
            broker.set_permissions(actor, vhost, grant.configure, grant.write, grant.read)
            for topic in grant.topics:
                broker.set_topic_permissions(actor, vhost, topic.exchange, topic.write, topic.read)
        yield Provisioned(broker, vhost)
    finally:
        for actor in made:
            broker.delete_user(actor)

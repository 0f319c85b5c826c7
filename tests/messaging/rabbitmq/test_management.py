from __future__ import annotations

import pytest

from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.management import ManagementAPI


@pytest.mark.parametrize(
    ("broker", "pages"),
    [
        ("amqp://user:word@host/app", "http://host:15672/api"),
        ("amqps://user:word@host/app", "http://host:15672/api"),
        ("amqp://user:word@host:5788", "http://host:15788/api"),
        ("amqp://user:word@one:5680,two", "http://one:15680/api"),
        ("amqp://user:word@host:60000", "http://host:15672/api"),
    ],
)
def test_a_broker_at_a_port_of_its_own_has_its_pages_so_far_above_it_as_usual(
    broker: str, pages: str
) -> None:
    assert str(ManagementAPI.beside(BrokerURL.parse(broker))) == pages


def test_whoever_says_where_the_pages_are_is_believed() -> None:
    broker = BrokerURL.parse("amqp://user:word@host:5788")
    assert str(ManagementAPI.beside(broker, "https://pages:8443/rabbit")) == "https://pages:8443/rabbit/api"

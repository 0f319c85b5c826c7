"""What no broker of the tests can be made to say; tests/broker has the rest."""

from __future__ import annotations

import ssl

import pika.exceptions
import pytest

from roleml.messaging.rabbitmq.endpoints import BrokerURL
from roleml.messaging.rabbitmq.refusals import explain

URL = BrokerURL.parse("amqps://alice:hidden@host/app")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required"), "give certfile"),
        (ssl.SSLError(1, "tlsv1 alert unknown ca"), "does not know the authority"),
        (ssl.SSLError(1, "sslv3 alert certificate expired"), "certfile has expired"),
        (ssl.SSLError(1, "[SSL: RECORD_LAYER_FAILURE]"), "speaks no TLS"),
        (
            ConnectionResetError(104, "Connection reset by peer"),
            "perhaps the broker does not know the authority that signed the URL's certfile, or",
        ),
        (TimeoutError("timed out"), "is the broker running there?"),
        (pika.exceptions.ProbableAccessDeniedError(), "vhost 'app' does not exist"),
    ],
)
def test_the_innermost_cause_is_shown_with_what_to_do(error: Exception, advice: str) -> None:
    for wrapped in (error, pika.exceptions.AMQPConnectionError(pika.exceptions.AMQPConnectionError(error))):
        said = explain(URL, wrapped)
        assert advice in said
        assert said.startswith(
            f"cannot connect to amqps://alice@host:5671/app: {error or type(error).__name__}"
        )
        assert "hidden" not in said


def test_a_broker_that_hangs_up_on_a_certificate_is_told_from_one_without_tls() -> None:
    # as pika says it where the reason of a TLS 1.3 broker does not reach us any more
    lost = pika.exceptions.StreamLostError(
        "Stream connection lost: SSLEOFError(8, 'EOF occurred in violation of protocol (_ssl.c:2427)')"
    )
    error = pika.exceptions.AMQPConnectionError(pika.exceptions.IncompatibleProtocolError(lost))
    said = explain(BrokerURL.parse("amqps://alice@localhost/?certfile=a.pem&keyfile=a.key"), error)
    assert "does not know the authority that signed the URL's certfile" in said
    plain = explain(BrokerURL.parse("amqp://alice:x@localhost/"), error)
    assert "is it amqps://?" in plain

"""Why RabbitMQ refused a connection, in words that say what to do, or an operation. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pika.exceptions

from roleml.messaging.rabbitmq.endpoints import BrokerURL

__all__ = ["LOCKED", "NOT_FOUND", "explain", "reply_code"]

#: reply codes of AMQP
NOT_FOUND, LOCKED = 404, 405

_WANTED = "the broker wants a certificate of this actor: give certfile and keyfile in the URL"
_UNKNOWN_CA = "the broker does not know the authority that signed the URL's certfile"
_HUNG_UP = {"ConnectionResetError", "BrokenPipeError", "SSLEOFError"}
_PLAIN = "that port speaks no TLS: use amqp://, or the port for amqps:// (5671)"
#: what OpenSSL and TLS alerts say -> what to do. The first one found is used.
_TLS = {
    "certificate required": _WANTED,
    "unknown ca": _UNKNOWN_CA,
    "bad certificate": "the broker does not accept the URL's certfile",
    "certificate expired": "the URL's certfile has expired",
    "handshake failure": _WANTED,
    "wrong_version_number": _PLAIN,
    "record_layer_failure": _PLAIN,
}
_HOSTNAME_MISMATCH = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def reply_code(error: BaseException | None) -> int:
    """Why the broker closed a channel; 0 if it did not."""
    return error.reply_code if isinstance(error, pika.exceptions.ChannelClosedByBroker) else 0


def explain(url: BrokerURL, error: BaseException) -> str:
    """Foreign exceptions, in words that tell what to do."""
    *_, innermost = _causes(error)
    text = str(innermost) or type(innermost).__name__
    return f"cannot connect to {url}: {text}; {_advice(url, error)}"


def _advice(url: BrokerURL, error: BaseException) -> str:
    causes = list(_causes(error))
    kinds = {type(cause).__name__ for cause in causes}
    if "ProbableAuthenticationError" in kinds:
        if not url.password:
            return (
                f"the broker has no user named {url.user!r}, as the common name of the certificate should be"
            )
        return "the user name or the password is wrong"
    if "ProbableAccessDeniedError" in kinds:
        return (
            f"the vhost {url.vhost!r} does not exist, or user {url.user!r} may not use it, or not more often"
        )
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code in _HOSTNAME_MISMATCH:
                return "the broker's certificate names another host: use that in the URL, or server_name=HOST"
            return f"the broker's certificate: {cause.verify_message}; is cafile={_cafile(url)} right?"
    said = " ".join(map(str, causes))
    for words, advice in _TLS.items():
        if words in said.lower():
            return advice
    if "AuthenticationError" in kinds:
        return "the broker does not offer this way to log in; certificates need rabbitmq_auth_mechanism_ssl"
    if "Too many open files" in said:
        return "this process has no file descriptor left: `ulimit -n` says how many it may have"
    if "gaierror" in kinds:
        return "there is no host of that name"
    # pika passes some of them on as text only
    if url.scheme == "amqps" and (kinds & _HUNG_UP or any(name in said for name in _HUNG_UP)):
        # In TLS 1.3 the broker looks at our certificate after we think that all is well, and may close the
        # connection before its reason has reached us.
        return f"the broker hung up: perhaps {_UNKNOWN_CA}, or {_WANTED}"
    if "IncompatibleProtocolError" in kinds:
        other = "amqps" if url.scheme == "amqp" else "amqp"
        return f"something else than {url.scheme}:// is spoken there; is it {other}://?"
    return "is the broker running there?"


def _cafile(url: BrokerURL) -> str:
    return url.options.get("cafile", "(that of the system)")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it was made of: pika wraps them in several layers, in different ways."""
    yield error
    inner = getattr(error, "exceptions", None) or (getattr(error, "exception", None),)
    for item in (*error.args, *inner, error.__cause__):
        if isinstance(item, BaseException):
            yield from _causes(item)

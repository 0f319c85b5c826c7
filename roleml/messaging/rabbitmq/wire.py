"""An envelope as AMQP headers, and back. Pure: no sockets, no state.

All header values are strings or integers; AMQP tables carry no Python floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roleml.messaging.envelope import Answer, Envelope, Kind
from roleml.messaging.filters import Stamps

__all__ = ["MalformedError", "envelope_of", "headers_of", "stamp_headers"]


#: Of a text in the headers, and of ``actor/endpoint``: both end up in routing keys and short texts of AMQP,
#: which have 255, and are remembered.
MAX_TEXT_BYTES, MAX_ADDRESS_BYTES = 255, 240


class MalformedError(ValueError):
    """The headers are not those of an envelope."""


def headers_of(envelope: Envelope) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "kind": envelope.kind.value,
        "id": envelope.id,
        "from": "/".join(envelope.source),
        "to": "/".join(envelope.target),
        "channel": envelope.channel,
    }
    if envelope.sequence:
        headers["sequence"] = envelope.sequence
    if envelope.answer is not None:
        headers["answer"] = envelope.answer.value
    if envelope.seal:
        headers["seal"] = envelope.seal
    if envelope.trace:
        headers["trace"] = envelope.trace
    if envelope.key:
        headers["key"] = envelope.key
    return headers


def stamp_headers(stamps: Stamps) -> dict[str, str]:
    """The stamps of an event as headers that a headers exchange can match; never mixed up with the others."""
    return {f"a.{name}": text for name, text in stamps.items()}


def envelope_of(headers: Mapping[str, Any] | None) -> Envelope:
    """Raises ``MalformedError`` unless every part is there and of its type."""
    if headers is None:
        raise MalformedError("there are no headers")
    try:
        answer = headers.get("answer")
        return Envelope(
            Kind(headers["kind"]),
            _text(headers, "id"),
            _address(headers, "from"),
            _address(headers, "to"),
            _text(headers, "channel"),
            _sequence(headers),
            None if answer is None else Answer(answer),
            _text(headers, "seal") if "seal" in headers else "",
            _text(headers, "trace") if "trace" in headers else "",
            _text(headers, "key") if "key" in headers else "",
        )
    except (KeyError, ValueError) as e:
        raise MalformedError(f"header {e}") from e


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers[name]
    if not isinstance(value, str):
        raise MalformedError(f"{name!r} is {type(value).__name__}, not text")
    if _nbytes(value) > MAX_TEXT_BYTES:
        raise MalformedError(f"{name!r} is longer than {MAX_TEXT_BYTES} bytes")
    return value


def _nbytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _address(headers: Mapping[str, Any], name: str) -> tuple[str, str]:
    actor, separator, endpoint = _text(headers, name).partition("/")
    if not separator or "/" in endpoint:
        raise ValueError(f"{name!r} is not actor/endpoint")
    if _nbytes(actor) + _nbytes(endpoint) > MAX_ADDRESS_BYTES:
        raise ValueError(f"{name!r} is longer than {MAX_ADDRESS_BYTES} bytes")
    return actor, endpoint


def _sequence(headers: Mapping[str, Any]) -> int:
    value = headers.get("sequence", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("'sequence' is not a count")
    return value

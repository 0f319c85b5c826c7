"""Signatures of messages that contain pickles: reading one runs code, so first it is known whose it is.

Where messages leave the process, actors that exchange pickles share a key. Each message with a pickle in it
is sealed with that key (HMAC-SHA256), over its content and everything that its envelope says, so it cannot be
changed, redirected, or passed off as another's. It carries the time and a number used once: it counts once.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Envelope, Kind
from roleml.messaging.exceptions import DecodeError

__all__ = ["KEY_VARIABLE", "Seals", "load_key"]

logger = logging.getLogger("roleml.messaging")

KEY_VARIABLE = "ROLEML_PICKLE_KEY"
MIN_KEY_BYTES = 16

#: How old a message may be. A task may wait for an actor that is switched off as long as a broker keeps it.
WINDOW_S, TASK_WINDOW_S = 3600.0, 7 * 24 * 3600.0
#: How far the sender's clock may be ahead.
SKEW_S = 300.0
#: Numbers that are remembered, for tasks and for all else; what is older than a forgotten one is refused.
REMEMBERED = 50_000

_VERSION = "1"
_UNSIGNED = (
    "a pickled object came without a signature, and was not read: it could run code here. Its sender "
    f"needs allow_pickle: true and the same key as this actor (pickle_key_file, or {KEY_VARIABLE})"
)


def load_key(file: str | os.PathLike[str] | None) -> bytes | None:
    """The shared key: what is in the file, else in the environment variable ``ROLEML_PICKLE_KEY``, if any.

    Raises:
        ValueError: the file cannot be read, or the key is too short.
    """
    if file is None:
        key, origin = os.environ.get(KEY_VARIABLE, "").strip().encode(), KEY_VARIABLE
        if not key:
            return None
    else:
        path, origin = Path(file), f"pickle_key_file {file}"
        try:
            key = path.read_bytes().strip()
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                logger.warning("%s can be read by others: chmod 600 %s", origin, path)
        except OSError as e:
            raise ValueError(f"{origin} cannot be read: {e.strerror}") from e
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(
            f"{origin} holds {len(key)} bytes, a key has {MIN_KEY_BYTES} at least; make one with "
            "python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return key


class Seals:
    """Seals what an actor sends, and breaks the seals of what it gets. Safe for several threads."""

    def __init__(
        self, key: bytes, *, now: Callable[[], float] = time.time, remembered: int = REMEMBERED
    ) -> None:
        self._key = key
        self._now = now
        self._used = {True: _Numbers(remembered), False: _Numbers(remembered)}

    @classmethod
    def of_file(cls, file: str | os.PathLike[str] | None) -> Seals:
        """With the key that `load_key` finds.

        Raises:
            ValueError: there is none, or it cannot be used.
        """
        key = load_key(file)
        if key is None:
            raise ValueError(
                "allow_pickle: true lets peers run code here, so on a broker outside of this process each "
                "message with a pickle must be signed with a key that they share. Make one with python -c "
                "'import secrets; print(secrets.token_hex(32))', and name its file as pickle_key_file in the "
                f"configuration of every actor, or set {KEY_VARIABLE} to it; without allow_pickle, data "
                "travels as before"
            )
        return cls(key)

    def sealed(self, envelopes: list[Envelope], body: Body) -> list[Envelope]:
        """The envelopes with a seal each, for the same body."""
        digest = _digest(body)
        return [self._sealed(envelope, digest) for envelope in envelopes]

    def opener(self, codec: Codec, envelope: Envelope, body: Body) -> Callable[[], Any]:
        """What decodes the body, any number of times: the seal is broken when it is first called.

        It raises ``DecodeError`` when there is a pickle in the body and the seal is missing or is not good.
        """
        if not envelope.seal:
            return lambda: codec.decode(body, refuse_pickle=_UNSIGNED)
        return _Opening(self, codec, envelope, body)

    def check(self, envelope: Envelope, body: Body) -> None:
        """Break the seal. A second time, it is not good any more.

        Raises:
            DecodeError: it is of another key, of another message, too old, or was broken before.
        """
        parts = envelope.seal.split(".")
        if len(parts) != 4 or parts[0] != _VERSION or not parts[1].isascii() or not parts[1].isdigit():
            raise DecodeError("a signature cannot be read; do all actors have the same version of RoleML?")
        _, signed_ms, number, mac = parts
        if not hmac.compare_digest(
            self._mac(envelope, signed_ms, number, _digest(body)), mac.encode(errors="surrogatepass")
        ):
            raise DecodeError(
                f"a pickled object from {envelope.source[0]} is signed with another key, or was changed on "
                f"its way; all actors need the same pickle_key_file (or {KEY_VARIABLE})"
            )
        signed_s, now_s = int(signed_ms) / 1000, self._now()
        task = envelope.kind is Kind.TASK
        window_s = TASK_WINDOW_S if task else WINDOW_S
        if not now_s - window_s <= signed_s <= now_s + SKEW_S:
            raise DecodeError(
                f"a pickled object from {envelope.source[0]} was signed {now_s - signed_s:.0f} s ago by the "
                f"clock of this machine; accepted are {window_s:.0f} s. Are the clocks of both right?"
            )
        if not self._used[task].use(number, signed_s, now_s - window_s):
            raise DecodeError(f"a pickled object from {envelope.source[0]} came before: this is a replay")

    def _sealed(self, envelope: Envelope, digest: bytes) -> Envelope:
        signed_ms, number = str(int(self._now() * 1000)), secrets.token_hex(16)
        mac = self._mac(envelope, signed_ms, number, digest).decode()
        return envelope._replace(seal=f"{_VERSION}.{signed_ms}.{number}.{mac}")

    def _mac(self, envelope: Envelope, signed_ms: str, number: str, digest: bytes) -> bytes:
        said = (
            f"roleml-seal-{_VERSION}",
            envelope.kind.value,
            envelope.id,
            *envelope.source,
            *envelope.target,
            envelope.channel,
            str(envelope.sequence),
            envelope.answer.value if envelope.answer else "",
            signed_ms,
            number,
            *filter(None, (envelope.key,)),
        )
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for text in said:  # each with its length, so that none can pass for a part of its neighbour
            encoded = text.encode(errors="surrogatepass")
            mac.update(len(encoded).to_bytes(4, "big") + encoded)
        mac.update(digest)
        return mac.hexdigest().encode()


class _Opening:
    """A sealed body, on its way to one or more handlers."""

    def __init__(self, seals: Seals, codec: Codec, envelope: Envelope, body: Body) -> None:
        self._seals = seals
        self._codec = codec
        self._envelope = envelope
        self._body = body
        self._lock = threading.Lock()
        self._broken = False

    def __call__(self) -> Any:
        with self._lock:
            if not self._broken:
                self._seals.check(self._envelope, self._body)
                self._broken = True
        return self._codec.decode(self._body)


class _Numbers:
    """The numbers that were used, within bounded memory: beyond it, the oldest go, and all that are older."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._by_time: list[tuple[float, str]] = []
        self._forgotten_until_s = -1.0

    def use(self, number: str, signed_s: float, oldest_s: float) -> bool:
        """Whether the number is new. Those signed before ``oldest_s`` need not be remembered."""
        with self._lock:
            if number in self._known or signed_s <= self._forgotten_until_s:
                return False
            self._known.add(number)
            heapq.heappush(self._by_time, (signed_s, number))
            while self._by_time[0][0] < oldest_s or len(self._by_time) > self._size:
                forgotten_s, forgotten = heapq.heappop(self._by_time)
                self._known.discard(forgotten)
                self._forgotten_until_s = max(self._forgotten_until_s, forgotten_s)
            return True


def _digest(body: Body) -> bytes:
    digest = hashlib.sha256()
    for part in body.parts():
        digest.update(part)
    return digest.digest()

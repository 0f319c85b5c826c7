from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roleml.core.actor.actor import Actor
from roleml.core.context import ActorProfile, Context
from roleml.messaging import signing
from roleml.messaging.codec import Body, Codec
from roleml.messaging.envelope import Answer, Envelope, Kind
from roleml.messaging.exceptions import DecodeError
from roleml.messaging.signing import Seals, load_key

KEY = b"k" * 32
CODEC = Codec(allow_pickle=True)
TASK = Envelope(Kind.TASK, "1", ("alice", "boss"), ("bob", "worker"), "work")
CALL = TASK._replace(kind=Kind.SERVICE)

ran: list[str] = []


def note() -> None:
    ran.append("read")


class Runs:
    """Its pickle runs code where it is read."""

    def __reduce__(self) -> Any:
        return note, ()


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


class Clock:
    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def over_the_wire(body: Body) -> Body:
    return Body.from_frame(body.to_frame())


def seal(envelope: Envelope, body: Body, key: bytes = KEY, now_s: float = Clock.now_s) -> Envelope:
    (sealed,) = Seals(key, now=lambda: now_s).sealed([envelope], body)
    return sealed


def open_it(seals: Seals, envelope: Envelope, body: Body) -> Any:
    return seals.opener(CODEC, envelope, over_the_wire(body))()


def test_a_body_knows_whether_it_holds_a_pickle() -> None:
    assert not CODEC.encode({"a": [1, (2,), {3}]}).pickled
    assert CODEC.encode({"a": [1, Runs()]}).pickled
    assert CODEC.encode(Runs()).snapshot().pickled


def test_a_sealed_pickle_is_read_as_often_as_it_is_decoded() -> None:
    body = CODEC.encode(Runs())
    opener = Seals(KEY).opener(CODEC, Seals(KEY).sealed([CALL], body)[0], over_the_wire(body))
    opener()
    opener()
    assert ran == ["read", "read"]


def test_data_needs_no_seal() -> None:
    assert open_it(Seals(KEY), CALL, CODEC.encode({"loss": 0.5})) == {"loss": 0.5}


def test_a_pickle_without_a_seal_is_not_read() -> None:
    with pytest.raises(DecodeError, match=r"without a signature.*pickle_key_file"):
        open_it(Seals(KEY), CALL, CODEC.encode([Runs()]))
    assert ran == []


def test_a_pickle_with_the_seal_of_another_key_is_not_read() -> None:
    body = CODEC.encode(Runs())
    with pytest.raises(DecodeError, match=r"another key.*the same pickle_key_file"):
        open_it(Seals(KEY, now=Clock()), seal(CALL, body, b"another key, long enough"), body)
    assert ran == []


@pytest.mark.parametrize(
    "junk", ["1", "2.0.0.0", "1.x.y.z", "1.²..", "1.-5.a.b", "...", "1.1.1.ä", "1.1.1.\udc80"]
)
def test_junk_for_a_seal_is_not_read(junk: str) -> None:
    with pytest.raises(DecodeError):
        open_it(Seals(KEY), CALL._replace(seal=junk), CODEC.encode(Runs()))
    assert ran == []


@pytest.mark.parametrize(
    "change",
    [
        {"kind": Kind.TASK},
        {"id": "2"},
        {"source": ("mallory", "boss")},
        {"source": ("alic", "eboss")},
        {"target": ("carol", "worker")},
        {"target": ("bob", "admin")},
        {"channel": "other"},
        {"sequence": 1},
        {"answer": Answer.VALUE},
    ],
)
def test_a_seal_does_not_hold_for_another_envelope(change: dict[str, Any]) -> None:
    body = CODEC.encode(Runs())
    moved = seal(CALL, body)._replace(**change)
    with pytest.raises(DecodeError, match="changed on its way"):
        open_it(Seals(KEY, now=Clock()), moved, body)
    assert ran == []


def test_a_seal_does_not_hold_for_another_body() -> None:
    envelope = seal(CALL, CODEC.encode("harmless"))
    with pytest.raises(DecodeError, match="changed on its way"):
        open_it(Seals(KEY, now=Clock()), envelope, CODEC.encode(Runs()))
    assert ran == []


@given(st.lists(st.binary(max_size=8), max_size=3), st.lists(st.binary(max_size=8), max_size=3))
def test_bodies_of_the_same_bytes_in_other_parts_differ(one: list[bytes], other: list[bytes]) -> None:
    first, second = (Body(b"h", tuple(map(memoryview, parts))) for parts in (one, other))
    assert (signing._digest(first) == signing._digest(second)) == (one == other)


def test_a_replay_is_not_read() -> None:
    seals, body = Seals(KEY, now=Clock()), CODEC.encode(Runs())
    envelope = seal(TASK, body)
    open_it(seals, envelope, body)
    with pytest.raises(DecodeError, match="replay"):
        open_it(seals, envelope, body)
    assert ran == ["read"]


@pytest.mark.parametrize(
    ("envelope", "age_s", "accepted"),
    [(CALL, 3599, True), (CALL, 3601, False), (TASK, 6 * 86400, True), (TASK, 8 * 86400, False),
     (CALL, -299, True), (CALL, -301, False)],
)  # fmt: skip
def test_a_pickle_is_read_within_a_window_of_time(envelope: Envelope, age_s: float, accepted: bool) -> None:
    body = CODEC.encode(Runs())
    sealed = seal(envelope, body, now_s=Clock.now_s - age_s)
    if accepted:
        open_it(Seals(KEY, now=Clock()), sealed, body)
    else:
        with pytest.raises(DecodeError, match="clocks"):
            open_it(Seals(KEY, now=Clock()), sealed, body)
    assert len(ran) == accepted


def test_the_memory_of_replays_is_bounded_and_forgets_none() -> None:
    seals, body = Seals(KEY, now=Clock(), remembered=10), CODEC.encode(Runs())
    sent = [seal(CALL, body, now_s=Clock.now_s + i) for i in range(30)]
    for envelope in sent:
        open_it(seals, envelope, body)
    for envelope in sent:
        with pytest.raises(DecodeError, match="replay"):
            open_it(seals, envelope, body)
    assert len(seals._used[False]._known) == 10
    assert len(ran) == 30


def test_a_key_comes_from_a_file_or_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("ROLEML_PICKLE_KEY", raising=False)
    assert load_key(None) is None
    monkeypatch.setenv("ROLEML_PICKLE_KEY", "e" * 32)
    assert load_key(None) == b"e" * 32
    file = tmp_path / "key"
    file.write_text("f" * 32 + "\n")
    file.chmod(0o600)
    assert load_key(file) == b"f" * 32
    assert not caplog.records
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_key(file)
    assert "chmod 600" in caplog.text
    assert "fff" not in caplog.text


def test_a_key_that_cannot_serve_says_why(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with pytest.raises(ValueError, match="holds 5 bytes") as raised:
        load_key(tmp_path / "key")
    assert "short" not in str(raised.value)
    with pytest.raises(ValueError, match="cannot be read"):
        load_key(tmp_path / "none")


def test_pickles_over_a_broker_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLEML_PICKLE_KEY", raising=False)
    with pytest.raises(ValueError, match="pickle_key_file in the configuration of every actor"):
        Actor(Context.build(ActorProfile("a")), broker="amqp://127.0.0.1:1", allow_pickle=True)

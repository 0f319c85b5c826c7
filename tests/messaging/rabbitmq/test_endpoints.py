from __future__ import annotations

from pathlib import Path

import pytest

from roleml.messaging.rabbitmq.endpoints import BrokerURL


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROLEML_BROKER_USER", "ROLEML_BROKER_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def login(url: str, actor: str = "alice") -> tuple[str, str]:
    parsed = BrokerURL.parse(url, actor)
    return parsed.user, parsed.password


def test_a_url_is_taken_apart() -> None:
    url = BrokerURL.parse("amqp://us%40er:p%2Fw@one,two:5673/v%2Fhost?heartbeat=5")
    assert url.hosts == (("one", 5672), ("two", 5673))
    assert (url.user, url.password, url.vhost) == ("us@er", "p/w", "v/host")
    assert url.parameters(0, {}).heartbeat == 5
    assert BrokerURL.parse("amqps://one").hosts == (("one", 5671),)


def test_one_url_serves_all_actors(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("bob:b:ob\nalice:secret\n")
    url = f"amqp://{{actor}}@host/app?password_file={users}"
    assert login(url) == ("alice", "secret")
    assert login(url, "bob") == ("bob", "b:ob")
    with pytest.raises(ValueError, match="no password for carol"):
        login(url, "carol")


def test_a_file_of_one_line_is_the_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    assert login(f"amqp://alice@host?password_file={tmp_path / 'password'}") == ("alice", "secret")
    with pytest.raises(ValueError, match="cannot be read"):
        login(f"amqp://alice@host?password_file={tmp_path / 'none'}")


def test_the_environment_stands_in_for_what_the_url_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert login("amqp://host") == ("guest", "guest")
    monkeypatch.setenv("ROLEML_BROKER_USER", "env")
    monkeypatch.setenv("ROLEML_BROKER_PASSWORD", "hidden")
    assert login("amqp://host") == ("env", "hidden")
    assert login("amqp://bob@host") == ("bob", "hidden")
    assert login("amqp://bob:x@host") == ("bob", "x")


def test_a_certificate_without_a_password_is_the_login() -> None:
    assert login("amqps://host?certfile=a.pem") == ("alice", "")
    assert login("amqps://carol@host?certfile={actor}.pem") == ("carol", "")
    assert login("amqps://carol:x@host?certfile=a.pem") == ("carol", "x")


@pytest.mark.parametrize(
    ("url", "required"),
    [
        ("amqp://alice:x@host", True),
        ("amqp://guest:x@host", False),
        ("amqp://alice:x@host?identity=claimed", False),
        ("amqp://alice:x@host?identity=required", True),
    ],
)
def test_identity_is_required_where_the_user_is_the_actor(url: str, required: bool) -> None:
    assert BrokerURL.parse(url).identity_of("alice") is required


def test_required_identity_needs_a_user_of_the_actor_s_name() -> None:
    with pytest.raises(ValueError, match="amqp://alice:PASSWORD@") as raised:
        BrokerURL.parse("amqp://guest:hidden@host?identity=required").identity_of("alice")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://host", "amqp:// or amqps://"),
        ("amqp://host?hartbeat=1", "'heartbeat'"),
        ("amqp://host?identity=require", "required"),
        ("amqp://host:port", "'host:port' in the broker URL is not host or host:port"),
        ("amqp://host:65536", "with a port up to 65535"),
        ("amqp://a host", "is not host or host:port"),
        ("amqp:/host", "starts with amqp://"),
        ("amqp://[::1", "cannot be read: Invalid IPv6 URL"),
        ("amqp://host?heartbeat=soon", "heartbeat=soon .* whole number of seconds"),
        ("amqp://{actr}:x@host", "{actr} in the broker URL; {actor} stands for the actor's name"),
        ("amqp://a:hid/den@host", "'/' as %2F"),
        ("amqp://a:hid#den@host", "'#' as %23"),
    ],
)
def test_a_url_of_another_form_says_what_is_wrong(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        BrokerURL.parse(url)
    assert "hid" not in str(raised.value)


def test_a_password_is_not_shown() -> None:
    url = BrokerURL.parse("amqp://alice:hidden@host/app")
    assert "hidden" not in f"{url} {url!r}"
    assert str(url) == "amqp://alice@host:5672/app"


def test_an_actor_called_like_the_user_of_a_fresh_broker_expects_no_users_of_others() -> None:
    assert not BrokerURL.parse("amqp://guest:guest@host").identity_of("guest")

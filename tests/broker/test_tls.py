"""TLS with and without certificates of the actors, on a node that accepts both."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from roleml.cli.broker.server import Server
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.rabbitmq.provisioning import grant_of
from tests.actors import Actors
from tests.broker.node import Node, free_ports

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(60)


def make_certificates(folder: Path, *arguments: str) -> Path:
    command = [str(ROOT / "brokers/make-certificates.sh"), str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


class Secured:
    """A node whose only door but the tests' own is TLS, and the certificates of its users."""

    def __init__(self, node: Node, port: int, certificates: Path) -> None:
        self.node = node
        self.port = port
        self.certificates = certificates

    def url(
        self,
        user: str = "",
        host: str = "localhost",
        *,
        login: str = "",
        ca: str = "ca.pem",
        cert: str = "",
    ) -> str:
        options = {"cafile": str(self.certificates / ca)} if ca else {}
        if cert:
            options |= {
                "certfile": str(self.certificates / f"{cert}.pem"),
                "keyfile": str(self.certificates / f"{cert}.key"),
            }
        who = f"{user}{':' + login if login else ''}@" if user else ""
        return f"amqps://{who}{host}:{self.port}/?{urlencode(options, safe='{}/')}"


@pytest.fixture(scope="module")
def certificates(broker_server: Server) -> Iterator[Path]:
    """In a folder that the server sees, too."""
    with tempfile.TemporaryDirectory(prefix="roleml-tls-", dir=broker_server.scratch) as name:
        folder = make_certificates(Path(name), "localhost", "alice", "bob", "nobody")
        make_certificates(folder / "foreign", "localhost", "alice")
        yield folder


def start(server: Server, certificates: Path, *, demanded: bool) -> Iterator[Secured]:
    (port,) = free_ports(1)
    seen = server.inside(certificates)
    settings = {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": f"{seen}/ca.pem",
        "ssl_options.certfile": f"{seen}/server.pem",
        "ssl_options.keyfile": f"{seen}/server.key",
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": str(demanded).lower(),
    }
    plugins = []
    if demanded:
        plugins.append("rabbitmq_auth_mechanism_ssl")
        settings |= {
            "ssl_cert_login_from": "common_name",
            "auth_mechanisms.1": "PLAIN",
            "auth_mechanisms.2": "EXTERNAL",
        }
    with Node(server, plugins=plugins, settings=settings) as node:
        node.evaluate(
            '[rabbit_exchange:declare({resource, <<"/">>, exchange, X}, topic, true, false, false, [], '
            '<<"tests">>) || X <- [<<"rml.call">>, <<"rml.presence">>]], ok'
        )
        for name in ("alice", "bob"):
            grant = grant_of(name)
            node.add_user(name, f"secret-of-{name}")
            node.set_permissions(name, "/", grant.configure, grant.write, grant.read)
            for topic in grant.topics:
                node.set_topic_permissions(name, "/", topic.exchange, topic.write, topic.read)
        yield Secured(node, port, certificates)


@pytest.fixture(scope="module")
def secured(broker_server: Server, certificates: Path) -> Iterator[Secured]:
    """A node that demands a certificate of each client, and takes it for a login."""
    yield from start(broker_server, certificates, demanded=True)


@pytest.fixture(scope="module")
def encrypted(broker_server: Server, certificates: Path) -> Iterator[Secured]:
    """A node that takes clients without a certificate."""
    yield from start(broker_server, certificates, demanded=False)


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


class Echo(Role):
    @Service(expand=True)
    def who(self, caller: RoleInstanceID) -> str:
        return str(caller)


ECHO = {"echo": ["bob/echo"]}


def test_certificates_are_all_that_two_actors_need(secured: Secured, actors: Actors) -> None:
    asking = Role()
    actors.start("bob", {"echo": Echo()}, broker=secured.url(cert="bob"))
    alice = actors.start("alice", {"asking": asking}, relationships=ECHO, broker=secured.url(cert="{actor}"))
    assert asking.call("echo", "who") == "alice/asking"
    assert {row["user"] for row in secured.node.list_connections()} == {"alice", "bob"}
    assert alice._mailbox.transport._gate._identity


def test_a_password_over_tls_is_enough_where_no_certificate_is_demanded(
    encrypted: Secured, actors: Actors
) -> None:
    asking = Role()
    for name, roles in (("bob", {"echo": Echo()}), ("alice", {"asking": asking})):
        url = encrypted.url(name, login=f"secret-of-{name}")
        actors.start(name, roles, relationships=ECHO, broker=url)
    assert asking.call("echo", "who") == "alice/asking"


def refusal(url: str) -> str:
    with pytest.raises(MsgConnectionError) as raised:
        Actors().start("alice", broker=url)
    return str(raised.value)


def test_an_authority_that_did_not_sign_the_broker_is_named(secured: Secured) -> None:
    said = refusal(secured.url(cert="alice", ca="foreign/ca.pem"))
    assert "the broker's certificate" in said
    assert "foreign/ca.pem right?" in said


def test_the_system_s_authorities_do_not_do(secured: Secured) -> None:
    assert "(that of the system) right?" in refusal(secured.url(cert="alice", ca=""))


def test_a_broker_under_another_name_than_its_certificate_s(secured: Secured, actors: Actors) -> None:
    url = secured.url(host="127.0.0.1", cert="alice")
    assert "names another host" in refusal(url)
    actors.start("alice", broker=url + "&server_name=localhost")


def test_no_certificate_where_one_is_demanded(secured: Secured) -> None:
    said = refusal(secured.url("alice", login="secret-of-alice"))
    assert "give certfile and keyfile" in said
    assert "secret" not in said


def test_a_certificate_of_a_foreign_authority(secured: Secured) -> None:
    said = refusal(secured.url(cert="foreign/alice"))
    assert "does not know the authority that signed the URL's certfile" in said


def test_a_certificate_of_somebody_who_is_no_user(secured: Secured) -> None:
    assert "no user named 'nobody'" in refusal(secured.url("nobody", cert="nobody"))


def test_a_wrong_password_over_tls(secured: Secured) -> None:
    assert "password is wrong" in refusal(secured.url("alice", login="wrong", cert="alice"))


def test_tls_where_none_is_spoken(secured: Secured) -> None:
    plain = secured.url(cert="alice").replace(str(secured.port), str(secured.node.port))
    assert "speaks no TLS" in refusal(plain)


def test_no_tls_where_it_is_spoken(secured: Secured) -> None:
    assert "is it amqps://?" in refusal(f"amqp://alice:x@localhost:{secured.port}/")


def test_a_login_by_certificate_where_the_broker_offers_none(encrypted: Secured) -> None:
    assert "rabbitmq_auth_mechanism_ssl" in refusal(encrypted.url(cert="alice"))


def test_files_that_are_not_there_are_named(secured: Secured) -> None:
    with pytest.raises(ValueError, match=r"certfile=.*/none.pem"):
        Actors().start("alice", broker=secured.url(cert="none"))


def test_a_certificate_does_not_let_one_call_itself_another(secured: Secured) -> None:
    # The broker takes the common name for the user; alice's certificate under bob's name is still alice.
    with pytest.raises(MsgConnectionError, match="bob"):
        Actors().start("bob", broker=secured.url("bob", cert="alice"))

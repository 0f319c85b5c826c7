"""Fixtures of tests on a real broker, for all of tests/: `broker_node`, `broker_url` and the breakable ones.

Where the broker comes from, in this order:

1. ``ROLEML_TEST_BROKER``: a URL (its management plugin must be on), or a folder with a server in it;
2. a RabbitMQ installed on this machine: the session starts a node of its own and ends it;
3. testcontainers, where Docker answers.

If there is none, the tests fail and say what to do: a skipped broker test would be found missing too late.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from roleml.cli.broker.server import Server
from tests.broker.broker import Broker
from tests.broker.node import INSTALL_HINT, Node
from tests.broker.remote import RemoteBroker

IMAGE = "rabbitmq:4-management"

_FIXTURES = {"broker_node", "broker_server", "breakable_node"}
_numbers = itertools.count(1)


@dataclass
class _Brokers:
    """What the session has started."""

    shared: Broker | None = None
    breakable: Node | None = None
    errors: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)


_KEY = pytest.StashKey[_Brokers]()


# ---- where it comes from


def choose_server() -> Server:
    """Where to start nodes; a test that breaks a node always needs one of its own."""
    wanted = os.environ.get("ROLEML_TEST_BROKER", "")
    if wanted.rstrip("/") and "://" not in wanted:
        return Server.at(wanted)
    server = Server.installed()
    if server is None:
        raise FileNotFoundError(INSTALL_HINT)
    return server


def open_broker() -> Broker:
    """The broker that the session's tests share, running."""
    wanted = os.environ.get("ROLEML_TEST_BROKER", "")
    if "://" in wanted:
        remote = RemoteBroker(wanted)
        remote.version()
        return remote
    if wanted or Server.installed():
        node = Node(choose_server())
        node.start()
        return node
    return _Container()


class _Container(RemoteBroker):
    def __init__(self) -> None:
        if (
            shutil.which("docker") is None
            or subprocess.run(["docker", "info"], capture_output=True).returncode
        ):
            raise FileNotFoundError(INSTALL_HINT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of testcontainers, about itself
            try:
                from testcontainers.rabbitmq import RabbitMqContainer
            except ImportError as e:
                raise FileNotFoundError(INSTALL_HINT) from e
            self._container = RabbitMqContainer(IMAGE).with_exposed_ports(5672, 15672).start()
        host = self._container.get_container_host_ip()
        port, management = (self._container.get_exposed_port(port) for port in (5672, 15672))
        super().__init__(f"amqp://guest:guest@{host}:{port}/?management=http://{host}:{management}")

    def stop(self) -> None:
        self._container.stop()


# ---- the session


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "broker: needs RabbitMQ (set by itself on users of the broker fixtures)"
    )
    config.stash[_KEY] = _Brokers()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("broker")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    # Here and not in the fixture: starting a node is not part of the time that the first test is given.
    brokers = session.config.stash[_KEY]
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if session.config.option.collectonly:
        return
    if "broker_node" in names:
        _open_shared(brokers)
    if "breakable_node" in names:
        _open_breakable(brokers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_KEY].labels:
        terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    for broker in (config.stash[_KEY].shared, config.stash[_KEY].breakable):
        if broker is not None:
            broker.stop()


def _open_shared(brokers: _Brokers) -> Broker | None:
    if brokers.shared is None and "shared" not in brokers.errors:
        try:
            brokers.shared = open_broker()
            brokers.labels.append(f"tests on RabbitMQ {brokers.shared.version()}: {_origin()}")
        except Exception as e:
            brokers.errors["shared"] = str(e)
    return brokers.shared


def _open_breakable(brokers: _Brokers) -> Node | None:
    if brokers.breakable is None and "breakable" not in brokers.errors:
        try:
            node = Node(choose_server())
            node.start()
            brokers.breakable = node
            brokers.labels.append(f"tests that break RabbitMQ {node.version()}: {node.server.origin}")
        except Exception as e:
            brokers.errors["breakable"] = str(e)
    return brokers.breakable


def _origin() -> str:
    wanted = urlsplit(os.environ.get("ROLEML_TEST_BROKER", ""))
    if wanted.hostname:
        return wanted.hostname
    return choose_server().origin if wanted.path or Server.installed() else f"a container of {IMAGE}"


# ---- fixtures


@pytest.fixture(scope="session")
def broker_server() -> Server:
    """Where to start nodes: ``with Node(broker_server, settings={...}) as node``, some 4 s each."""
    try:
        return choose_server()
    except FileNotFoundError as e:
        pytest.fail(str(e), pytrace=False)


@pytest.fixture(scope="session")
def managed_node(broker_server: Server) -> Iterator[Node]:
    """A node with its management plugin, whose figures are fresh."""
    settings = {"collect_statistics_interval": "1000"}
    with Node(broker_server, plugins=["rabbitmq_management"], settings=settings) as node:
        yield node


@pytest.fixture(scope="session")
def broker_node(pytestconfig: pytest.Config) -> Broker:
    """The broker of the session. It must survive the test: see `breakable_node`."""
    brokers = pytestconfig.stash[_KEY]
    return _open_shared(brokers) or pytest.fail(brokers.errors["shared"], pytrace=False)


def fresh_vhost() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"


@contextlib.contextmanager
def vhost_on(broker: Broker) -> Iterator[str]:
    """A fresh vhost, for the time of the block (20 ms to make, 40 ms to remove)."""
    name = fresh_vhost()
    broker.add_vhost(name)
    yield name
    broker.delete_vhost(name)


@pytest.fixture
def broker_vhost(broker_node: Broker) -> Iterator[str]:
    """A fresh vhost on the session's broker."""
    with vhost_on(broker_node) as name:
        yield name


@pytest.fixture
def broker_url(broker_node: Broker, broker_vhost: str) -> str:
    """A broker as good as new: the administrator's URL of a vhost that lives as long as the test."""
    return broker_node.url(vhost=broker_vhost)


@pytest.fixture
def breakable_node(pytestconfig: pytest.Config) -> Iterator[Node]:
    """A node that a test may kill, pause, restart or alarm. The next test gets it running again."""
    brokers = pytestconfig.stash[_KEY]
    node = _open_breakable(brokers) or pytest.fail(brokers.errors["breakable"], pytrace=False)
    if not node.running:
        node.kill()
        node.start()
    yield node
    if node.running:
        node.resume()
        node.clear_alarms()


@pytest.fixture
def breakable_url(breakable_node: Node) -> Iterator[str]:
    """The administrator's URL of a fresh vhost on the breakable node."""
    name = fresh_vhost()
    breakable_node.add_vhost(name)
    yield breakable_node.url(vhost=name)
    if breakable_node.running:
        breakable_node.resume()
        breakable_node.delete_vhost(name)

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from tests.broker.broker import Broker
from tests.broker.client import open_connection
from tests.broker.node import Node

ROOT = Path(__file__).parents[2]
seen: set[str] = set()


@pytest.mark.parametrize("run", [1, 2])
def test_each_test_has_a_vhost_of_its_own(
    broker_url: str, broker_vhost: str, broker_node: Broker, run: int
) -> None:
    assert broker_vhost not in seen
    seen.add(broker_vhost)
    connection = open_connection(broker_url)
    connection.channel().queue_declare("left behind", durable=True)
    connection.close()
    assert [row["name"] for row in broker_node.list_queues(broker_vhost)] == ["left behind"]


def test_the_vhosts_of_earlier_tests_are_gone(broker_url: str) -> None:
    assert seen
    for vhost in seen:
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            open_connection(broker_url.rpartition("/")[0] + f"/{vhost}")


def test_a_test_may_leave_the_breakable_node_dead(breakable_node: Node, breakable_url: str) -> None:
    breakable_node.kill()


@pytest.mark.timeout(90)
def test_the_next_one_has_it_running_again(breakable_node: Node, breakable_url: str) -> None:
    open_connection(breakable_url).close()
    breakable_node.pause()


def test_and_not_paused(breakable_url: str) -> None:
    open_connection(breakable_url).close()


@pytest.mark.timeout(90)
@pytest.mark.broker
@pytest.mark.parametrize(
    ("broker", "message"),
    [("/etc", "holds no RabbitMQ"), ("amqp://127.0.0.1:1", "rabbitmq-plugins enable rabbitmq_management")],
)
def test_a_missing_broker_fails_the_tests_and_says_what_to_do(
    tmp_path: Path, broker: str, message: str
) -> None:
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['tests.broker.fixtures']\n")
    (tmp_path / "test_it.py").write_text("def test_it(broker_url): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "ROLEML_TEST_BROKER": broker, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert message in done.stdout
    assert "1 error" in done.stdout
    assert "skipped" not in done.stdout

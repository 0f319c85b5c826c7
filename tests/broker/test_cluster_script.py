"""brokers/cluster.sh: three nodes with the configuration and the definitions beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pika.exceptions
import pytest

from roleml.cli.broker.node import free_ports, is_free
from roleml.cli.broker.private import MANAGEMENT_OFFSET
from roleml.cli.broker.server import Server
from tests.actors import wait_until
from tests.broker.client import channel_to

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "brokers" / "cluster.sh"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "roleml"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m roleml "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ROLEML_CLUSTER_FOLDER": str(folder / "cluster"),
    }
    return subprocess.run(
        [str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=150, check=False
    )


@pytest.fixture
def folder(tmp_path: Path, broker_server: Server) -> Iterator[Path]:
    root = broker_server.root
    folder = tmp_path if root is None else root / "tmp" / tmp_path.name
    folder.mkdir(exist_ok=True)
    yield folder
    assert run(folder, "down", "--delete").returncode == 0
    assert not (folder / "cluster").exists()


def ports_for_three() -> int:
    while True:
        (port,) = free_ports(1)
        wanted = [port + offset + more for offset in range(3) for more in (0, MANAGEMENT_OFFSET)]
        if port < 20_000 and all(map(is_free, wanted)):
            return port


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_three_nodes_form_a_cluster_that_outlives_one_of_them(folder: Path, broker_server: Server) -> None:
    where = broker_server.root or broker_server.programs
    server = [] if broker_server == Server.installed() else ["--server", str(where)]
    done = run(folder, "up", "--port", str(ports_for_three()), "--json", *server)
    assert done.returncode == 0, done.stderr
    up = json.loads(done.stdout)
    status = folder / "cluster" / "node2" / "rabbitmqctl"
    told = subprocess.run(
        [str(status), "--formatter", "json", "cluster_status"], capture_output=True, text=True, timeout=60
    )
    assert len(json.loads(told.stdout)["running_nodes"]) == 3, told.stderr
    assert up["url"].endswith("/roleml"), "the vhost of the definitions"
    os.kill(up["pids"][0], 9)
    # the first address of the URL is that of a node which is gone
    hosts = up["url"].rpartition("@")[2].removesuffix("/roleml").split(",")
    other = up["url"].replace(",".join(hosts), hosts[1])
    wait_until(lambda: serves(other), 60.0)  # the two that are left agree on it first


def serves(url: str) -> bool:
    """Whether a node has the shared exchange, and makes queues; those of a lost node are lost with it."""
    try:
        with channel_to(url) as channel:
            channel.exchange_declare("rml.call", passive=True)
            channel.queue_declare("mine", exclusive=True)
            channel.basic_publish("", "mine", b"x")
            return channel.basic_get("mine", auto_ack=True)[2] == b"x"
    except pika.exceptions.AMQPError:
        return False


def test_it_says_how_it_is_used(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "usage:" in done.stderr

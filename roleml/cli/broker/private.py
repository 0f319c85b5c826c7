"""A RabbitMQ of one's own on this machine: started from an installed server, left running, stopped by pid."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from roleml.cli.broker.node import HERE, NodeFiles, Ports, free_ports, is_free, speaks_amqp
from roleml.cli.broker.server import Server
from roleml.shared.errors import RoleMLError

__all__ = [
    "ADMIN",
    "MANAGEMENT_OFFSET",
    "BrokerNotUpError",
    "PrivateBroker",
    "Running",
    "is_running",
    "taken",
    "url_of",
]

ADMIN = "roleml"
"""The user of a private broker: its administrator."""
MANAGEMENT_OFFSET = 10_000
"""How far above the port for actors the one for browsers is, as in RabbitMQ's own defaults."""

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0


class BrokerNotUpError(RoleMLError):
    """The broker did not start. The message ends with what it said."""

    code = "RML-L004"


@dataclass(frozen=True)
class Running:
    """A broker that is up, as its file ``broker.json`` remembers it."""

    url: str
    management: str | None
    folder: str
    processes: Mapping[str, int]
    """Pids by what their command line contains, the ones to be stopped first in front."""
    container: str | None = None

    @staticmethod
    def read(file: Path) -> Running | None:
        if not file.exists():
            return None
        return Running(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        file.touch(0o600)  # the URL has the password in it
        file.write_text(json.dumps(asdict(self), indent=1))


@dataclass(frozen=True)
class PrivateBroker:
    """The nodes in one folder: their data, logs and password stay there when they are stopped."""

    folder: Path

    @property
    def label(self) -> str:
        """Part of the names of its nodes, other than those of any other folder."""
        return f"roleml-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}"

    @property
    def record(self) -> Path:
        return self.folder / "broker.json"

    def running(self) -> Running | None:
        """What is up, if anything is: a pid that now belongs to another program does not count."""
        running = Running.read(self.record)
        if running is None or not any(is_running(pid, word) for word, pid in running.processes.items()):
            return None
        return running

    def password(self) -> str:
        """That of the administrator; made at the first call, and kept."""
        from roleml.messaging.rabbitmq.provisioning import new_password

        file = self.folder / "password"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.touch(0o600)
            file.write_text(new_password())
        return file.read_text().strip()

    def start(
        self,
        server: Server,
        ports: Sequence[int],
        *,
        plugins: Sequence[str] = (),
        configuration: str = "",
        definitions: Mapping[str, Any] | None = None,
    ) -> Running:
        """Start a node for each port, which form a cluster if they are several, and return when they serve.

        ``configuration`` is text of rabbitmq.conf; ``definitions`` are loaded at each start, with the
        administrator added to them.

        Raises:
            BrokerNotUpError: a node ended, or took longer than two minutes; none is left running.
        """
        password = self.password()
        nodes = self._nodes(server, ports, plugins, configuration, definitions)
        self.folder.chmod(0o700)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for node in nodes:
                node.write()
                _write_rabbitmqctl(node)
            processes.append(_spawn(nodes[0], nodes[0].epmd_command(), "epmd"))
            for node in nodes:
                processes.append(_spawn(node, server.command("rabbitmq-server")))  # noqa: PERF401  # or none is killed
            _wait_until_up(nodes, processes[1:])
        except BaseException:
            for process in reversed(processes):
                process.kill()
                process.wait()
            raise
        epmd, *others = processes
        pids = {
            f"-home {server.inside(node.folder)} ": process.pid
            for node, process in zip(nodes, others, strict=True)
        }
        pids[f"-port {nodes[0].ports.epmd}"] = epmd.pid
        management = None
        if "rabbitmq_management" in plugins:
            management = f"http://{HERE}:{nodes[0].ports.management}"
        vhost = _vhosts(definitions or {})[0]["name"]
        running = Running(url_of(password, ports, vhost), management, str(self.folder), pids)
        running.write(self.record)
        return running

    def stop(self) -> bool:
        """End its processes, as an operator would. Returns whether any was there. The data stays."""
        running = self.running()
        if running is None:
            return False
        *nodes, epmd = running.processes.items()
        _end(nodes, time.monotonic() + STOP_TIMEOUT_S)
        _end([epmd], time.monotonic() + STOP_TIMEOUT_S)
        self.record.unlink()
        return True

    def delete(self) -> None:
        """Remove the folder of a broker that is stopped. Only what a broker has made is taken for one."""
        if (self.folder / "password").exists():
            shutil.rmtree(self.folder)

    def _nodes(
        self,
        server: Server,
        ports: Sequence[int],
        plugins: Sequence[str],
        configuration: str,
        definitions: Mapping[str, Any] | None,
    ) -> list[NodeFiles]:
        names = [f"{self.label}-{number}@localhost" for number in range(1, len(ports) + 1)]
        settings = {"default_user": ADMIN, "default_pass": self.password()}
        if definitions is not None:
            file = self.folder / "definitions.json"
            file.touch(0o600)
            file.write_text(json.dumps(_with_admin(definitions, self.password()), indent=1))
            settings = {"load_definitions": str(server.inside(file))}
        if len(names) > 1:
            settings["cluster_formation.peer_discovery_backend"] = "classic_config"
            for number, name in enumerate(names, 1):
                settings[f"cluster_formation.classic_config.nodes.{number}"] = name
        epmd, *distribution = free_ports(1 + len(names))
        return [
            NodeFiles(
                server,
                self.folder / f"node{number}",
                name,
                Ports(port, distribution[number - 1], port + MANAGEMENT_OFFSET, epmd),
                cookie=hashlib.sha256(self.password().encode()).hexdigest(),
                plugins=plugins,
                settings=settings,
                more_lines=configuration,
            )
            for number, (name, port) in enumerate(zip(names, ports, strict=True), 1)
        ]


def url_of(password: str, ports: Sequence[int], vhost: str = "/") -> str:
    """What actors are given."""
    hosts = ",".join(f"{HERE}:{port}" for port in ports)
    path = "" if vhost == "/" else f"/{quote(vhost, safe='')}"
    return f"amqp://{ADMIN}:{quote(password, safe='')}@{hosts}{path}"


def taken(ports: Sequence[int], management: bool) -> list[int]:
    """Those of the ports, and of the ones for browsers, where somebody listens already."""
    wanted = [*ports, *(port + MANAGEMENT_OFFSET for port in ports if management)]
    return [port for port in wanted if not is_free(port)]


def is_running(pid: int, word: str) -> bool:
    """Whether the process is there, and has this in its command line: pids are used again."""
    file = Path(f"/proc/{pid}/cmdline")
    if file.parent.parent.joinpath("self").exists():
        try:
            return word in file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return False
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return word in found.stdout


def _with_admin(definitions: Mapping[str, Any], password: str) -> dict[str, Any]:
    from roleml.messaging.rabbitmq.provisioning import password_hash

    user = {
        "name": ADMIN,
        "password_hash": password_hash(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"],
    }
    vhosts = _vhosts(definitions)
    rights = [
        {"user": ADMIN, "vhost": vhost["name"], "configure": ".*", "write": ".*", "read": ".*"}
        for vhost in vhosts
    ]
    return {
        **definitions,
        "vhosts": vhosts,
        "users": [*definitions.get("users", ()), user],
        "permissions": [*definitions.get("permissions", ()), *rights],
    }


def _vhosts(definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    return definitions.get("vhosts") or [{"name": "/"}]


def _write_rabbitmqctl(node: NodeFiles) -> None:
    """A program in the node's folder: rabbitmqctl for this node, whoever calls it from wherever."""
    environment = [f"{name}={value}" for name, value in node.environment().items()]
    file = node.folder / "rabbitmqctl"
    file.write_text(
        "#!/bin/sh\n"
        + shlex.join(["exec", "env", *environment, *node.server.command("rabbitmqctl")])
        + ' "$@"\n'
    )
    file.chmod(0o700)


def _spawn(node: NodeFiles, command: list[str], output_name: str = "output") -> subprocess.Popen[bytes]:
    with (node.folder / output_name).open("wb") as output:
        try:
            return subprocess.Popen(
                command, env=node.environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as e:
            raise BrokerNotUpError(f"cannot run {' '.join(command)}: {e}") from e


def _wait_until_up(nodes: Sequence[NodeFiles], processes: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    for node, process in zip(nodes, processes, strict=True):
        while not speaks_amqp(node.ports.amqp):
            if (code := process.poll()) is not None:
                raise BrokerNotUpError(f"{node.name} ended with {code} while starting\n{_why(node)}")
            if time.monotonic() > end:
                raise BrokerNotUpError(f"{node.name} is not up after {START_TIMEOUT_S:g} s\n{_why(node)}")
            time.sleep(0.05)


def _why(node: NodeFiles) -> str:
    """What it complains about first: crash reports, which follow, only repeat it."""
    complaints = [
        text.strip()
        for line in (node.folder / "output").read_text(errors="replace").splitlines()
        if (text := line.partition("[error] ")[2].partition("> ")[2]).strip()
    ]
    shown = "\n".join(complaints[:10]) or node.said(30)
    return f"{shown}\nits output and log are in {node.folder}"


def _end(processes: Sequence[tuple[str, int]], deadline: float) -> None:
    """Ask them to end, and wait; what is left at the deadline is ended by force."""
    for word, pid in processes:
        _signal(pid, word, signal.SIGTERM)
    for word, pid in processes:
        while is_running(pid, word):
            if time.monotonic() > deadline:
                _signal(pid, word, signal.SIGKILL)
            time.sleep(0.05)


def _signal(pid: int, word: str, number: signal.Signals) -> None:
    if is_running(pid, word):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

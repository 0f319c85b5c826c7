"""What a private RabbitMQ node runs with: its files, its environment, and ports that are free."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from roleml.cli.broker.server import Server

__all__ = ["HERE", "PORTS", "NodeFiles", "Ports", "free_ports", "is_free", "speaks_amqp"]

HERE = "127.0.0.1"

#: Below the ports that the system gives to clients: a client that reconnects while the node is down could
#: otherwise be given the node's port, and then even connect to itself.
PORTS = range(15_000, 32_000)


@dataclass(frozen=True)
class Ports:
    """Where a node is reached, on this machine only: by actors, nodes, browsers; and its port mapper."""

    amqp: int
    distribution: int
    management: int
    epmd: int


@dataclass(frozen=True)
class NodeFiles:
    """A folder with all that one node reads and writes. It sees nothing of /etc/rabbitmq, nor of the user's.

    ``settings`` are lines of rabbitmq.conf, over the ones that keep the node to this machine; ``more_lines``
    stand before them, as they are. Nothing is written before `write`.
    """

    server: Server
    folder: Path
    name: str
    ports: Ports
    cookie: str
    plugins: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    more_lines: str = ""

    def write(self) -> None:
        """Write what is to be read; data of an earlier life stays."""
        for name in ("data", "log", "plugins", "generated"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in {
            "environment.conf": "",
            "advanced.config": "[].\n",
            "enabled_plugins": f"[{','.join(self.plugins)}].\n",
            "rabbitmq.conf": self.configuration(),
        }.items():
            (self.folder / name).write_text(text)
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(0o600)
            cookie.write_text(self.cookie)
            cookie.chmod(0o400)

    def configuration(self) -> str:
        """The text of rabbitmq.conf."""
        settings = {
            "listeners.tcp.1": f"{HERE}:{self.ports.amqp}",
            "disk_free_limit.absolute": "10MB",
            "log.file.level": "info",
            "log.console": "false",
        }
        if "rabbitmq_management" in self.plugins:
            settings["management.tcp.ip"] = HERE
            settings["management.tcp.port"] = str(self.ports.management)
        lines = [f"{key} = {value}\n" for key, value in (settings | dict(self.settings)).items()]
        return self.more_lines + "".join(lines)

    def environment(self) -> dict[str, str]:
        """All that the programs of the node see."""
        folder = self.server.inside(self.folder)
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_EPMD_PORT": str(self.ports.epmd),
            "ERL_EPMD_ADDRESS": HERE,
            # Makes the script become the server instead of waiting for it: our child is the Erlang machine.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": "false",
            "RABBITMQ_NODE_IP_ADDRESS": HERE,
            "RABBITMQ_NODE_PORT": str(self.ports.amqp),
            "RABBITMQ_DIST_PORT": str(self.ports.distribution),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(PORTS.start),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(PORTS.stop),
            "RABBITMQ_BASE": str(folder),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_MNESIA_DIR": str(folder / "data/node"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "data/feature_flags"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / "log/node.log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        }

    def epmd_command(self) -> list[str]:
        """Erlang's port mapper, in the foreground; else Erlang makes it a daemon that outlives the node."""
        program = self.server.command("/usr/bin/epmd") if self.server.root else ["epmd"]
        return [*program, "-port", str(self.ports.epmd), "-address", HERE]

    def said(self, lines: int = 100) -> str:
        """The end of what the node said: on its output, which goes to the file ``output``, and in its log."""
        parts = []
        for file in ("output", "log/node.log"):
            if (path := self.folder / file).exists():
                parts += [f"--- {file}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)


def free_ports(count: int) -> list[int]:
    """Ports at which nobody listens at the moment."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(PORTS)
        if is_free(port) and port not in ports:
            ports.append(port)
    return ports


def is_free(port: int) -> bool:
    """Whether a node could listen there."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Erlang does
        probe.bind((HERE, port))
        return True
    return False


def speaks_amqp(port: int) -> bool:
    """Whether a broker answers there."""
    with contextlib.suppress(OSError), socket.create_connection((HERE, port), timeout=5.0) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return connection.recv(1) == b"\x01"
    return False

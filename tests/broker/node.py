"""A private RabbitMQ node: own ports, name, folder, plugins and configuration; `stop` leaves no trace."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tests.broker.administration import Administration
from tests.broker.console import SOURCE, Console
from tests.broker.server import INSTALL_HINT, Server

START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 20.0
COOKIE = "roleml-tests"

_numbers = itertools.count(1)


class NodeError(RuntimeError):
    """The node did not start, or a program of it failed; the message ends with what it said."""


class Node(Administration):
    """A RabbitMQ of its own, reachable from this machine only. A context manager.

    ``server``: where it is installed; the machine's own by default. ``plugins`` cost time: a start takes 2 s
    longer with rabbitmq_management. ``settings`` are lines of rabbitmq.conf, over the ones of `_settings`.
    ``epmd_port``: use the port mapper at this port instead of starting one (nodes of a cluster share one).
    Nothing starts before `start` or ``with``.
    """

    def __init__(
        self,
        server: Server | None = None,
        *,
        plugins: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        epmd_port: int | None = None,
    ) -> None:
        found = server or Server.installed()
        if found is None:
            raise NodeError(INSTALL_HINT)
        self.server: Server = found
        self.plugins = tuple(plugins)
        self.extra_settings = dict(settings or {})
        self.port, self.distribution_port, self.management_port, own_epmd_port = free_ports(4)
        self.epmd_port = epmd_port or own_epmd_port
        self.name = f"roleml-{os.getpid()}-{next(_numbers)}@localhost"
        self.folder: Path | None = None
        self._starts_epmd = epmd_port is None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._console: Console | None = None

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- life

    def start(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Start the node, again after `terminate` or `kill`, and return when it accepts AMQP connections.

        Raises:
            NodeError: it ended, or took longer than the deadline. The message ends with its log.
        """
        if self._process is not None:
            raise NodeError(f"{self.name} is running already")
        fresh = self.folder is None
        try:
            self._prepare()
            self._launch()
            self._wait_until_ready(time.monotonic() + deadline_s)
        except BaseException:
            self._end_process(signal.SIGKILL)
            if fresh:
                self.stop()
            raise

    def stop(self) -> None:
        """End the node and all that belongs to it. May be called twice, and from any state."""
        # Nobody will miss its data, and asking politely takes a second, with the management plugin five.
        self._end_process(signal.SIGKILL)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def terminate(self) -> None:
        """End the node as an operator would; its data stays for the next `start`."""
        self._end_process(signal.SIGTERM)

    def kill(self) -> None:
        """End the node as a power cut would; its data stays for the next `start`."""
        self._end_process(signal.SIGKILL)

    def restart(self) -> None:
        self.terminate()
        self.start()

    def pause(self) -> None:
        """Freeze the node: its connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def raise_alarm(self, resource: str = "memory") -> None:
        """Let the node block all publishers, as when it is short of ``memory`` or ``disk``.

        What is published after the return finds the alarm raised: asking for the alarms waits for the event.
        """
        self.evaluate(
            f"rabbit_alarm:set_alarm({{{{resource_limit, {resource}, node()}}, []}}),"
            " rabbit_alarm:get_alarms(), ok"
        )

    def clear_alarms(self) -> None:
        self.evaluate(
            "[rabbit_alarm:clear_alarm(Alarm) || {Alarm, []} <- rabbit_alarm:get_alarms()],"
            " rabbit_alarm:get_alarms(), ok"
        )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the Erlang machine, which is also its process group."""
        if self._process is None:
            raise NodeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def epmd_pid(self) -> int | None:
        """Of the port mapper, if this node started one."""
        return None if self._epmd is None else self._epmd.pid

    # ---- use

    def url(self, user: str | None = None, password: str | None = None, vhost: str = "/") -> str:
        if user is None:
            user = password = self.admin
        credentials = f"{quote(user, safe='')}:{quote(password or '', safe='')}"
        return f"amqp://{credentials}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def evaluate(self, expressions: str, timeout_s: float = 20.0) -> Any:
        """The value of an Erlang expression, evaluated in the node: see `Console.evaluate`."""
        if self._console is None:
            raise NodeError(f"{self.name} is not running")
        return self._console.evaluate(expressions, timeout_s)

    def ctl(self, *arguments: str, program: str = "rabbitmqctl", timeout_s: float = 60.0) -> str:
        """What rabbitmqctl prints. It takes a second, where `evaluate` takes a millisecond."""
        command = self.server.command(program, "--quiet", *arguments)
        done = subprocess.run(
            command, env=self._environment(), cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise NodeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def log(self, lines: int = 100) -> str:
        """The end of what the node said, first on its output and then in its log."""
        parts = []
        for file in ("output", "log/node.log"):
            if self.folder is not None and (path := self.folder / file).exists():
                parts += [f"--- {file}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)

    # ---- how

    def _settings(self) -> dict[str, str]:
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "disk_free_limit.absolute": "10MB",
            "log.file.level": "info",
            "log.console": "false",
        }
        if "rabbitmq_management" in self.plugins:
            settings["management.tcp.ip"] = "127.0.0.1"
            settings["management.tcp.port"] = str(self.management_port)
        if self.server.version >= (4, 2):
            # What upstream refuses and Debian permits. Older versions check it against a database that is not
            # loaded yet, and then some restarts fail.
            for feature in ("transient_nonexcl_queues", "global_qos"):
                settings[f"deprecated_features.permit.{feature}"] = "false"
        return settings | self.extra_settings

    def _environment(self) -> dict[str, str]:
        """All that the programs of the node see: nothing of /etc/rabbitmq, nor of our environment."""
        assert self.folder is not None
        folder = self.server.inside(self.folder)
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Makes the script become the server instead of waiting for it: our child is the Erlang machine.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": "false",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
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
            # split at spaces by the script, hence a file for what is evaluated
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f'-eval file:eval("{folder}/console.erl")',
            "ROLEML_CONSOLE_FOLDER": str(folder),
            "ROLEML_CONSOLE_PATIENCE_MS": str(round(1000 * START_DEADLINE_S)),
            "ROLEML_CONSOLE_LAST_WILL": f"kill {self.epmd_pid}" if self._epmd else "true",
        }

    def _prepare(self) -> None:
        if self.folder is None:
            if self.server.root is not None and os.geteuid() != 0:
                raise NodeError(f"the server in {self.server.root} is run with chroot, which needs root")
            self.folder = Path(tempfile.mkdtemp(prefix="roleml-broker-", dir=self.server.scratch))
            for name in ("data", "log", "plugins", "generated"):
                (self.folder / name).mkdir()
            for name, text in {
                "environment.conf": "",
                "advanced.config": "[].\n",
                "enabled_plugins": f"[{','.join(self.plugins)}].\n",
                "console.erl": SOURCE.read_text(),
                ".erlang.cookie": COOKIE,
            }.items():
                (self.folder / name).write_text(text)
            (self.folder / ".erlang.cookie").chmod(0o400)
        lines = [f"{key} = {value}\n" for key, value in self._settings().items()]
        (self.folder / "rabbitmq.conf").write_text("".join(lines))
        (self.folder / "console").unlink(missing_ok=True)
        if self._starts_epmd and self._epmd is None:
            # Otherwise Erlang starts one as a daemon that outlives the node.
            command = [*self.server.command("/usr/bin/epmd")] if self.server.root else ["epmd"]
            self._epmd = self._spawn([*command, "-port", str(self.epmd_port), "-address", "127.0.0.1"])

    def _launch(self) -> None:
        self._process = self._spawn(self.server.command("rabbitmq-server"))

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        assert self.folder is not None
        with (self.folder / "output").open("ab") as output:
            try:
                return subprocess.Popen(
                    command, env=self._environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except OSError as e:
                raise NodeError(f"cannot run {' '.join(command)}: {e}") from e

    def _wait_until_ready(self, deadline: float) -> None:
        while not self._ready():
            assert self._process is not None
            if (code := self._process.poll()) is not None:
                raise NodeError(f"{self.name} ended with {code} while starting\n{self.log()}")
            if time.monotonic() > deadline:
                raise NodeError(f"{self.name} does not accept connections yet\n{self.log()}")
            time.sleep(0.02)

    def _ready(self) -> bool:
        assert self.folder is not None
        if self._console is None:
            with contextlib.suppress(OSError):
                self._console = Console(self.folder / "console")
        return self._console is not None and speaks_amqp(self.port)

    def _end_process(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)  # a paused one would not hear of it
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # The helper programs of Erlang follow by themselves. While one is left, the group is not given away.
        deadline = time.monotonic() + 2.0
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.killpg(process.pid, 0 if time.monotonic() < deadline else signal.SIGKILL)
                time.sleep(0.005)
        if self._console is not None:
            self._console.close()
            self._console = None


#: Below the ports that the system gives to clients: a client that reconnects while the node is down could
#: otherwise be given the node's port, and then even connect to itself.
PORTS = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports


def speaks_amqp(port: int) -> bool:
    """Whether a broker answers there."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection,
    ):
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return connection.recv(1) == b"\x01"
    return False

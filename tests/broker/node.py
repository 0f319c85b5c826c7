"""A private RabbitMQ node: own ports, name, folder, plugins and configuration; `stop` leaves no trace."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from roleml.cli.broker.node import HERE, NodeFiles, Ports, free_ports, speaks_amqp
from roleml.cli.broker.server import Server
from tests.broker.administration import Administration
from tests.broker.console import SOURCE, Console

START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 20.0
COOKIE = "roleml-tests"

INSTALL_HINT = (
    "no RabbitMQ for the tests: run `sudo brokers/install-debian.sh` (apt-get install rabbitmq-server), "
    "or start Docker and pip install 'testcontainers[rabbitmq]', "
    "or set ROLEML_TEST_BROKER to amqp://user:password@host or to the folder of a server"
)

_numbers = itertools.count(1)


class NodeError(RuntimeError):
    """The node did not start, or a program of it failed; the message ends with what it said."""


class NoDiskError(NodeError):
    """There can be no disk for the data of the node alone."""


class Node(Administration):
    """A RabbitMQ of its own, reachable from this machine only. A context manager.

    ``server``: where it is installed; the machine's own by default. ``plugins`` cost time: a start takes 2 s
    longer with rabbitmq_management. ``settings`` are lines of rabbitmq.conf, over the ones of `NodeFiles`;
    ``more_lines`` is text of that file.
    ``data_bytes``: its data lies on a disk of its own of this size (a tmpfs, which needs root to mount).
    ``epmd_port``: use the port mapper at this port instead of starting one (nodes of a cluster share one).
    Nothing starts before `start` or ``with``.
    """

    def __init__(
        self,
        server: Server | None = None,
        *,
        plugins: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        more_lines: str = "",
        data_bytes: int | None = None,
        epmd_port: int | None = None,
    ) -> None:
        found = server or Server.installed()
        if found is None:
            raise NodeError(INSTALL_HINT)
        self.server: Server = found
        self.plugins = tuple(plugins)
        self.extra_settings = dict(settings or {})
        self.more_lines = more_lines
        self.data_bytes = data_bytes
        self.port, self.distribution_port, self.management_port, own_epmd_port = free_ports(4)
        self.epmd_port = epmd_port or own_epmd_port
        self.name = f"roleml-{os.getpid()}-{next(_numbers)}@localhost"
        self.folder: Path | None = None
        #: of its cluster
        self.others: tuple[Node, ...] = ()
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
            if self.data_bytes is not None:
                subprocess.run(["umount", str(self.folder / "data")], capture_output=True, check=False)
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

    def url(
        self, user: str | None = None, password: str | None = None, vhost: str = "/", *, first: int = 0
    ) -> str:
        """``first``: with which of the nodes of its cluster the list of hosts begins."""
        if user is None:
            user = password = self.admin
        credentials = f"{quote(user, safe='')}:{quote(password or '', safe='')}"
        nodes = (self, *self.others)
        hosts = ",".join(f"{HERE}:{node.port}" for node in nodes[first:] + nodes[:first])
        return f"amqp://{credentials}@{hosts}/{quote(vhost, safe='')}"

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
        return "" if self.folder is None else self._files().said(lines)

    # ---- how

    def _files(self) -> NodeFiles:
        assert self.folder is not None
        settings: dict[str, str] = {}
        if self.server.version >= (4, 2):
            # What upstream refuses and Debian permits. Older versions check it against a database that is not
            # loaded yet, and then some restarts fail.
            for feature in ("transient_nonexcl_queues", "global_qos"):
                settings[f"deprecated_features.permit.{feature}"] = "false"
        ports = Ports(self.port, self.distribution_port, self.management_port, self.epmd_port)
        return NodeFiles(
            self.server, self.folder, self.name, ports, COOKIE, self.plugins, settings | self.extra_settings,
            self.more_lines,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """All that the programs of the node see: nothing of /etc/rabbitmq, nor of our environment."""
        assert self.folder is not None
        folder = self.server.inside(self.folder)
        last_will = [f"kill {self.epmd_pid}"] if self._epmd else []
        if self.data_bytes is not None:
            last_will.append(f"umount --lazy {folder}/data")
        return {
            **self._files().environment(),
            # split at spaces by the script, hence a file for what is evaluated
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f'-eval file:eval("{folder}/console.erl")',
            "ROLEML_CONSOLE_FOLDER": str(folder),
            "ROLEML_CONSOLE_PATIENCE_MS": str(round(1000 * START_DEADLINE_S)),
            "ROLEML_CONSOLE_LAST_WILL": "; ".join(last_will) or "true",
        }

    def _prepare(self) -> None:
        if self.folder is None:
            if self.server.root is not None and os.geteuid() != 0:
                raise NodeError(f"the server in {self.server.root} is run with chroot, which needs root")
            self.folder = Path(tempfile.mkdtemp(prefix="roleml-broker-", dir=self.server.scratch))
            (self.folder / "console.erl").write_text(SOURCE.read_text())
            if self.data_bytes is not None:
                self._mount(self.folder / "data", self.data_bytes)
        self._files().write()
        (self.folder / "console").unlink(missing_ok=True)
        if self._starts_epmd and self._epmd is None:
            # Otherwise Erlang starts one as a daemon that outlives the node.
            self._epmd = self._spawn(self._files().epmd_command())

    def _mount(self, folder: Path, size_bytes: int) -> None:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoDiskError(f"no disk for {self.name}: {done.stderr.strip()}")

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

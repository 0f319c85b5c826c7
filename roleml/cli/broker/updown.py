"""`roleml broker up` and `down`: a RabbitMQ to work with, on this machine and for this machine only."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from roleml.cli.broker.container import IMAGE, ContainerBroker
from roleml.cli.broker.private import (
    ADMIN,
    MANAGEMENT_OFFSET,
    BrokerNotUpError,
    PrivateBroker,
    Running,
    taken,
)
from roleml.cli.broker.server import Server
from roleml.cli.command import CommandError, at_least

__all__ = ["down", "register", "up"]

DEFAULT_PORT = 5672

UP = f"""\
Starts a RabbitMQ that only this machine can reach, and prints its URL. It goes on running when this command
has ended. It is an installed rabbitmq-server if there is one, under your user and apart from the system's own
service; otherwise a container of {IMAGE}. Data, log and password are kept in a folder that only you can read,
and found again at the next start. A broker that is up already is left as it is."""

DOWN = """\
Stops the RabbitMQ that `roleml broker up` has started, by its process ids. Its data stays for the next start,
unless --delete is given."""


def register(actions: Any) -> None:
    """Add `up` and `down` to the actions of `roleml broker`."""
    parser = actions.add_parser("up", help="start a RabbitMQ of your own", description=UP)
    add = parser.add_argument
    add(
        "--port",
        type=at_least(1),
        default=DEFAULT_PORT,
        metavar="N",
        help="for actors (default: %(default)s)",
    )
    add("--management", action="store_true",
        help=f"with pages to look at in a browser, {MANAGEMENT_OFFSET} ports above")  # fmt: skip
    add("--nodes", type=at_least(1), default=1, metavar="N",
        help="nodes that form a cluster, at this port and the ones above (default: %(default)s)")  # fmt: skip
    add("--config", type=Path, metavar="FILE", help="lines of rabbitmq.conf, such as brokers/rabbitmq.conf")
    add("--definitions", type=Path, metavar="FILE",
        help="vhosts, policies and more to load, such as brokers/definitions.json")  # fmt: skip
    add("--server", type=Path, metavar="FOLDER", help="an unpacked RabbitMQ, instead of the installed one")
    add("--docker", action="store_true", help="a container, although a server is installed")
    add("--shell", action="store_true",
        help='for eval "$(roleml broker up --shell)": standard output sets ROLEML_BROKER, all else is on '
        "standard error")  # fmt: skip
    add("--image", default=IMAGE, help="what the container is made of (default: %(default)s)")
    _common(parser)
    parser.set_defaults(run=up)
    parser = actions.add_parser("down", help="stop it", description=DOWN)
    parser.add_argument("--delete", action="store_true", help="also delete all its data")
    _common(parser)
    parser.set_defaults(run=down)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        type=Path,
        default=default_folder(),
        metavar="FOLDER",
        help="where its data is; each folder can have one that is up (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def default_folder() -> Path:
    """One for each user, so that `down` finds it from anywhere."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "roleml" / "broker"


def up(arguments: argparse.Namespace) -> int:
    """Start the broker, unless it is up, and say where it is."""
    broker = PrivateBroker(arguments.folder.resolve())
    running = broker.running() or ContainerBroker(broker).running()
    if running is not None:
        show(arguments, running, "is up already")
        return 0
    ports = list(range(arguments.port, arguments.port + arguments.nodes))
    server = None if arguments.docker else choose_server(arguments.server)
    if occupied := taken(ports, arguments.management or server is None):
        raise CommandError(
            f"port {occupied[0]} is in use, perhaps by another RabbitMQ: choose one with --port, "
            f"such as --port {arguments.port + 1000}"
        )
    try:
        if server is not None:
            running = broker.start(
                server,
                ports,
                plugins=["rabbitmq_management"] if arguments.management else [],
                configuration=read(arguments.config),
                definitions=read_definitions(arguments.definitions),
            )
        else:
            running = start_container(arguments, broker)
    except BrokerNotUpError as error:
        print(f"roleml broker up: {error}", file=sys.stderr)
        return 1
    show(arguments, running, "is up")
    return 0


def choose_server(folder: Path | None) -> Server | None:
    """The one in the folder, else the installed one, else None."""
    if folder is None:
        return Server.installed()
    try:
        return Server.at(folder)
    except FileNotFoundError as error:
        raise CommandError(f"--server: {error}") from error


def start_container(arguments: argparse.Namespace, broker: PrivateBroker) -> Running:
    container = ContainerBroker(broker)
    if not container.possible():
        raise CommandError(
            "no RabbitMQ is installed here, and no Docker answers. Install one of them: on Debian and Ubuntu "
            "'apt-get install rabbitmq-server', on macOS 'brew install rabbitmq', elsewhere as "
            "https://www.rabbitmq.com/docs/download says"
        )
    if arguments.nodes > 1 or arguments.config or arguments.definitions:
        raise CommandError("--nodes, --config and --definitions need an installed RabbitMQ, not a container")
    return container.start(arguments.port, arguments.image)


def down(arguments: argparse.Namespace) -> int:
    """Stop the broker; that there is none is no error."""
    broker = PrivateBroker(arguments.folder.resolve())
    container = ContainerBroker(broker)
    in_container = container.running() is not None
    stopped = broker.stop() or container.stop()
    if arguments.delete:
        if in_container:
            container.delete()
        broker.delete()
    if arguments.json:
        print(json.dumps({"stopped": stopped, "folder": str(broker.folder), "deleted": arguments.delete}))
    elif stopped:
        kept = "its data is deleted" if arguments.delete else f"its data is kept in {broker.folder}"
        print(f"stopped; {kept}")
    else:
        print(f"no broker is up in {broker.folder}")
    return 0


def show(arguments: argparse.Namespace, running: Running, how: str) -> None:
    """Where it is, for people or for a program."""
    if arguments.json:
        shown = {"url": running.url, "management": running.management, "folder": running.folder}
        print(json.dumps({**shown, "pids": list(running.processes.values()), "container": running.container}))
        return
    export = f"export ROLEML_BROKER='{running.url}'"
    if arguments.shell:
        print(export)
        lines = [f"RabbitMQ {how}, and ROLEML_BROKER says where"]
    else:
        lines = [f"RabbitMQ {how}, for programs on this machine:\n\n  {export}\n"]
    if running.management is not None:
        password = PrivateBroker(Path(running.folder)).password()
        lines.append(f"to look at: {running.management}, user {ADMIN}, password {password}")
    lines.append(f"stop it:    roleml broker down{folder_option(arguments)}")
    print("\n".join(lines), file=sys.stderr if arguments.shell else sys.stdout)


def folder_option(arguments: argparse.Namespace) -> str:
    return "" if arguments.folder == default_folder() else f" --folder {arguments.folder}"


def read(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").rstrip("\n") + "\n"
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error


def read_definitions(file: Path | None) -> dict[str, Any] | None:
    """Raises CommandError for a file that holds no definitions."""
    if file is None:
        return None
    try:
        definitions = json.loads(read(file))
    except ValueError as error:
        raise CommandError(f"{file} is no JSON: {error}") from error
    if not isinstance(definitions, dict):
        raise CommandError(f"{file} holds no mapping of vhosts, policies and so on")
    return definitions

"""`roleml broker provision`: a broker user for each actor of an application, with the rights it needs."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from roleml.cli.broker import forget, load, updown
from roleml.cli.broker.load import ADMIN_PASSWORD, apply
from roleml.cli.broker.members import Members, read_members
from roleml.cli.broker.passwords import read_passwords, write_passwords
from roleml.cli.command import CommandError, at_least

__all__ = ["register", "run"]

DEFAULT_USERS = "roleml-users.txt"

DESCRIPTION = f"""\
Reads the configurations of an application's actors, and prepares a RabbitMQ for them: a vhost, a broker
user for each actor, and permissions by which none can read the calls of another or send in its name.
Prints what to load into the broker, or does it (--apply). Passwords go to a file that only you can read;
those that are in it already are kept. The administrator's password comes from the URL of --apply or from
the environment variable {ADMIN_PASSWORD}."""


def register(commands: Any) -> None:
    """Add `broker` to the command line."""
    parser = commands.add_parser("broker", help="start a RabbitMQ, or prepare one for an application")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    updown.register(actions)
    load.register(actions)
    forget.register(actions)
    provision = actions.add_parser("provision", help="users and permissions", description=DESCRIPTION)
    add = provision.add_argument
    add("configs", nargs="+", type=Path, metavar="CONFIG", help="of an actor, of a batch, or of a Conductor")
    add("--vhost", metavar="NAME", help="the virtual host; by default that of the configured broker URL")
    add("--users", type=Path, metavar="FILE", default=Path(DEFAULT_USERS),
        help="the file of passwords (default: %(default)s)")  # fmt: skip
    add(
        "--observer",
        metavar="NAME",
        action="append",
        default=[],
        help="also a user for status, top, call and tail (with --name NAME), and for the management pages",
    )
    add("--certificates", action="store_true", help="users log in by TLS certificate, and have no password")
    add("--max-queue-bytes", type=at_least(0), default=0, metavar="N",
        help="refuse messages for a queue in which so many bytes wait (default: no limit)")  # fmt: skip
    add("--format", choices=("definitions", "script", "env"), default=None,
        help="what to print: definitions for the broker to load (default), a script of rabbitmqctl calls, "
        "or the environment of the actors")  # fmt: skip
    add("--apply", metavar="URL", help="set it up through the management API at http[s]://user@host:15672")
    add("--show-passwords", action="store_true", help="show passwords in the output of --format env")
    provision.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, remember the passwords, then apply and print."""
    from roleml.messaging.rabbitmq.provisioning import Provision, check_names

    members = read_members(arguments.configs)
    try:
        check_names([*members.actors, *arguments.observer])
    except ValueError as e:
        raise CommandError(str(e)) from e
    members = replace(members, actors=tuple(dict.fromkeys([*members.actors, *arguments.observer])))
    passwords: dict[str, str | None] = dict.fromkeys(members.actors)
    if not arguments.certificates:
        passwords.update(remember(arguments.users, members))
    provision = Provision(
        _vhost(arguments, members), passwords, arguments.max_queue_bytes, arguments.observer
    )
    if arguments.apply is not None:
        apply(arguments.apply, provision.definitions())
        note(f"provisioned {len(passwords)} users in vhost {provision.vhost!r}")
    if arguments.format == "script":
        print(provision.script(), end="")
    elif arguments.format == "env":
        print(environment(arguments, members, provision.vhost, passwords))
    elif arguments.format == "definitions" or arguments.apply is None:
        print(json.dumps(provision.definitions(), indent=1))
    return 0


def remember(file: Path, members: Members) -> dict[str, str]:
    """The passwords of the members: those in the file, and new ones, which are added to it."""
    from roleml.messaging.rabbitmq.provisioning import new_password

    known = read_passwords(file)
    new = {actor: new_password() for actor in members.actors if actor not in known}
    write_passwords(file, known | new)  # also without new ones: whoever could read it before cannot now
    note(f"passwords of {len(members.actors)} actors, {len(new)} of them new, are in {file}")
    return {actor: (known | new)[actor] for actor in members.actors}


def environment(
    arguments: argparse.Namespace, members: Members, vhost: str, passwords: dict[str, str | None]
) -> str:
    """What the processes of the actors need: one line for all, unless passwords are to be shown."""
    parts = urlsplit(members.broker or "amqp://localhost")
    host = parts.netloc.rpartition("@")[2]

    def line(user: str, more: str) -> str:
        query = "&".join(part for part in (parts.query, more) if part)
        url = urlunsplit((parts.scheme, f"{user}@{host}", f"/{quote(vhost, safe='')}", query, ""))
        return f"ROLEML_BROKER={shlex.quote(url)}"

    if arguments.certificates:
        return line(
            "{actor}", "" if "certfile" in parts.query else "certfile={actor}.pem&keyfile={actor}.key"
        )
    if not arguments.show_passwords:
        return line("{actor}", f"password_file={quote(str(arguments.users.absolute()))}")
    lines = []
    for actor, password in passwords.items():
        lines += [f"# {actor}", line(f"{actor}:{quote(password or '', safe='')}", "")]
    return "\n".join(lines)


def note(text: str) -> None:
    print(text, file=sys.stderr)


def _vhost(arguments: argparse.Namespace, members: Members) -> str:
    if arguments.vhost is not None:
        vhost: str = arguments.vhost
        return vhost
    return unquote(urlsplit(members.broker).path[1:]) or "/" if members.broker else "/"

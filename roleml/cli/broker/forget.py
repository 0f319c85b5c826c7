"""`roleml broker forget`: removes what actors that are not coming back have left on a broker."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, counted
from roleml.cli.launch import add_management, broker_url, rabbitmq_chosen

if TYPE_CHECKING:
    from roleml.messaging.rabbitmq.leftovers import Leftovers

__all__ = ["register", "run"]

DESCRIPTION = """\
Deletes the queues and exchanges of actors that are not coming back. A broker keeps an actor's queues of
tasks for a week after it has left, and the exchanges of its events for good if it was killed. What there is,
the management plugin tells. An actor that is connected is left alone, and so is one for which tasks wait,
without --force: whoever called them would wait for ever."""

EXIT_CODES = """\
exit codes: 0 nothing is left of them; 1 something was left alone; 2 the command line is wrong, or the broker
cannot be asked"""


def register(actions: Any) -> None:
    """Add `forget` to the actions of `roleml broker`."""
    parser = actions.add_parser(
        "forget", help="delete what lost actors left", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add("actors", nargs="+", metavar="ACTOR", help="name of an actor")
    add(
        "--broker", metavar="URL", type=broker_url, help="amqp://user:password@host/vhost; else ROLEML_BROKER"
    )
    add_management(parser)
    add("--force", action="store_true", help="also tasks that wait for it, or were set aside")
    add("-n", "--dry-run", action="store_true", help="only tell what would be deleted")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look, delete, tell, and return the exit code."""
    from roleml.messaging.exceptions import MsgConnectionError
    from roleml.messaging.rabbitmq.leftovers import Leftovers, leftovers
    from roleml.messaging.rabbitmq.management import ManagementAPI

    broker = rabbitmq_chosen(arguments.broker)
    try:
        api = ManagementAPI.beside(broker, arguments.management)
        found = leftovers(api, broker.vhost)
    except (ValueError, MsgConnectionError) as error:
        raise CommandError(str(error)) from error
    alone = False
    for name in dict.fromkeys(arguments.actors):
        of_actor = found.get(name, Leftovers(name))
        reason = _why_not(of_actor, force=arguments.force)
        if not reason and not arguments.dry_run:
            try:
                of_actor.delete(api, broker.vhost, tasks=arguments.force)
            except MsgConnectionError as error:
                reason = f"not all could be deleted: {error}"
        alone = alone or bool(reason)
        print(f"{name}: {reason or _told(of_actor, dry_run=arguments.dry_run)}")
    return int(alone)


def _why_not(of_actor: Leftovers, *, force: bool) -> str:
    if of_actor.connected:
        return "left alone, since it is connected: stop it first"
    if of_actor.kept and not force:
        kept = ", ".join(f"{count} in {name}" for name, count in sorted(of_actor.kept.items()))
        return f"left alone, since there are tasks: {kept}; --force throws them away"
    return ""


def _told(of_actor: Leftovers, *, dry_run: bool) -> str:
    if not of_actor.queues and not of_actor.exchanges:
        return "nothing is left of it"
    if dry_run:
        return "would delete " + ", ".join([*sorted(of_actor.queues), *sorted(of_actor.exchanges)])
    return (
        f"deleted {counted(len(of_actor.queues), 'queue')} and {counted(len(of_actor.exchanges), 'exchange')}"
    )

"""`roleml call`: one call of a service or a task."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from roleml.cli.command import CommandError, positive
from roleml.cli.foreground import describe, telling
from roleml.cli.launch import add_observing

__all__ = ["register", "run", "values_of"]

DESCRIPTION = """\
Call a service, or with --task a task, of a role that runs somewhere, and print what it returns. Arguments are
name=value, where values are YAML: 3, 0.5, true, [1, 2], text."""

EXIT_CODES = """\
exit codes: 0 it was called; 1 the call failed; 2 the command line is wrong; 3 the broker cannot be reached;
130 interrupted"""


def register(commands: Any) -> None:
    """Add `call` to the command line."""
    parser = commands.add_parser("call", help="call a role", description=DESCRIPTION, epilog=EXIT_CODES)
    add = parser.add_argument
    add("target", metavar="TARGET", help="actor/role, such as server/coordinator")
    add("channel", metavar="CHANNEL", help="the name of the service or task, such as run")
    add("arguments", metavar="NAME=VALUE", nargs="*", help="args of the message")
    add_observing(parser)
    add("--task", action="store_true", help="it is a task")
    add("--payload", metavar="NAME=VALUE", action="append", default=[], help="a payload; may be repeated")
    add("--timeout", metavar="SECONDS", type=positive, help="how long to wait for the result of a task")
    add("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


@telling("roleml call")
def run(arguments: argparse.Namespace) -> int:
    """Call, print, and return the exit code."""
    from roleml.cli.observe.observer import Observer, observing, target_of

    if arguments.timeout is not None and not arguments.task:
        raise CommandError("--timeout is for tasks: a service answers, or is known to be lost")
    target = target_of(arguments.target)
    args, payloads = values_of(arguments.arguments), values_of(arguments.payload)
    observer = Observer()
    with observing(arguments.broker, observer, name=arguments.name):
        if arguments.task:
            task = observer.call_task(target, arguments.channel, args, payloads)
            result = task.result(arguments.timeout)
        else:
            result = observer.call(target, arguments.channel, args, payloads)
    if arguments.json:
        print(json.dumps(result, default=str))
    elif result is not None:
        print(result)
    return 0


def values_of(texts: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs. Raises CommandError for what is none."""
    import yaml

    from roleml.shared.yml import Loader

    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise CommandError(f"{text!r} is no argument: write name=value, such as num_rounds=3")
        try:
            values[name] = yaml.load(value, Loader)
        except yaml.YAMLError as error:
            raise CommandError(f"the value of {name} is no YAML: {describe(error)}") from error
    return values

"""`roleml simulate`: a whole application on this machine, deployed by its Conductor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from roleml.cli.command import INTERRUPTED, CommandError
from roleml.cli.foreground import tell
from roleml.cli.launch import broker_url, chosen_broker

__all__ = ["register", "run"]

DESCRIPTION = """\
Run all actors of a run configuration in this process, deploy it, and carry out its commands. Breakpoints
work. With --processes each actor is a process of its own, and they meet at a RabbitMQ broker."""

EXIT_CODES = """\
exit codes: 0 it is done; 1 a command, a role or an actor failed; 2 the command line or the configuration is
wrong; 3 the broker cannot be reached; 130 interrupted by Ctrl-C"""


def register(commands: Any) -> None:
    """Add `simulate` to the command line."""
    parser = commands.add_parser(
        "simulate", help="run a whole application here", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", help="YAML file with a run configuration, as the Conductor deploys it")
    add(
        "-c",
        "--command",
        dest="instructions",
        metavar="LINE",
        action="append",
        help="what the Conductor is told after the deployment, such as 'start --num_rounds 2'; may be "
        "repeated; "
        "instead of the configured commands",
    )
    add("--seed", type=int, metavar="N", help="of all random numbers, instead of the configured one")
    add("--devices", metavar="FILE", help="YAML file with device profiles, instead of the configured ones")
    add(
        "--broker",
        metavar="URL",
        type=broker_url,
        help="where the actors meet, instead of a broker within this process",
    )
    add(
        "--processes", action="store_true", help="a process for each actor; needs a broker that connects them"
    )
    add("--json", action="store_true", help="print the outcome as one line of JSON, and nothing else")
    add("-v", "--verbose", action="store_true", help="show what the actors log")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return the exit code."""
    from roleml.shared.yml import YAMLError, load_yaml
    from roleml.simulation.experiment import Experiment

    try:
        experiment = Experiment.load(arguments.config)
        devices = None if arguments.devices is None else load_yaml(arguments.devices)
        experiment = experiment.changed(commands=arguments.instructions, seed=arguments.seed, devices=devices)
    except FileNotFoundError as error:
        raise CommandError(f"{error.filename or arguments.config}: {error.strerror}") from error
    except (YAMLError, ValueError, TypeError) as error:
        raise CommandError(str(error)) from error
    if not arguments.verbose:
        experiment = experiment.quieter()
    try:
        if arguments.processes:
            from roleml.cli.apart import run_apart

            outcome = run_apart(experiment, chosen_broker(arguments.broker))
        else:
            from roleml.simulation.session import run as run_here

            broker = chosen_broker(arguments.broker, "")
            outcome = run_here(experiment, broker=broker or None)
    except CommandError:
        raise
    except KeyboardInterrupt:
        print("interrupted; all actors were stopped")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the program ends here; a traceback is in the log
        return tell("roleml simulate", error)
    if arguments.json:
        print(json.dumps(asdict(outcome), default=str))
    else:
        print(summary(Path(arguments.config), asdict(outcome)))
    return 0


def summary(path: Path, outcome: Mapping[str, Any]) -> str:
    """The outcome in a line or two."""
    line = (
        f"{path}: {outcome['roles']} roles on {outcome['actors']} actors, {outcome['seconds']:.1f} s, "
        f"{outcome['bytes_sent'] / 1e6:.1f} MB through the broker"
    )
    result = outcome["result"]
    if isinstance(result, Mapping):
        return f"{line}\n  " + ", ".join(f"{key} {_shown(value)}" for key, value in result.items())
    return line if result is None else f"{line}\n  {result}"


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)

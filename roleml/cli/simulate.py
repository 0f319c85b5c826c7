"""`roleml simulate`: a whole application on this machine, deployed by its Conductor."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roleml.cli.command import CommandError, reading
from roleml.cli.foreground import Interruption, StopSignals, tell
from roleml.cli.launch import add_checkpoints, broker_url, checkpoints_of, chosen_broker
from roleml.cli.report.command import require_plots

if TYPE_CHECKING:
    from roleml.simulation import Experiment, Outcome

__all__ = ["register", "run"]

DESCRIPTION = """\
Run all actors of a run configuration in this process, deploy it, and carry out its commands. Breakpoints
work. With --processes each actor is a process of its own, and they meet at a RabbitMQ broker. A list of
actors that configure themselves, as 'roleml batch' takes it, runs until run() of all Runnable roles has
returned."""

EXIT_CODES = """\
exit codes: 0 it is done; 1 a command, a role or an actor failed; 2 the command line or the configuration is
wrong; 3 the broker cannot be reached; 130 interrupted by Ctrl-C; 143 ended by SIGTERM"""


def register(commands: Any) -> None:
    """Add `simulate` to the command line."""
    parser = commands.add_parser(
        "simulate", help="run a whole application here", description=DESCRIPTION, epilog=EXIT_CODES
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", help="YAML file with a run configuration, or a list of actors")
    add(
        "-c",
        "--command",
        dest="instructions",
        metavar="LINE",
        action="append",
        help="what the Conductor is told after the deployment, such as 'start --num_rounds 2', instead of "
        "the configured commands; may be repeated",
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
    add(
        "-o",
        "--output",
        metavar="FOLDER",
        type=Path,
        help="record what roles log as metrics there, and make a page of it (report.html)",
    )
    add_checkpoints(parser)
    add("--json", action="store_true", help="print the outcome as JSON, in one line at the end")
    add("-v", "--verbose", action="store_true", help="show what the actors log")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return the exit code."""
    if arguments.output is not None:
        require_plots()
    experiment = read(arguments)
    if not arguments.verbose:
        experiment = experiment.quieter()
    with StopSignals() as signals:
        try:
            outcome = carry_out(experiment, arguments)
        except CommandError:
            raise
        except Interruption as interruption:
            print("interrupted; all actors were stopped", file=sys.stderr)
            return interruption.exit_code
        except Exception as error:  # noqa: BLE001  # the program ends here; a traceback is in the log
            return tell("roleml simulate", error)
        signals.hold()
        if arguments.output is not None:
            report(arguments)
        if arguments.json:
            print(json.dumps(asdict(outcome), default=str))
        else:
            print(summary(Path(arguments.config), outcome))
    return 0


def read(arguments: argparse.Namespace) -> Experiment:
    """The experiment that the command line asks for. Raises CommandError for what is wrong with it."""
    from roleml.shared.yml import load_yaml_with_marks
    from roleml.simulation.experiment import Experiment

    try:
        with reading(arguments.config):
            experiment = Experiment.load(arguments.config)
        devices, marks = None, None
        if arguments.devices is not None:
            with reading(arguments.devices):
                devices, marks = load_yaml_with_marks(arguments.devices)
            devices = {} if devices is None else devices
        return experiment.changed(
            commands=arguments.instructions,
            seed=arguments.seed,
            devices=devices,
            device_marks=marks,
            actor=checkpoints_of(arguments),
        )
    except (ValueError, TypeError) as error:
        raise CommandError(str(error), of=error) from error


def carry_out(experiment: Experiment, arguments: argparse.Namespace) -> Outcome:
    """Run it, in this process or in several. Raises what that raises."""
    if arguments.processes:
        from roleml.cli.apart import run_apart

        return run_apart(experiment, chosen_broker(arguments.broker), arguments.output)
    from roleml.simulation.session import run as run_here

    return run_here(experiment, broker=chosen_broker(arguments.broker, "") or None, record=arguments.output)


def report(arguments: argparse.Namespace) -> None:
    """Make the page, with the configuration as it was given."""
    from roleml.cli.report.page import write
    from roleml.library.roles.recorder.entries import RECORD
    from roleml.shared.yml import load_yaml, save_yaml

    save_yaml(str(arguments.output / "config.yaml"), load_yaml(arguments.config))
    if (arguments.output / RECORD).exists():
        print(write(arguments.output), file=sys.stderr)
    else:
        print("no role of it logs metrics: there is nothing to make a page of", file=sys.stderr)


def summary(path: Path, outcome: Outcome) -> str:
    """The outcome in a line or two."""
    line = (
        f"{path}: {outcome.roles} roles on {outcome.actors} actors, {outcome.seconds:.1f} s, "
        f"{outcome.bytes_sent / 1e6:.1f} MB in {outcome.messages_sent} messages through the broker"
    )
    result = outcome.result
    if isinstance(result, Mapping):
        shown = {key: value for key, value in result.items() if not isinstance(value, Mapping | list)}
        return f"{line}\n  " + ", ".join(f"{key} {_shown(value)}" for key, value in shown.items())
    return line if result is None else f"{line}\n  {result}"


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)

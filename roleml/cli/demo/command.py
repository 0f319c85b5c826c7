"""`roleml demo`: train on real digits with real actors, in this process, and keep what came out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from roleml.cli.command import CommandError, counted
from roleml.cli.demo.display import RoundRecord, can_draw
from roleml.cli.demo.options import DemoOptions, add_arguments, from_arguments
from roleml.cli.foreground import Interruption, StopSignals, tell
from roleml.cli.processes import EndedTooEarlyError

if TYPE_CHECKING:
    from roleml.core.actor.actor import Actor

__all__ = ["register", "run"]

DESCRIPTION = """\
Federated averaging: a server and some clients, each an actor with its own share of scikit-learn's handwritten
digits, train one small neural network over the embedded broker. Nothing is downloaded."""

NEEDED = {"numpy": "numpy", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def register(commands: Any) -> None:
    """Add `demo` to the command line."""
    parser = commands.add_parser("demo", help="train on real digits, right now", description=DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, then write and name the files of the run; an interruption keeps what there is until then."""
    options = from_arguments(arguments)
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise CommandError(f"needs {', '.join(missing)}: pip install 'roleml[demo]'")
    # heavy from here on: `roleml --help` does not wait for numpy and matplotlib
    from roleml.cli.demo.application import actor_configs
    from roleml.cli.demo.report import new_run_folder, write_config
    from roleml.cli.demo.roles import Conductor
    from roleml.cli.launch import chosen_broker
    from roleml.cli.session import running, running_apart
    from roleml.core.role.exceptions import RoleInteractionError
    from roleml.library.roles.recorder.recording import Recording
    from roleml.messaging.exceptions import MsgConnectionError

    try:
        folder = new_run_folder(options.output)
    except OSError as error:
        raise CommandError(f"cannot make a folder in --output {options.output}: {error.strerror}") from error
    configs = actor_configs(options, folder)
    write_config(folder / "config.yaml", configs)
    names = [config["name"] for config in configs]
    try:
        with StopSignals(), ExitStack() as stack:
            recordings = []

            def record(_: Mapping[str, Actor]) -> None:
                recordings.append(stack.enter_context(Recording(chosen_broker(options.broker), folder)))
                recordings[0].follow(names)

            if options.processes:
                session = running_apart(configs, "conductor", options.broker, say, record)
            else:
                session = running(configs, options.broker, record)
            with session as actors:
                conductor = cast(Conductor, actors["conductor"].roles["conductor"])
                records = conductor.outcome.result()
                recordings[0].finish()
    except Interruption as interruption:
        print(f"\ninterrupted; what was trained until then is in {folder}{os.sep}", flush=True)
        return interruption.exit_code
    except MsgConnectionError as error:
        return tell("roleml demo", error)
    except EndedTooEarlyError as error:
        say(str(error))
        return error.exit_code
    except RoleInteractionError as error:
        print(f"roleml demo: the run failed: {error}\nthe log is in {folder}{os.sep}", file=sys.stderr)
        return 1
    report(options, folder, records)
    return 0


def say(text: str) -> None:
    print(f"roleml demo: {text}", file=sys.stderr, flush=True)


def report(options: DemoOptions, folder: Path, records: Sequence[RoundRecord]) -> None:
    """Write the table and the plot, show the final table, and say where everything is."""
    from roleml.cli.demo.plot import plot_metrics
    from roleml.cli.demo.report import write_csv
    from roleml.cli.report.page import PAGE, write

    write_csv(folder / "metrics.csv", records)
    plot_metrics(folder / "metrics.png", records, describe(options))
    write(folder)
    if can_draw():  # elsewhere each round has its line already
        from roleml.cli.demo.live import print_summary

        print_summary(records)
    seconds = sum(record.seconds for record in records)
    print(
        f"test accuracy {records[-1].accuracy:.4f} after {counted(len(records), 'round')} in {seconds:.1f} s"
    )
    shown = (PAGE, "metrics.png")
    others = sorted(path.name for path in folder.iterdir() if path.name not in shown)
    print(f"plot: {folder / 'metrics.png'}\nreport: {folder / PAGE}\nbeside them: {', '.join(others)}")


def describe(options: DemoOptions) -> str:
    split = "an even split" if options.alpha is None else f"a Dirichlet({options.alpha:g}) label skew"
    return (
        f"{counted(options.clients, 'client')} with {split}, {options.clients_per_round} of them per round, "
        f"{counted(options.epochs, 'epoch')} each; seed {options.seed}"
    )

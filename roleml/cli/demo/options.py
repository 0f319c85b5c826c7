"""The options of `roleml demo`: what they mean, and which combinations make no sense."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from roleml.cli.command import CommandError, at_least, positive, ratio
from roleml.cli.launch import broker_url, chosen_broker

__all__ = ["TRAINING_DIGITS", "DemoOptions", "add_arguments", "from_arguments"]

TRAINING_DIGITS = 1437
"""How many of scikit-learn's digits the clients share; the others are for testing."""


@dataclass(frozen=True)
class DemoOptions:
    """One run of the demo; the same options give the same weights."""

    clients: int = 5
    rounds: int = 30
    epochs: int = 2
    select_ratio: float = 0.6
    alpha: float | None = None
    seed: int = 1
    output: Path = Path("runs")
    broker: str | None = None
    processes: bool = False

    @property
    def client_names(self) -> list[str]:
        return [f"client{number}" for number in range(1, self.clients + 1)]

    @property
    def clients_per_round(self) -> int:
        return int(self.clients * self.select_ratio)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on `parser`."""
    default = DemoOptions()
    add = parser.add_argument
    add(
        "--clients",
        type=at_least(1),
        default=default.clients,
        metavar="N",
        help="how many clients share the training data (default: %(default)s)",
    )
    add(
        "--rounds",
        type=at_least(1),
        default=default.rounds,
        metavar="N",
        help="how often the server averages (default: %(default)s)",
    )
    add(
        "--epochs",
        type=at_least(1),
        default=default.epochs,
        metavar="N",
        help="passes over its own data a selected client makes per round (default: %(default)s)",
    )
    add(
        "--select-ratio",
        type=ratio,
        default=default.select_ratio,
        metavar="SHARE",
        help="share of the clients that trains in a round, above 0 and up to 1 (default: %(default)s)",
    )
    add(
        "--alpha",
        type=positive,
        default=default.alpha,
        metavar="ALPHA",
        help="skew of the labels: each digit is split among the clients by a Dirichlet(ALPHA) draw; "
        "0.1 gives each client few digits, 100 nearly all (default: an even split)",
    )
    add(
        "--seed",
        type=at_least(0),
        default=default.seed,
        metavar="N",
        help="the same seed gives the same weights and metrics (default: %(default)s)",
    )
    add(
        "-o",
        "--output",
        type=Path,
        default=default.output,
        metavar="FOLDER",
        help="each run makes a folder of its own in there (default: %(default)s)",
    )
    add(
        "--broker",
        type=broker_url,
        metavar="URL",
        help="message broker, such as amqp://user:password@host (default: the environment variable "
        "ROLEML_BROKER, else the one in this process)",
    )
    add(
        "--processes",
        action="store_true",
        help="run each actor in a process of its own, the conductor in this one; needs a broker",
    )


def from_arguments(arguments: argparse.Namespace) -> DemoOptions:
    """The options, or `CommandError` where one of them fits another badly."""
    options = DemoOptions(
        clients=arguments.clients,
        rounds=arguments.rounds,
        epochs=arguments.epochs,
        select_ratio=arguments.select_ratio,
        alpha=arguments.alpha,
        seed=arguments.seed,
        output=arguments.output,
        broker=arguments.broker,
        processes=arguments.processes,
    )
    if options.clients > TRAINING_DIGITS:
        raise CommandError(
            f"--clients {options.clients} is too many: there are {TRAINING_DIGITS} training digits, "
            "and each client needs at least one"
        )
    if options.clients_per_round < 1:
        raise CommandError(
            f"--select-ratio {options.select_ratio:g} of {options.clients} clients selects nobody; "
            f"with {options.clients} clients it needs to be at least {1 / options.clients:.3g}"
        )
    if options.processes and chosen_broker(options.broker).startswith("embedded:"):
        raise CommandError(
            "--processes needs a broker that connects processes, such as --broker amqp://user:password@host"
        )
    if options.output.exists() and not options.output.is_dir():
        raise CommandError(f"--output {options.output} is a file; name a folder")
    return options

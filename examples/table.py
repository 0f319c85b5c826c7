"""Runs all examples on both brokers, and prints how it went: `make examples`.

On the embedded broker all actors of an example share a process; on RabbitMQ each has its own. The
RabbitMQ is the one of `--broker` or ROLEML_BROKER, else one that is started for it and stopped
afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ACCURACY", "EXAMPLES", "Example", "main"]

HERE = Path(__file__).resolve().parent

#: What each algorithm reaches on the test images with its documented number of rounds.
ACCURACY = 0.93


@dataclass(frozen=True)
class Example:
    """A configuration below `examples/`, and a short form of its command, for tests."""

    config: str
    short: str

    @property
    def path(self) -> Path:
        return HERE / self.config

    @property
    def name(self) -> str:
        variant = self.path.stem.removeprefix("config").lstrip("-")
        return f"{self.path.parent.name} {variant}".rstrip()


EXAMPLES = [
    Example("fedavg/config.yaml", "start --num_rounds 2 --select_ratio 0.5"),
    Example("fedavg/config-weighted.yaml", "start --num_rounds 2 --select_ratio 0.5"),
    Example("fedavg/config-registration.yaml", "wait"),
    Example("gossip/config.yaml", "start --num_rounds 3"),
    Example("etree/config.yaml", "start --num_rounds 1"),
    Example("adpsgd/config.yaml", "start --num_rounds 2"),
    Example("adpsgd/config-v1.yaml", "start --num_rounds 2"),
    Example("allreduce/config.yaml", "start --num_rounds 3"),
    Example("fedbuff/config.yaml", "start --num_steps 3"),
    Example("split/config.yaml", "start --num_rounds 1"),
    Example("moving/config.yaml", "start --num_rounds 4 --move_after 0"),
]


def run(example: Example, *options: str) -> dict[str, Any]:
    """The outcome of one example, from `roleml simulate --json`."""
    command = [sys.executable, "-m", "roleml", "simulate", str(example.path), "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@contextlib.contextmanager
def rabbitmq(url: str | None) -> Iterator[str]:
    """A RabbitMQ to use."""
    if url is not None:
        yield url
        return
    sys.path.insert(0, str(HERE.parent))
    from tests.broker.node import (
        Node,
    )  # the node of the tests: own ports, own folder, and nothing stays behind

    with Node() as node:
        yield node.url()


def row(example: Example, broker: str, outcome: dict[str, Any]) -> list[str]:
    result = outcome["result"]
    return [
        example.name,
        broker,
        str(outcome["roles"]),
        str(outcome["actors"]),
        str(result["rounds"]),
        f"{result['accuracy']:.4f}",
        f"{outcome['seconds']:.1f}",
        f"{outcome['bytes_sent'] / 1e6:.1f}",
    ]


HEADER = ["example", "broker", "roles", "actors", "rounds", "accuracy", "seconds", "MB sent"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows under the header, as Markdown."""
    widths = [max(len(line[i]) for line in [HEADER, *rows]) for i in range(len(HEADER))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(HEADER), line(["-" * width for width in widths]), *map(line, rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 1 if one stays below its accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="EXAMPLE", help="only these, such as gossip")
    parser.add_argument("--broker", metavar="URL", default=os.environ.get("ROLEML_BROKER"))
    parser.add_argument("--embedded-only", action="store_true", help="leave RabbitMQ out")
    options = parser.parse_args(arguments)
    os.environ.pop("ROLEML_BROKER", None)
    chosen = [each for each in EXAMPLES if not options.names or each.name.split()[0] in options.names]
    rows: list[list[str]] = []
    with contextlib.ExitStack() as stack:
        ways = [("embedded", [])]
        if not options.embedded_only:
            url = stack.enter_context(rabbitmq(options.broker))
            ways.append(("RabbitMQ", ["--broker", url, "--processes"]))
        for example in chosen:
            for broker, how in ways:
                print(f"{example.name}, {broker} ...", file=sys.stderr, flush=True)
                rows.append(row(example, broker, run(example, *how)))
    print(table(rows))
    low = [f"{each[0]} on {each[1]}" for each in rows if float(each[5]) < ACCURACY]
    if low:
        print(f"below an accuracy of {ACCURACY}: {', '.join(low)}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())

"""Draws how the models of peers approach each other: python examples/consensus.py

Runs gossip learning and AD-PSGD, and writes runs/consensus.png. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from roleml.simulation import Experiment, run

__all__ = ["draw", "main"]

HERE = Path(__file__).resolve().parent
CURVES = {"gossip learning": "gossip/config.yaml", "AD-PSGD": "adpsgd/config.yaml"}


def draw(spreads: Mapping[str, Sequence[float]], file: Path) -> None:
    """A curve for each algorithm, over its run from beginning to end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, values in spreads.items():
        share = [100 * i / (len(values) - 1) for i in range(len(values))]
        axes.plot(share, values, marker=".", label=name)
    axes.set_yscale("log")
    axes.set_xlabel("share of the run (%)")
    axes.set_ylabel("distance of the models from their mean")
    axes.grid(alpha=0.3)
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--rounds", type=int, default=30, help="of each peer (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/consensus.png"), metavar="FILE")
    options = parser.parse_args(arguments)
    spreads = {}
    for name, config in CURVES.items():
        experiment = Experiment.load(HERE / config).quieter()
        outcome = run(experiment.changed(commands=[f"start --num_rounds {options.rounds}"]))
        spreads[name] = outcome.result["spreads"]
        print(f"{name}: from {spreads[name][0]:.4f} to {spreads[name][-1]:.4f}")
    draw(spreads, options.output)
    print(f"plot: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

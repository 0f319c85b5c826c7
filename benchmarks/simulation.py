"""What it takes to simulate federated averaging with 500 clients in one process.

Each number of clients runs in a process of its own, with all of `examples/simulation` but its number of
clients and rounds. Memory is the largest resident size; the floor is that of a process that has only imported
what the clients use.

    python benchmarks/simulation.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rows import Row, report, write

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "simulation" / "config.yaml"

CHILD = """
import dataclasses, json, resource, sys, time
from roleml.library.roles.federated import aggregator, configurator, coordinator, selector
from roleml.library.roles.trainer import epoch
from roleml.library.workload.datasets.zoo.image import digits
from roleml.library.workload.models.templates import sklearn
from roleml.simulation import Experiment, run
unit = 1024**2 if sys.platform == "darwin" else 1024
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
path, clients, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
floor_mb = peak_mb()
command = f"start --num_rounds {rounds} --select_ratio 0.1"
experiment = Experiment.load(path).changed(commands=[command]).quieter()
config = {**experiment.config, "profiles": experiment.config["profiles"][: clients + 1]}
begin = time.perf_counter()
outcome = run(dataclasses.replace(experiment, config=config))
print(json.dumps({
    "seconds": outcome.seconds, "around": time.perf_counter() - begin - outcome.seconds,
    "cpu": time.process_time(), "floor_mb": floor_mb, "peak_mb": peak_mb(),
    "megabytes": outcome.bytes_sent / 1e6, "accuracy": outcome.result["accuracy"],
}))
"""


def measure(clients: int, rounds: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(EXAMPLE), str(clients), str(rounds)],
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    runs = [(100, 2), (500, 2)] if options.quick else [(100, 50), (500, 10), (500, 50), (500, 100)]
    rows = []
    for clients, rounds in runs:
        m = measure(clients, rounds)
        absolute = (
            f"{m['around']:.1f} s around, {m['cpu']:.1f} s of CPU, {m['peak_mb']:.0f} MB at the peak of "
            f"which {m['floor_mb']:.0f} are the floor, {m['megabytes']:.1f} MB sent, "
            f"accuracy {m['accuracy']:.3f}"
        )
        name = f"{clients} clients, {rounds} rounds: seconds"
        rows.append(Row(name, m["seconds"], absolute=absolute, comparable=False))
        rows.append(Row(f"{clients} clients, {rounds} rounds: MB at the peak", m["peak_mb"]))
    report(rows, "federated averaging in one process")
    write(rows, options.json)


if __name__ == "__main__":
    main()

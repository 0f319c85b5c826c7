"""What encoding and decoding costs, against copying the same bytes and against pickle.

    python benchmarks/codec.py

Read the ratios: the variants take turns in one run, so they share whatever else the machine was doing. The
copy is of as many bytes into fresh memory; the codec can beat it at 100 MB because it asks for huge pages.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import Row, report, write

from roleml.messaging.codec import Codec

ROUNDS = 15
SECONDS_PER_ROUND = 0.02

codec = Codec()


def message_of_1_kb() -> Any:
    members = {f"client-{n}": {"loss": n / 7, "samples": n, "ready": n % 2 == 0} for n in range(20)}
    return {"args": {"round": 3, "ratio": 0.5}, "payloads": members}


def lenet_state_dict() -> Any:
    shapes = {
        "conv1": (6, 3, 5, 5),
        "conv2": (16, 6, 5, 5),
        "fc1": (120, 400),
        "fc2": (84, 120),
        "fc3": (10, 84),
    }
    state = OrderedDict[str, torch.Tensor]()
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.zeros(shape)
        state[f"{name}.bias"] = torch.zeros(shape[0])
    return {"args": {}, "payloads": {"update": state}}


def array_of_100_mb() -> Any:
    return {"args": {}, "payloads": {"update": np.zeros(25_000_000, np.float32)}}


def seconds_per_call(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def measure(value: Any) -> dict[str, float]:
    """Median seconds of each variant, all of them taking turns."""
    memory = memoryview(bytearray(codec.encode(value).nbytes))
    variants: dict[str, Callable[[], object]] = {
        "codec": lambda: codec.decode(codec.encode(value)),
        "copy": lambda: bytearray(memory),
        "pickle": lambda: pickle.loads(pickle.dumps(value, protocol=5)),
    }
    times = {
        name: max(1, int(SECONDS_PER_ROUND / seconds_per_call(call, 1))) for name, call in variants.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, call in variants.items():
            seconds[name].append(seconds_per_call(call, times[name]))
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    rows = []
    options = parser.parse_args()
    for make in (message_of_1_kb, lenet_state_dict, array_of_100_mb):
        value = make()
        taken = measure(value)
        name = f"encode and decode {make.__name__.replace('_', ' ')}"
        figures = ", ".join(f"{variant} {seconds * 1e6:,.1f} us" for variant, seconds in taken.items())
        absolute = f"{figures}; {codec.encode(value).nbytes / 1e3:,.1f} kB"
        rows.append(Row(f"{name} / copying it", taken["codec"] / taken["copy"], absolute=absolute))
        rows.append(Row(f"{name} / pickle", taken["codec"] / taken["pickle"]))
    report(rows, "codec / as named")
    write(rows, options.json)


if __name__ == "__main__":
    main()

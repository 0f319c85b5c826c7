"""How long `import roleml.essentials` takes, and what it drags in. Target: under 0.3 s, nothing heavy."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rows import Row, report, write

HEAVY = ["torch", "numpy", "pika", "rich", "sklearn", "matplotlib"]

CODE = """
import sys, time
began = time.perf_counter()
import roleml.essentials
seconds = time.perf_counter() - began
print(seconds, len(sys.modules), *[name for name in {heavy!r} if name in sys.modules])
"""


def measure() -> tuple[float, int, list[str]]:
    """Seconds, modules loaded in all, and the heavy ones among them, of one fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)], capture_output=True, text=True, check=True
    )
    seconds, modules, *heavy = done.stdout.split()
    return float(seconds), int(modules), heavy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15, help="fresh interpreters (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    measure(), bare_s()  # warms the disk cache and writes the byte code
    results, floors = [], []
    for _ in range(options.repeat):
        results.append(measure())
        floors.append(bare_s())
    times = sorted(seconds for seconds, _, _ in results)
    median, floor = statistics.median(times), statistics.median(floors)
    _, modules, heavy = results[0]
    spread = f"{times[0] * 1e3:.0f} to {times[-1] * 1e3:.0f} ms"
    rows = [
        Row(
            "import roleml.essentials, ms", median * 1e3, "under 300", median < 0.3,
            f"{options.repeat} fresh interpreters, {spread}; `python -c pass` takes {floor * 1e3:.0f} ms",
            comparable=False,
        ),
        Row("  the same / starting Python", median / floor),
        Row("  modules loaded", modules),
        Row("  of them heavy", len(heavy), "none", not heavy, " ".join(heavy)),
    ]  # fmt: skip
    report(rows, "import")
    write(rows, options.json)


def bare_s() -> float:
    """How long an interpreter takes that does nothing."""
    began_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()

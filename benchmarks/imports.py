"""How long `import roleml.essentials` takes, and what it drags in. Target: under 0.3 s, nothing heavy."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

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
    repeat = parser.parse_args().repeat
    measure()  # warms the disk cache and writes the byte code
    results = [measure() for _ in range(repeat)]
    times = sorted(seconds for seconds, _, _ in results)
    _, modules, heavy = results[0]
    print(f"import roleml.essentials, {repeat} fresh interpreters")
    print(f"  median  {statistics.median(times) * 1000:6.1f} ms    (target: under 300 ms)")
    print(f"  fastest {times[0] * 1000:6.1f} ms")
    print(f"  slowest {times[-1] * 1000:6.1f} ms")
    print(f"  modules {modules:6d}       heavy ones: {' '.join(heavy) or 'none'}")


if __name__ == "__main__":
    main()

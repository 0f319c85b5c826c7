"""The coverage-guided run: ``make fuzz``, or ``python -m tests.fuzz.run [--seconds N] [TARGET...]``.

atheris (libFuzzer for Python) changes inputs and keeps those that reach code which none before has reached.
It sets out from ``corpus/`` and from what earlier runs kept in ``runs/fuzz/``, where it also leaves what
breaks a promise: give that a name in `seeds.py`. A target runs in a process of its own: atheris ends it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "runs" / "fuzz"
#: of one input; whatever takes longer, is reported
INPUT_TIMEOUT_S = 10
MAX_INPUT_BYTES = 4096
MAX_MEMORY_MB = 3000
#: what is worth trying at once, instead of finding it bit by bit
WORDS = (
    *(bytes((0xC7, 0, code)) for code in (*range(1, 21), 32, 33, 34, *range(64, 69), 80, 81, 82, 127)),
    *(f"tests.fuzz.targets:{name}".encode() for name in ("Address", "Report", "Phase", "Right")),
    b"TRAIN", b"READ", b"loss", b"struct", b"array", b"<f8", b"|V0", b"<M8[s]", b"torch.bool",
    b"torch.quint8", b"sNaN", b"RMLb", b"kind", b"from", b"to", b"channel", b"transfer", b"index", b"total",
    b"crc", b"right", b"size", b"uses", b"seal", b"answer", b"x-death", b"presence", b"chunk", b"alice/boss",
)  # fmt: skip

FIGURES = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


def fuzz(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["roleml.messaging", "roleml.core.actor.conditions"]):
        from tests.fuzz.targets import TARGETS, checked

    run = TARGETS[target]
    atheris.Setup([sys.argv[0], *arguments], lambda data: checked(run, data))
    atheris.Fuzz()


def one(target: str, seconds: int) -> bool:
    """Fuzz a target in a process of its own, and print how it went; whether nothing was found."""
    kept, seeds = KEPT / target, ROOT / "tests" / "fuzz" / "corpus" / target
    kept.mkdir(parents=True, exist_ok=True)
    words = KEPT / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS))
    options = {
        "max_total_time": seconds,
        "timeout": INPUT_TIMEOUT_S,
        "max_len": MAX_INPUT_BYTES,
        "rss_limit_mb": MAX_MEMORY_MB,
        "dict": words,
        "artifact_prefix": f"{kept}-",
        "print_final_stats": 1,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()] + [str(kept), str(seeds)]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", "--in-process", target, *arguments],
        cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    took_s = time.monotonic() - begin
    output = done.stdout + done.stderr
    (KEPT / f"{target}.log").write_text(output)
    executed = re.search(r"number_of_executed_units: (\d+)", output)
    figures = FIGURES.findall(output)
    edges, features, inputs = figures[-1] if figures else ("?", "?", "?")
    count = executed[1] if executed else "?"
    result = "ok" if done.returncode == 0 else f"FAILED, see {KEPT / target}.log and {kept}-*"
    print(
        f"{target:<11} {took_s:5.0f} s  {count:>9} executions  {edges:>5} branches  {features:>5} features"
        f"  {inputs:>4} inputs kept  {result}",
        flush=True,
    )
    return done.returncode == 0


def main() -> int:
    if sys.argv[1:2] == ["--in-process"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default"
    )
    parser.add_argument("--seconds", type=int, default=180, help="for all targets together (default: 180)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    chosen = arguments.targets or list(TARGETS)
    results = [one(target, max(1, arguments.seconds // len(chosen))) for target in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The tutorial that RoleML grew from, as a program: its code, cell by cell, in a process of its own.

The document is not part of this repository; where it lies beside it, it binds. What differs here from a
reader's run is in `CHANGES`: another dataset folder (random images in the format of CIFAR-10), one round, and
a thread pool that holds all seven actors on a machine with two cores.
"""

from __future__ import annotations

import ast
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT.parent / "shared" / "tutorial"

MARKER = "In [None]:"

CHANGES = {
    "DATASET_ROOT = '/home/roleml/datasets/cifar-10'": "DATASET_ROOT = {dataset_root!r}",
    "'num_rounds': 10,": "'num_rounds': 1,",
    "executor = ThreadPoolExecutor()": "executor = ThreadPoolExecutor(32)",
}

# Before the first cell: watches the log, since that is what the tutorial tells its reader to watch.
BEFORE = """
import logging, threading

class _Log(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines, self.changed = [], threading.Condition()

    def emit(self, record):
        with self.changed:
            self.lines.append(record.getMessage())
            self.changed.notify_all()

    def wait(self, text, count=1):
        with self.changed:
            seen = self.changed.wait_for(lambda: sum(text in line for line in self.lines) >= count, 100)
            assert seen, f"never logged {count} times: {text}"

_log = _Log()
logging.getLogger("roleml").addHandler(_log)
"""

WAIT_UNTIL_READY = """
_log.wait("role instance (trainer) is READY", 5)
_log.wait("role instance (coordinator) is READY")
"""

WAIT_UNTIL_DONE = """
_log.wait("FL is done")
"""

AFTER = """
assert executor._shutdown and not any(thread.is_alive() for thread in executor._threads)
print("ROUND", next(line for line in _log.lines if line.startswith("round 0 test result is")))
print("DONE", "FL is done!!!!" in _log.lines)
"""


def parses(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def cells(document: str) -> list[str]:
    """The code cells. Prose follows without a mark: a cell is the longest run of paragraphs that parses."""
    found = []
    for part in document.split(MARKER)[1:]:
        # shell and pip lines belong to the notebook, not to Python
        part = re.sub(r"^[!%].*$", "", part, flags=re.MULTILINE)
        paragraphs = part.strip("\n").split("\n\n")
        prefixes = ("\n\n".join(paragraphs[:count]) for count in range(len(paragraphs), 0, -1))
        found.append(next((prefix for prefix in prefixes if parses(prefix)), ""))
    return found


def program(documents: list[str], dataset_root: Path) -> str:
    code = [cell for document in documents for cell in cells(document)]
    text = "\n\n# ---- cell\n".join(code)
    for old, new in CHANGES.items():
        assert text.count(old) == 1, f"the tutorial no longer says {old!r} once"
        text = text.replace(old, new.format(dataset_root=str(dataset_root)))
    start = "executor.submit(actor_conductor.run)"
    assert text.count(start) == 1
    return BEFORE + text.replace(start, WAIT_UNTIL_READY + start + WAIT_UNTIL_DONE) + AFTER


def write_random_cifar_10(folder: Path) -> None:
    """Random images in the original file format. File 0 exists because the first client asks for it."""
    random = np.random.default_rng(0)
    for name in ["test_batch", *(f"data_batch_{index}" for index in range(6))]:
        content = {
            b"data": random.integers(0, 256, (10_000, 3072), dtype=np.uint8),
            b"labels": random.integers(0, 10, 10_000).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=4))


def check_tutorial(folder: Path, **environment: str) -> None:
    """Run the tutorial in `folder` and find in its output what it promises."""
    write_random_cifar_10(folder)
    documents = [path.read_text(encoding="utf-8") for path in sorted(TUTORIAL.glob("*.md"))]
    script = folder / "tutorial.py"
    script.write_text(program(documents, folder), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=230,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "ROUND round 0 test result is {'accuracy': " in done.stdout
    assert "DONE True" in done.stdout

"""Whole programs over RabbitMQ: nothing in them is changed, the broker comes from the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tutorial import ROOT, TUTORIAL, check_tutorial

FEDAVG = ROOT / "examples" / "tutorial" / "fedavg.py"
ACTORS = ["desk0", "desk1", "desk2", "desk3", "desk4", "server", "laptop"]

BUILD = "actors = [build(config) for config in [*desks, server, laptop]]\n"
STOP = "for actor in reversed(actors):\n"
SHOW = """
import hashlib
print("weights", hashlib.sha256(actors[-2].roles["averager"].model().weights.tobytes()).hexdigest())
"""

# Instead of everything behind the configuration: the actor that is asked for, until its input ends.
ONE_ACTOR = """
import sys

(config,) = (config for config in [*desks, server, laptop] if config["name"] == sys.argv[1])
with build(config) as actor:
    actor.start()
    print("ready", flush=True)
    if actor.profile.name == "laptop":
        actor.roles["experimenter"].curve.result(timeout=60)
    else:
        sys.stdin.read()
        if actor.profile.name == "server":
            actors = [actor, None]
"""


def run_python(code: str, *arguments: str, folder: Path, broker: str) -> subprocess.Popen[str]:
    script = folder / f"program-{'-'.join(arguments)}.py"
    script.write_text(code, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ROLEML_BROKER": broker},
    )


@pytest.fixture(scope="module")
def source() -> str:
    text = FEDAVG.read_text(encoding="utf-8")
    assert text.count(BUILD) == text.count(STOP) == 1, "the script no longer builds and stops as it did"
    return text


def in_one_process(source: str, folder: Path, broker: str) -> str:
    process = run_python(source.replace(STOP, SHOW + STOP), folder=folder, broker=broker)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    return output


def in_a_process_each(source: str, folder: Path, broker: str) -> str:
    code = source.partition(BUILD)[0] + ONE_ACTOR
    code += SHOW.replace("\n", "\n" + 12 * " ")
    processes: list[subprocess.Popen[str]] = []
    try:
        processes += [run_python(code, name, folder=folder, broker=broker) for name in ACTORS[:-1]]
        for process in processes:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "ready\n":
                    break
            else:
                pytest.fail("an actor ended before it was ready")
        processes.append(run_python(code, ACTORS[-1], folder=folder, broker=broker))
        outputs = [process.communicate(timeout=100)[0] for process in reversed(processes)]
        assert not any(process.returncode for process in processes), "".join(outputs)
        return "".join(outputs)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def rounds_and_weights(output: str) -> list[str]:
    """What must be the same everywhere. Lines of two handlers that print at once may run together."""
    rounds = re.findall(r"round +(\d+)  [█ ]{40}  (\d\.\d+)", output)
    weights = re.findall(r"^weights (\w+)$", output, re.MULTILINE)
    return [f"{number}: {accuracy}" for number, accuracy in sorted(rounds, key=lambda r: int(r[0]))] + weights


@pytest.mark.timeout(240)
@pytest.mark.skipif(not TUTORIAL.is_dir(), reason="the tutorial does not lie beside this repository")
def test_the_code_of_the_tutorial_runs_unchanged_over_rabbitmq(broker_url: str, tmp_path: Path) -> None:
    check_tutorial(tmp_path, ROLEML_BROKER=broker_url)


@pytest.mark.timeout(240)
def test_federated_averaging_gives_the_same_weights_over_rabbitmq_in_one_process_and_in_seven(
    source: str, broker_url: str, tmp_path: Path
) -> None:
    embedded = rounds_and_weights(in_one_process(source, tmp_path, "embedded://"))
    assert len(embedded) == 20 + 1
    assert rounds_and_weights(in_one_process(source, tmp_path, broker_url)) == embedded
    assert rounds_and_weights(in_a_process_each(source, tmp_path, broker_url)) == embedded

"""Whole applications in this process, and one process for each actor."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from roleml.cli.main import main
from roleml.core.builders.errors import ConfigError
from roleml.core.role.exceptions import RoleInteractionError
from roleml.library.roles.conductor.deployment import DeploymentError
from roleml.simulation import Experiment, run
from tests.programs import Program

ROLES = """
import random
import roleml.essentials as rml
from roleml.library.roles.conductor import Conductor

class Worker(rml.Role):
    def __init__(self, index=0):
        super().__init__()
        self.index = index

    @rml.Service(expand=True)
    def square(self, _, data):
        return self.index ** 2, len(data)

    @rml.Service(expand=True)
    def fail(self, _):
        raise RuntimeError("out of paint")

class Adds(Conductor):
    def __init__(self, title="adds"):
        super().__init__(title)
        self.cli.add_command("start", self.start, expand_arguments=True)
        self.cli.add_command("fail", self.fail, expand_arguments=True)
        self.cli.add_command("quiet", lambda: None, expand_arguments=True)

    def start(self, times: int = 1):
        total = 0
        for _ in range(times):
            for worker in self.ctx.relationships.get_relationship("worker"):
                square, _ = self.call(worker, "square", payloads={"data": bytes(1000)})
                total += square
        return {"total": total, "random": random.random()}

    def fail(self):
        self.call(next(iter(self.ctx.relationships.get_relationship("worker"))), "fail")
"""

CONFIG = """
profiles: [{name: w1}, {name: w2}, {name: w3}]
roles:
  w.: {worker: {class: MODULE.Worker, options: {index: '$c[1-3]'}}}
relationship_rules:
  conductor: {worker: 'w.*'}
experiment:
  conductor: MODULE.Adds
  commands: [start, quiet]
  seed: 3
"""

numbers = iter(range(10**6))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an application, whose module has a name of its own."""
    name = f"simulated_roles_{next(numbers)}"
    (tmp_path / f"{name}.py").write_text(ROLES)
    (tmp_path / "config.yaml").write_text(CONFIG.replace("MODULE", name))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def change(folder: Path, old: str, new: str) -> Path:
    file = folder / "config.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def test_an_experiment_is_deployed_and_carried_out(folder: Path) -> None:
    before = {thread for thread in threading.enumerate() if thread.name == "roleml-simulated-links"}
    outcome = run(Experiment.load(folder / "config.yaml"))
    assert outcome.result["total"] == 14
    assert (outcome.actors, outcome.roles) == (4, 3)
    assert 3000 < outcome.bytes_sent < 10_000
    assert outcome.seconds > 0
    assert not list(folder.glob("run-*.yaml"))
    assert {thread for thread in threading.enumerate() if thread.name == "roleml-simulated-links"} == before


def test_the_seed_decides(folder: Path) -> None:
    experiment = Experiment.load(folder / "config.yaml")
    first, again, other = (run(experiment.changed(seed=seed)).result["random"] for seed in (1, 1, 2))
    assert first == again != other


def test_other_commands_may_be_given(folder: Path) -> None:
    experiment = Experiment.load(folder / "config.yaml").changed(commands=["start --times 2"])
    assert run(experiment).result["total"] == 28


def test_what_a_command_raises_is_raised(folder: Path) -> None:
    experiment = Experiment.load(folder / "config.yaml").changed(commands=["fail"])
    with pytest.raises(RoleInteractionError, match="out of paint"):
        run(experiment)
    assert run(experiment.changed(commands=["start"])).result["total"] == 14  # nothing was left behind


def test_a_role_that_cannot_be_made_ends_it(folder: Path) -> None:
    change(folder, "{index:", "{indx:")
    with pytest.raises(DeploymentError, match="indx"):
        run(Experiment.load(folder / "config.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "seed: 3",
            "sed: 3",
            "10:3: experiment.sed: unknown key 'sed' of an experiment; did you mean 'seed'?",
        ),
        ("seed: 3", "devices: {w1: {sped: 1}}", "experiment.devices.w1.sped: unknown key 'sped' of a device"),
        ("seed: 3", "actor: {log_level: INFO}", "'log_level' is no key that all actors can share"),
        ("seed: 3", "actor: {name: x}", "'name' is no key that all actors can share"),
        ("profiles", "profile", "unknown key 'profile' of a run configuration"),
    ],
)
def test_a_wrong_experiment_says_where(folder: Path, old: str, new: str, complaint: str) -> None:
    file = change(folder, old, new)
    with pytest.raises(ConfigError) as caught:
        Experiment.load(file)
    assert complaint in str(caught.value)


def test_devices_slow_it_down(folder: Path) -> None:
    experiment = Experiment.load(folder / "config.yaml")
    slow = experiment.changed(devices={"w1": {"seconds": {"square": 0.3}}, "w2": {"latency_ms": 150}})
    outcome = run(slow)
    assert outcome.result["total"] == 14
    assert outcome.seconds >= 0.3 + 2 * 0.15  # one call after the other: there and back


def test_without_commands_the_conductor_asks(folder: Path) -> None:
    file = change(folder, "  commands: [start, quiet]\n", "")
    with Program(folder, "roleml", "simulate", str(file)) as program:
        program.write("start --times 3\nunknown\n")
        program.close_input()
        assert program.end() == 0, program.text
    assert "unknown command 'unknown'" in program.text
    assert "3 roles on 4 actors" in program.text


def test_breakpoints_work(folder: Path) -> None:
    (module,) = folder.glob("simulated_roles_*.py")
    line = "        return self.index ** 2"
    module.write_text(module.read_text().replace(line, f"        breakpoint()\n{line}"))
    with Program(folder, "roleml", "simulate", "config.yaml") as program:
        program.write("p self.index * 100\nc\n" * 3)
        assert program.end() == 0, program.text
    for number in (100, 200, 300):
        assert str(number) in program.text


def test_the_command_line_prints_the_outcome(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(folder / "config.yaml"), "--json", "--seed", "5"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["result"]["total"] == 14
    assert outcome["actors"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["nowhere.yaml"], 2, "nowhere.yaml: No such file"),
        (["config.yaml", "-c", "fail"], 1, "out of paint"),
        (["config.yaml", "-c", "strat"], 1, "unknown command 'strat'; did you mean 'start'?"),
        (["config.yaml", "--processes"], 2, "--broker"),
        (["config.yaml", "--broker", "amqp://127.0.0.1:9"], 3, "cannot connect"),
        (["config.yaml", "--devices", "nowhere.yaml"], 2, "nowhere.yaml: No such file"),
    ],
)
def test_what_goes_wrong_is_told(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["simulate", *arguments]) == code
    assert complaint in capsys.readouterr().err


def test_device_profiles_need_one_process(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "devices.yaml").write_text("w1: {speed: 0.5}")
    arguments = [str(folder / "config.yaml"), "--devices", str(folder / "devices.yaml"), "--processes"]
    assert main(["simulate", *arguments, "--broker", "amqp://127.0.0.1:9"]) == 2
    assert "leave out --processes" in capsys.readouterr().err


def test_an_interruption_stops_all_actors(folder: Path) -> None:
    change(folder, "commands: [start, quiet]", "commands: ['start --times 100000000']")
    with Program(folder, "roleml", "simulate", "config.yaml", "--verbose") as program:
        program.line_with("deploy completed")
        program.interrupt()
        assert program.end() == 128 + signal.SIGINT, program.text
    assert "interrupted; all actors were stopped" in program.text
    assert "Traceback" not in program.text


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_a_process_for_each_actor_gives_the_same(folder: Path, broker_url: str) -> None:
    outcomes: list[Any] = []
    for how in (["--broker", broker_url], ["--broker", broker_url, "--processes"]):
        with Program(folder, "roleml", "simulate", "config.yaml", "--json", *how) as program:
            assert program.end() == 0, program.text
        outcomes.append(json.loads(program.text.splitlines()[-1]))
    assert outcomes[0]["result"]["total"] == outcomes[1]["result"]["total"] == 14
    assert abs(outcomes[0]["bytes_sent"] - outcomes[1]["bytes_sent"]) < 3000

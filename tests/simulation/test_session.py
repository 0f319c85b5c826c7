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
from roleml.simulation import Experiment, RunEndedError, run
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
        (
            "seed: 3",
            "devices: {w1: {mean_on_s: 3}}",
            "10:18: experiment.devices.w1.mean_on_s: mean_on_s needs",
        ),
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


def test_devices_change_when_and_not_what(folder: Path) -> None:
    experiment = Experiment.load(folder / "config.yaml")
    slow = experiment.changed(
        devices={
            "w1": {"speed": [0.3, 0.6], "latency_ms": [1, 5], "jitter_ms": 10},
            "w2": {"mean_on_s": 0.05, "mean_off_s": 0.05, "down_mbps": 1},
            ".*": {"seconds": {"square": [0.01, 0.05]}},
        }
    )
    assert run(slow).result == run(experiment).result == run(slow).result


def test_the_deployment_takes_no_simulated_time(folder: Path) -> None:
    experiment = Experiment.load(folder / "config.yaml").changed(
        commands=["quiet"], devices={".*": {"latency_ms": 10**9}}
    )
    assert run(experiment).roles == 3  # and nobody is waited for in the end


def test_a_wrong_device_file_says_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "devices.yaml"
    file.write_text("w1:\n  sped: 0.5\n")
    assert main(["simulate", str(folder / "config.yaml"), "--devices", str(file)]) == 2
    assert f"{file}:2:3: w1.sped: unknown key 'sped' of a device; did you mean" in capsys.readouterr().err


def test_a_conductor_that_is_none_is_refused(folder: Path) -> None:
    file = change(folder, ".Adds", ".Worker")
    with pytest.raises(ConfigError, match=r"experiment.conductor: Worker is no subclass of .*Conductor"):
        run(Experiment.load(file))


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


def test_what_takes_long_is_cut_short_by_an_interruption(folder: Path) -> None:
    change(folder, "seed: 3", "devices: {w1: {seconds: {square: 100000}}, w2: {latency_ms: 1.0e+8}}")
    with Program(folder, "roleml", "simulate", "config.yaml", "--verbose") as program:
        program.line_with("deploy completed")
        program.interrupt()
        assert program.end() == 128 + signal.SIGINT, program.text


LIST = """
profiles:
  - name: worker
    roles: {worker: {class: MODULE.Worker, options: {index: 3}}}
  - name: asker
    relationships: {worker: worker/worker}
    roles: {asker: MODULE.Asker}
experiment: {seed: 1, devices: {worker: {seconds: {square: 0.05}}}}
"""

ASKER = """

class Asker(rml.Role, rml.Runnable):
    def run(self):
        square, _ = self.call("worker", "square", payloads={"data": bytes(1000)})
        print("the square is", square, flush=True)
"""


@pytest.fixture
def actor_list(folder: Path) -> Path:
    """A list of actors that configure themselves."""
    (module,) = folder.glob("simulated_roles_*.py")
    module.write_text(ROLES + ASKER)
    file = folder / "list.yaml"
    file.write_text(LIST.replace("MODULE", module.stem))
    return file


def test_actors_that_configure_themselves_run_until_they_are_done(
    actor_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(Experiment.load(actor_list))
    assert "the square is 9" in capsys.readouterr().out
    assert (outcome.result, outcome.actors, outcome.roles) == (None, 2, 2)
    assert outcome.bytes_sent > 1000
    assert outcome.messages_sent >= 2
    assert outcome.seconds >= 0.05


def test_a_run_that_fails_ends_it(actor_list: Path) -> None:
    actor_list.write_text(actor_list.read_text().replace("worker/worker", "worker/waker"))
    with pytest.raises(RunEndedError, match=r"run\(\) of asker/asker failed: .*no role named 'waker'"):
        run(Experiment.load(actor_list))


def test_actors_of_which_none_ends_are_refused(actor_list: Path) -> None:
    text = actor_list.read_text()
    actor_list.write_text(text[: text.index("  - name: asker")])
    with pytest.raises(ConfigError, match="no role of any of these actors is Runnable"):
        run(Experiment.load(actor_list))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "roles: {asker",
            "rolls: {asker",
            "list.yaml:7:5: profiles[1].rolls: unknown key 'rolls' of an actor",
        ),
        (
            "name: asker",
            "name: worker",
            "list.yaml:5:5: profiles[1].name: there is another actor named 'worker'",
        ),
        (
            "seed: 1",
            "commands: [start]",
            "list.yaml:8:14: experiment.commands: these actors configure themselves",
        ),
    ],
)
def test_a_wrong_list_says_where(actor_list: Path, old: str, new: str, complaint: str) -> None:
    actor_list.write_text(actor_list.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        Experiment.load(actor_list)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-c", "start"], "there is no Conductor"),
        (["--processes", "--broker", "amqp://127.0.0.1:9"], "roleml batch list.yaml --exit-when-done"),
    ],
)
def test_what_a_list_of_actors_cannot_do(
    actor_list: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["simulate", str(actor_list), *arguments]) == 2
    assert complaint in capsys.readouterr().err


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

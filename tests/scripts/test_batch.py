from __future__ import annotations

from pathlib import Path

import pytest

import roleml.essentials as rml
from roleml.cli.launch import Profiling
from roleml.scripts.runner.batch import batch_initiate, batch_initiate_with_profiling
from tests.programs import Program, run_program, write_application

MODULE = "roleml.scripts.runner.batch"
ACTORS = [{"name": "a", "seed": 1}, {"name": "b"}]
BROKER = {"broker": "amqp://localhost"}


class CustomBuilder(rml.ActorBuilder):
    pass


def launch_of(process: object) -> object:
    (launch,) = process._args
    return launch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_application(tmp_path)
    lines = [f"- {{name: {name}, roles: {{a: application.Patient}}}}\n" for name in "ab"]
    (tmp_path / "nodes.yaml").write_text("profiles:\n" + "".join(lines))
    return tmp_path


def test_processes_have_the_names_of_their_actors_and_what_is_common_wins() -> None:
    processes = batch_initiate(ACTORS, {**BROKER, "seed": 2}, actor_builder_cls=CustomBuilder, start=False)
    assert [process.name for process in processes] == ["python-roleml-a", "python-roleml-b"]
    assert [process.pid for process in processes] == [None, None]
    for process in processes:
        launch = launch_of(process)
        assert launch.config["seed"] == 2
        assert launch.builder_cls is CustomBuilder
        assert launch.profiling is None


def test_profiling_is_for_each_of_them(tmp_path: Path) -> None:
    processes = batch_initiate_with_profiling(
        ACTORS, BROKER, save_path=tmp_path, profiling_entries=5, start=False
    )
    assert [launch_of(process).profiling for process in processes] == [Profiling(tmp_path, 5)] * 2


def test_processes_that_could_not_reach_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="2 actors in processes of their own cannot reach each other"):
        batch_initiate(ACTORS, start=False)
    assert len(batch_initiate(ACTORS[:1], start=False)) == 1


@pytest.mark.timeout(90)
def test_started_processes_run_their_actors(folder: Path, broker_url: str) -> None:
    (folder / "program.py").write_text(
        "from roleml.scripts.runner.batch import batch_initiate\n"
        "import application\n"
        "roles = {'roles': {'a': application.Quitter}}\n"
        "names = [{'name': name, **roles} for name in 'ab']\n"
        f"common = {{'broker': {broker_url!r}, 'log_console_type': 'shared'}}\n"
        "for process in batch_initiate(names, common):\n"
        "    process.join()\n"
        "    print(process.name, process.exitcode)\n"
    )
    code, text = run_program(folder, "program")
    assert code == 0, text
    for name in "ab":
        assert f"INFO -      python-roleml-{name} | [roleml.actor] actor now stopped" in text
        assert f"python-roleml-{name} 0\n" in text


@pytest.mark.timeout(90)
def test_as_a_module_it_runs_profiles_with_a_common_configuration_until_ctrl_c(
    folder: Path, broker_url: str
) -> None:
    (folder / "common.yaml").write_text(f"broker: {broker_url}\nlog_console_type: shared\n")
    with Program(
        folder, MODULE, "nodes.yaml", "--common-config", "common.yaml", "-w", ".", "-s", "."
    ) as program:
        for _ in "ab":
            program.line_with("| pid")
        program.interrupt()
        assert program.end() == 0, program.text
    assert program.text.count("actor now stopped") == 2


def test_as_a_module_it_refuses_several_actors_without_a_broker(folder: Path) -> None:
    code, text = run_program(folder, MODULE, "nodes.yaml")
    assert code == 2
    assert "cannot reach each other" in text
    assert "Traceback" not in text

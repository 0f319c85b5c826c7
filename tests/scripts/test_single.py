from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.cli.command import CommandError
from roleml.cli.launch import Launch, Profiling
from roleml.scripts.runner import single
from tests.programs import Program, run_program, write_application

MODULE = "roleml.scripts.runner.single"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_application(tmp_path)
    (tmp_path / "start.yaml").write_text("name: one\nroles: {a: application.Patient}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """What would have been run."""
    launches: list[Launch] = []
    monkeypatch.setattr(single, "run_launch", launches.append)
    return launches


class CustomBuilder(rml.ActorBuilder):
    pass


class Ender(rml.Role, rml.Runnable):
    def run(self) -> None:
        self.base.stop()


def test_as_a_module_it_runs_start_yaml_until_it_is_terminated(folder: Path) -> None:
    with Program(folder, MODULE) as program:
        program.line_with("pid")
        program.terminate()
        assert program.end() == 0, program.text
    assert "actor now stopped" in program.text


def test_as_a_module_it_tells_a_wrong_configuration_in_a_line(folder: Path) -> None:
    (folder / "wrong.yaml").write_text("nam: one\n")
    code, text = run_program(folder, MODULE, "-c", "wrong.yaml")
    assert code == 2
    assert "wrong.yaml:1:1: nam: unknown key" in text
    assert "Traceback" not in text


def test_the_flags_replace_keys_and_have_their_defaults(folder: Path, launched: list[Launch]) -> None:
    single.run_actor_from_cli(arguments=[])
    single.run_actor_from_cli(
        "other.yaml",
        builder_cls=CustomBuilder,
        arguments=["--config", "start.yaml", "-w", "here", "-s", "there", "-p", "-ps", "traces", "-pe", "9"],
    )
    single.run_actor_from_cli("start.yaml", arguments=["--profiling"])
    plain, changed, profiled = launched
    assert (plain.config["name"], plain.profiling, plain.builder_cls) == ("one", None, None)
    assert "workdir" not in plain.config
    assert (changed.config["workdir"], changed.config["src"]) == ("here", "there")
    assert changed.builder_cls is CustomBuilder
    assert changed.profiling == Profiling(folder / "traces", 9)
    assert profiled.profiling == Profiling(folder / "profiling", 1_000_000)


def test_a_configuration_that_is_no_mapping_is_a_type_error(folder: Path) -> None:
    (folder / "list.yaml").write_text("- name: one\n")
    with pytest.raises(TypeError, match=r"list\.yaml:1:1: a configuration is a mapping"):
        single.run_actor_from_cli(arguments=["-c", "list.yaml"])


def test_a_missing_file_and_containers_are_refused(folder: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.yaml: No such file"):
        single.run_actor_from_cli("none.yaml", arguments=[])
    with pytest.raises(CommandError, match="--containerize is not available yet"):
        single.run_actor_from_cli(arguments=["--containerize"])


def test_profiling_without_viztracer_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "viztracer", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        single.run_actor_from_cli(arguments=["-p"])
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        single.run_actor_with_profiling(name="one")


def test_run_actor_takes_the_configuration_as_keywords_and_ends_with_the_actor(folder: Path) -> None:
    built: list[Any] = []

    class Builder(rml.ActorBuilder):
        def build(self) -> rml.Actor:
            built.append(self)
            return super().build()

    single.run_actor(Builder, name="keywords", roles={"ender": Ender})
    assert built[0].profile.name == "keywords"


def test_run_actor_gracefully_runs_an_actor_that_was_built(folder: Path) -> None:
    builder = rml.ActorBuilder()
    builder.load_config({"name": "built", "roles": {"ender": {"class": Ender}}})
    actor = builder.build()
    single.run_actor_gracefully(actor)
    assert not actor.roles

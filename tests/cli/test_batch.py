from __future__ import annotations

import os
import re
import select
import signal
from pathlib import Path

import pytest

from roleml.cli.main import main
from tests.programs import Program, run_program, write_application

TWO = """\
profiles:
- name: host
  roles: {echo: application.Echo}
- name: client
  relationships: {echo: host/echo}
  roles: {asker: application.Asker}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_application(tmp_path)
    (tmp_path / "two.yaml").write_text(TWO)
    return tmp_path


def write_actors(folder: Path, **classes: str) -> str:
    """Actors with one role each."""
    lines = [f"- {{name: {name}, roles: {{a: application.{cls}}}}}\n" for name, cls in classes.items()]
    (folder / "actors.yaml").write_text("profiles:\n" + "".join(lines))
    return "actors.yaml"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["batch", *map(str, arguments)]) == 2
    return capsys.readouterr().err


# together


@pytest.mark.timeout(90)
def test_actors_of_a_file_work_together_in_processes_and_end_when_they_are_done(
    folder: Path, broker_url: str
) -> None:
    code, text = run_program(
        folder, "roleml", "batch", "two.yaml", "--broker", broker_url, "--exit-when-done"
    )
    assert code == 0, text
    assert "client | asked and answered\n" in text
    for line in text.splitlines():
        assert re.match(r"(host  |client) \| ", line), line
    for name in ("host  ", "client"):
        assert re.search(rf"{name} \| .* actor now stopped", text)
    # in the order of the file, all of them built before
    assert text.index("(echo) is READY") < text.index("(asker) is READY")
    assert text.rindex("working directory is") < text.index("actor starts running")


@pytest.mark.timeout(90)
def test_a_file_per_actor_and_common_keys_that_win(folder: Path, broker_url: str) -> None:
    (folder / "host.yaml").write_text(
        "name: host\nroles: {echo: application.Echo}\nlog_console_level: DEBUG\n"
    )
    (folder / "client.yaml").write_text(
        "name: client\nrelationships: {echo: host/echo}\nroles: {asker: application.Asker}\n"
    )
    (folder / "common.yaml").write_text(f"broker: {broker_url}\nlog_console_level: DISABLED\n")
    code, text = run_program(
        folder, "roleml", "batch", "host.yaml", "client.yaml", "-c", "common.yaml", "--exit-when-done"
    )
    assert code == 0, text
    assert text == "client | asked and answered\n"


def test_one_actor_needs_no_broker_between_processes(folder: Path) -> None:
    actors = write_actors(folder, only="Quitter")
    code, text = run_program(folder, "roleml", "batch", actors)
    assert code == 0, text
    assert f"only | in {folder}" in text
    assert "roleml batch: only ended with exit code 0" in text


# ends


@pytest.mark.timeout(90)
def test_ctrl_c_stops_all_actors_gracefully(folder: Path, broker_url: str) -> None:
    actors = write_actors(folder, a="Patient", b="Patient")
    with Program(folder, "roleml", "batch", actors, "--broker", broker_url) as program:
        for _ in "ab":
            program.line_with("| pid")
        program.interrupt()
        assert program.end() == 130, program.text
    assert "roleml batch: stopping all actors" in program.text
    assert program.text.count("actor now stopped") == 2
    assert "Traceback" not in program.text


@pytest.mark.timeout(90)
def test_a_process_that_dies_is_reported_at_once_and_tells_the_exit_code(
    folder: Path, broker_url: str
) -> None:
    actors = write_actors(folder, a="Patient", b="Patient")
    with Program(folder, "roleml", "batch", actors, "--broker", broker_url) as program:
        lines = [program.line_with("| pid") for _ in "ab"]
        (pid,) = [line.rpartition(" ")[2] for line in lines if line.startswith("b")]
        os.kill(int(pid), signal.SIGKILL)
        program.line_with("roleml batch: b was ended by SIGKILL")
        program.terminate()
        assert program.end() == 128 + signal.SIGKILL, program.text
    assert program.text.count("actor now stopped") == 1


@pytest.mark.timeout(90)
def test_an_actor_that_does_not_stop_is_ended(folder: Path, broker_url: str) -> None:
    actors = write_actors(folder, a="Stubborn", b="Patient")
    with Program(folder, "roleml", "batch", actors, "--broker", broker_url, "--stop-timeout", "2") as program:
        for _ in "ab":
            program.line_with("| pid")
        program.interrupt()
        assert program.end() == 130, program.text
    assert "roleml batch: not ended after 2 s: a; ending it now" in program.text
    assert "b | " in program.text


@pytest.mark.timeout(90)
def test_a_second_ctrl_c_ends_all_at_once(folder: Path, broker_url: str) -> None:
    actors = write_actors(folder, a="Stubborn", b="Stubborn")
    with Program(
        folder, "roleml", "batch", actors, "--broker", broker_url, "--stop-timeout", "80"
    ) as program:
        for _ in "ab":
            program.line_with("| pid")
        program.interrupt()
        program.line_with("stopping all actors")
        program.interrupt()
        assert program.end() == 130, program.text


@pytest.mark.timeout(90)
def test_an_actor_that_cannot_start_stops_the_others(folder: Path, broker_url: str) -> None:
    actors = write_actors(folder, a="Patient", b="Unbuildable")
    code, text = run_program(folder, "roleml", "batch", actors, "--broker", broker_url)
    assert code == 1, text
    assert "b | error: " in text
    assert "there is no sensor" in text
    assert "roleml batch: b ended with exit code 1\n" in text
    assert "roleml batch: stopping the others" in text


@pytest.mark.timeout(90)
def test_actors_end_with_the_process_that_started_them(folder: Path, broker_url: str) -> None:
    actors = write_actors(folder, a="Patient", b="Patient")
    with Program(folder, "roleml", "batch", actors, "--broker", broker_url) as program:
        pids = [int(program.line_with("| pid").rpartition(" ")[2]) for _ in "ab"]
        ends = [os.pidfd_open(pid) for pid in pids]
        os.kill(program.pid, signal.SIGKILL)
        for end in ends:
            select.select([end], [], [])  # readable when the process has ended
            os.close(end)


@pytest.mark.timeout(90)
def test_a_run_that_failed_is_exit_code_1(folder: Path, broker_url: str) -> None:
    actors = write_actors(folder, a="Failing", b="Echo")
    code, text = run_program(folder, "roleml", "batch", actors, "--broker", broker_url, "--exit-when-done")
    assert code == 1, text
    assert "ValueError: the disk is full" in text


def test_a_broker_that_is_not_there_is_exit_code_3(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "batch", "two.yaml", "--broker", "amqp://127.0.0.1:9")
    assert code == 3
    assert "ended with exit code 3: no place at the broker" in text


def test_waiting_for_actors_without_runnable_roles_is_refused(folder: Path) -> None:
    actors = write_actors(folder, a="Echo")
    code, text = run_program(folder, "roleml", "batch", actors, "--exit-when-done")
    assert code == 2, text
    assert "no actor has a Runnable role" in text


# what is wrongly asked


def test_processes_that_could_not_reach_each_other_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, folder / "two.yaml")
    assert "2 actors in processes of their own cannot reach each other" in error
    assert "(host, client)" in error
    assert "--broker amqp://" in error


def test_two_actors_of_one_name_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, folder / "two.yaml", folder / "two.yaml", "--broker", "amqp://localhost")
    assert "several actors are named 'client' and 'host'" in error


def test_all_that_is_wrong_with_all_files_is_told_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.yaml").write_text("profiles:\n- {name: a, sed: 1}\n- {roles: {}}\n")
    (folder / "common.yaml").write_text("seed: much\n")
    error = refused(capsys, folder / "two.yaml", folder / "wrong.yaml", "-c", folder / "common.yaml")
    assert "wrong.yaml:2:13: sed: unknown key" in error
    assert "wrong.yaml:3:3: " in error
    assert error.count("common.yaml:1:7: seed: ") == 1


def test_containers_are_not_available_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--containerize is not available yet" in refused(capsys, folder / "two.yaml", "--containerize")


LEAVING = """
import atexit, pathlib
import roleml.essentials as rml

def left(name):
    pathlib.Path(name).write_text("")

atexit.register(left, "exit")

class TakenApart:
    def __del__(self, left=left):
        left("end")

class Leaving(rml.Role, rml.Runnable):
    apart = TakenApart()

    def run(self):
        print("without a line end", end="")
"""


def test_a_process_does_what_is_to_be_done_at_its_exit_and_is_not_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING, encoding="utf-8")
    (tmp_path / "one.yaml").write_text("name: one\nroles: {leaving: {class: leaving.Leaving}}\n")
    code, said = run_program(tmp_path, "roleml", "batch", "one.yaml", "--exit-when-done")
    assert code == 0, said
    assert "without a line end" in said
    assert (tmp_path / "exit").exists()
    assert not (tmp_path / "end").exists()


ORPHAN = """
import multiprocessing, signal
from roleml.cli import processes

processes.STOP_TIMEOUT_S = 0.2
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as if the actor could not stop
parent, control = multiprocessing.Pipe()
parent.close()
processes.follow_parent(control)
"""


def test_a_process_whose_parent_is_gone_ends_although_its_actor_cannot_stop(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(ORPHAN, encoding="utf-8")
    code, said = run_program(tmp_path, "orphan")
    assert code == 1, said

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from roleml.cli.foreground import profiled
from roleml.cli.launch import Launch, Profiling, broker_chosen, read_launches
from roleml.cli.main import main
from tests.actors import wait_until
from tests.programs import Program, run_program, write_application

ONE = "name: one\nroles:\n  echo: application.Echo\n  asker: application.Asker\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_application(tmp_path)
    (tmp_path / "one.yaml").write_text(ONE)
    return tmp_path


def config(folder: Path, **roles: str) -> str:
    path = folder / "actor.yaml"
    path.write_text("name: one\nroles:\n" + "".join(f"  {n}: application.{c}\n" for n, c in roles.items()))
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["run", *arguments]) == 2
    return capsys.readouterr().err


# how a run ends


def test_an_actor_that_is_done_ends_with_0_if_asked_to(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", "one.yaml", "--exit-when-done")
    assert code == 0, text
    assert "asked and answered" in text
    assert "actor now stopped" in text


def test_an_actor_resumes_from_its_checkpoint_and_is_not_begun_anew_by_accident(folder: Path) -> None:
    path = config(folder, counting="Counting")
    (folder / "elsewhere").mkdir()
    with open(path, "a") as file:
        file.write("workdir: elsewhere\nsrc: .\ncheckpoint: saved\n")
    run = ("roleml", "run", path, "--exit-when-done")
    for number in (1, 2):
        code, text = run_program(folder, *run, "--resume")
        assert (code, f"life {number}" in text) == (0, True), text
    code, text = run_program(folder, *run)
    assert code == 1
    assert f"{folder / 'elsewhere' / 'saved' / 'one.checkpoint'}: resume to go on from it (--resume" in text
    assert "RML-R015" in text
    assert "Traceback" not in text
    code, text = run_program(folder, *run, "--checkpoint", "here")  # not below the working directory
    assert (code, "life 1" in text) == (0, True), text
    assert (folder / "here" / "one.checkpoint").exists()


def test_an_actor_stays_in_service_after_run_returned_and_ctrl_c_ends_it(folder: Path) -> None:
    with Program(folder, "roleml", "run", "one.yaml") as program:
        program.line_with("asked and answered")
        program.interrupt()
        assert program.end() == 130, program.text
    assert "role instance (echo) is TERMINATED" in program.text
    assert "actor now stopped" in program.text
    assert "Traceback" not in program.text


def test_sigterm_ends_it_as_gracefully(folder: Path) -> None:
    with Program(folder, "roleml", "run", config(folder, patient="Patient")) as program:
        program.line_with("pid")
        program.terminate()
        assert program.end() == 143, program.text
    assert "actor now stopped" in program.text


def test_a_second_ctrl_c_ends_an_actor_that_does_not_stop(folder: Path) -> None:
    with Program(folder, "roleml", "run", config(folder, stubborn="Stubborn")) as program:
        program.line_with("pid")
        program.interrupt()
        program.line_with("SIGINT: stopping")
        program.interrupt()
        assert program.end() == 130
    assert "leaving at once" in program.text


def test_an_actor_that_is_stopped_from_inside_ends_with_0(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", config(folder, quitter="Quitter"))
    assert code == 0, text
    assert text.rstrip().endswith("actor now stopped")


def test_a_failed_run_is_exit_code_1_where_it_was_waited_for(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", config(folder, bad="Failing"), "--exit-when-done")
    assert code == 1
    assert "roleml run: error: run() of role bad failed: ValueError: the disk is full" in text


def test_a_role_that_cannot_be_built_is_exit_code_1_with_its_reason(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", config(folder, bad="Unbuildable"))
    assert code == 1
    assert "there is no sensor" in text


def test_waiting_for_an_actor_without_runnable_roles_is_refused(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", config(folder, echo="Echo"), "--exit-when-done")
    assert code == 2
    assert "actor one has no Runnable role" in text


def test_a_broker_that_is_not_there_is_exit_code_3(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", "one.yaml", "--broker", "amqp://127.0.0.1:9")
    assert code == 3
    assert "roleml run: error: cannot connect to amqp://" in text
    assert "Traceback" not in text


# what is wrongly asked


def test_all_that_is_wrong_with_the_form_is_told_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "wrong.yaml"
    path.write_text("name: one\nbrokr: x\nroles:\n  echo: {}\n")
    error = refused(capsys, str(path))
    assert f"{path}:2:1: brokr: unknown key" in error
    assert f"{path}:4:3: roles.echo: " in error


def test_a_class_that_is_not_there_is_a_wrong_configuration(folder: Path) -> None:
    code, text = run_program(folder, "roleml", "run", config(folder, echo="Ecco"))
    assert code == 2
    assert "actor.yaml:3:9: roles.echo: " in text
    assert "did you mean 'Echo'" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- name: one\n", "a configuration is a mapping"),
        ("name: [one\n", "file.yaml:2:1: "),
        ("profiles: one\n", "file.yaml:1:1: profiles: expected a list of actor configurations"),
        ("profiles: []\n", "profiles: expected a list of actor configurations"),
        ("profiles: [one]\n", "file.yaml:1:12: profiles[0]: a configuration is a mapping"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    (folder / "file.yaml").write_text(content)
    told = refused(capsys, str(folder / "file.yaml"))
    assert said in told
    assert "roleml explain RML-C" in told


def test_a_run_configuration_is_said_to_be_one(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "run.yaml").write_text("profiles: [{name: one}]\nexperiment: {seed: 1}\nroles: {one: {}}\n")
    assert [launch.name for launch in read_launches(folder / "run.yaml")] == ["one"]
    (record,) = caplog.records
    assert "run.yaml:3:1: 'roles' is for a Conductor, and not used here" in record.getMessage()
    assert "'roleml simulate' carries out a run configuration" in record.getMessage()


def test_a_missing_file_and_a_folder_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none.yaml: No such file" in refused(capsys, str(folder / "none.yaml"))
    assert "is a folder" in refused(capsys, str(folder))


def test_containers_are_not_available_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--containerize is not available yet" in refused(capsys, "one.yaml", "--containerize")


def test_a_broker_url_of_an_unknown_kind_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["run", "one.yaml", "--broker", "smtp://x"])
    assert raised.value.code == 2
    assert (
        "argument --broker: 'smtp://x' is no URL of a broker; one begins with amqp://"
        in capsys.readouterr().err
    )


# which actor, and where


def test_one_actor_of_a_file_of_many_is_chosen_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = folder / "many.yaml"
    many.write_text("profiles:\n- name: host\n- name: client\n  roles: {quitter: application.Quitter}\n")
    assert "2 actors (host, client): choose one with --actor NAME" in refused(capsys, str(many))
    assert "did you mean 'client'" in refused(capsys, str(many), "--actor", "clent")
    code, text = run_program(folder, "roleml", "run", "many.yaml", "-a", "client")
    assert code == 0, text


def test_an_error_in_a_file_of_many_keeps_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = folder / "many.yaml"
    many.write_text("profiles:\n- name: host\n- name: client\n  seed: much\n")
    assert f"{many}:4:9: seed: " in refused(capsys, str(many), "-a", "client")


def test_the_working_and_source_folders_of_the_command_line_replace_the_configured_ones(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    config(folder, quitter="Quitter")
    with (folder / "actor.yaml").open("a") as file:
        file.write("workdir: /nowhere\nsrc: /nowhere\n")
    code, text = run_program(
        elsewhere, "roleml", "run", str(folder / "actor.yaml"), "-w", ".", "-s", str(folder)
    )
    assert code == 0, text
    assert f"in {elsewhere}" in text


def test_a_broker_of_the_command_line_goes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launch = Launch({"name": "one", "broker": "embedded://file"})
    assert launch.builder().broker_url() == "embedded://file"
    monkeypatch.setenv("ROLEML_BROKER", "embedded://environment")
    assert launch.builder().broker_url() == "embedded://environment"
    with broker_chosen("embedded://argument"):
        assert launch.builder().broker_url() == "embedded://argument"
    assert launch.builder().broker_url() == "embedded://environment"


def test_the_common_configuration_wins_and_errors_name_its_file(folder: Path) -> None:
    (folder / "many.yaml").write_text("profiles:\n- {name: host, seed: 1}\n- {name: client, debug: true}\n")
    (folder / "common.yaml").write_text("debug: false\nseed: much\n")
    launches = read_launches(folder / "many.yaml", folder / "common.yaml")
    assert [launch.config["debug"] for launch in launches] == [False, False]
    for launch in launches:
        with pytest.raises(ValueError, match=r"common\.yaml:2:7: seed: "):
            launch.builder()


# profiling


def test_profiling_without_viztracer_says_how_to_get_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "viztracer", None)
    with (
        pytest.raises(ModuleNotFoundError, match=r"pip install 'roleml\[profiling\]'"),
        profiled("x", Profiling(folder)),
    ):
        pass
    monkeypatch.setattr("roleml.cli.foreground.find_spec", lambda _: None)
    assert "pip install 'roleml[profiling]'" in refused(capsys, str(folder / "one.yaml"), "-p")


def test_profiling_writes_one_file_per_actor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    class VizTracer:
        def __init__(self, tracer_entries: int, verbose: int) -> None:
            calls.append(tracer_entries)

        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

        def save(self, path: str) -> None:
            calls.append(path)

    monkeypatch.setitem(sys.modules, "viztracer", SimpleNamespace(VizTracer=VizTracer))
    with profiled("one", Profiling(folder / "traces", 17)):
        calls.append("run")
    assert calls == [17, "start", "run", "stop", str(folder / "traces" / "profiler-one.json")]
    assert (folder / "traces").is_dir()


# for whoever starts it


def test_a_file_says_that_the_actor_is_in_service(folder: Path) -> None:
    ready = folder / "ready"
    ready.touch()  # of an earlier life
    patient = config(folder, patient="Patient")
    with Program(folder, "roleml", "run", patient, "--ready-file", str(ready)) as program:
        program.line_with("role instance (patient) is READY")
        wait_until(ready.exists, 20.0)
        program.terminate()
        assert program.end() == 143, program.text
    assert not ready.exists()


def test_an_actor_can_be_named_after_its_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "edge_7.lab.example")
    names: list[str] = []
    monkeypatch.setattr("roleml.cli.run.run_launch", lambda launch, **_: names.append(launch.name))
    for name in ("client-{host}", "alone"):
        assert main(["run", str(folder / "one.yaml"), "--name", name]) == 0
    assert names == ["client-edge_7-lab-example", "alone"]

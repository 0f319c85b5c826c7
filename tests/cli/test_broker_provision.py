from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from roleml.cli.main import main

ACTOR = "name: server\nbroker: amqp://broker.example:5673/fl?heartbeat=5\n"
BATCH = "profiles:\n- name: client1\n- {name: client2, address: here}\n"
CONDUCTOR = "profiles_separate: [{name: edge}]\nprofiles_individual: [lone]\nroles: {client.*: {}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("server", ACTOR), ("batch", BATCH), ("conductor", CONDUCTOR)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def provision(*arguments: str) -> int:
    return main(["broker", "provision", *arguments])


def test_all_forms_of_configuration_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert provision("server.yaml", "batch.yaml", "conductor.yaml") == 0
    definitions = json.loads(capsys.readouterr().out)
    names = [user["name"] for user in definitions["users"]]
    assert names == ["server", "client1", "client2", "edge", "lone"]
    assert definitions["vhosts"] == [{"name": "fl"}]


def test_passwords_are_kept_in_a_file_of_the_owner_and_shown_nowhere(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provision("batch.yaml", "--users", "secrets.txt")
    file = folder / "secrets.txt"
    first = dict(line.split(":") for line in file.read_text().splitlines())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    for form in ("definitions", "script", "env"):
        provision("batch.yaml", "server.yaml", "--users", "secrets.txt", "--format", form)
    second = dict(line.split(":") for line in file.read_text().splitlines())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first == {name: second[name] for name in first}
    assert set(second) == {"client1", "client2", "server"}
    shown = "".join(capsys.readouterr())
    assert not any(password in shown for password in second.values())


def test_passwords_are_shown_when_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provision("server.yaml", "--format", "env", "--show-passwords")
    password = (folder / "roleml-users.txt").read_text().strip().partition(":")[2]
    out = capsys.readouterr().out
    assert f"ROLEML_BROKER='amqp://server:{password}@broker.example:5673/fl?heartbeat=5'" in out


def test_one_line_of_environment_serves_all_actors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provision("server.yaml", "batch.yaml", "--format", "env")
    out = capsys.readouterr().out
    url = "amqp://{actor}@broker.example:5673/fl?heartbeat=5&password_file=" + str(
        folder / "roleml-users.txt"
    )
    assert out == f"ROLEML_BROKER='{url}'\n"


def test_with_certificates_there_is_no_password(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provision("server.yaml", "--certificates")
    (user,) = json.loads(capsys.readouterr().out)["users"]
    assert user["password_hash"] == ""
    assert not (folder / "roleml-users.txt").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roles: {}", "no actor in bad.yaml"),
        ("name: a.b", "'a.b' is no name for an actor"),
        ("name: rml-x", "reserved"),
        ("profiles: {a: b}", "is no list of actors"),
        ("profiles: [{address: x}]", "without a name"),
        ("- 1", "without a name"),
        ("just text", "holds no mapping"),
        ("name: [", "bad.yaml"),
        (
            "profiles: [{name: a, broker: 'amqp://u:pw@x'}, {name: b, broker: 'amqp://y'}]",
            "different brokers",
        ),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (folder / "bad.yaml").write_text(text)
    assert provision("bad.yaml") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "pw" not in error
    assert provision("missing.yaml") == 2


def test_a_damaged_password_file_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "roleml-users.txt").write_text("server\n")
    assert provision("server.yaml") == 2
    assert "roleml-users.txt:1: expected user:password" in capsys.readouterr().err
    assert (folder / "roleml-users.txt").read_text() == "server\n"


def test_a_management_api_that_is_not_there_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert provision("server.yaml", "--apply", "http://admin:hidden@127.0.0.1:1") == 2
    error = capsys.readouterr().err
    assert "rabbitmq_management" in error
    assert "hidden" not in error
    assert provision("server.yaml", "--apply", "127.0.0.1:15672") == 2

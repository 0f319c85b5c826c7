from __future__ import annotations

from pathlib import Path

import pytest

from roleml.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], file: Path, to: str = "http://127.0.0.1:1") -> str:
    assert main(["broker", "load", str(file), "--to", to]) == 2
    return capsys.readouterr().err


def test_a_file_that_is_none_of_definitions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "definitions.json"
    assert "cannot read" in refused(capsys, file)
    file.write_text("vhosts:\n")
    assert "is no JSON" in refused(capsys, file)
    file.write_text("[]")
    assert "holds no mapping" in refused(capsys, file)


def test_a_broker_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "definitions.json"
    file.write_text("{}")
    assert "rabbitmq-plugins enable rabbitmq_management" in refused(capsys, file)
    assert "is no management URL" in refused(capsys, file, "amqp://localhost")

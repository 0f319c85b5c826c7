"""`roleml new`: what it writes runs, is right, and reads well."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from roleml.cli.explain.pages import codes
from roleml.cli.main import main
from roleml.cli.new.project import KINDS
from tests.programs import ROOT, run_program

LAST_LINES = {"fl": r"rounds 10, accuracy 0\.9", "gossip": r"rounds 6, accuracy 0\.[89]", "blank": "2 actors"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_new_application_runs_by_one_command_and_passes_its_test(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my-app"
    assert main(["new", kind, str(folder)]) == 0
    said = capsys.readouterr().out
    written = {"config.yaml", "README.md", "my_app.py", "test_my_app.py"}
    assert {file.name for file in folder.iterdir()} == written
    assert all(f"my-app/{name}" in said for name in written)
    assert not [file for file in folder.iterdir() if "@" in file.read_text("utf-8").replace("@rml.", "")]

    code, said = run_program(folder, "roleml", "simulate", "config.yaml")
    assert code == 0, said
    assert re.search(LAST_LINES[kind], said)

    code, said = run_program(
        folder, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"
    )  # check is in it
    assert code == 0, said
    assert "2 passed" in said


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_written_has_no_lint(kind: str, tmp_path: Path) -> None:
    assert main(["new", kind, str(tmp_path / "my-app")]) == 0
    for arguments in (["check", "--ignore=T20"], ["format", "--check"]):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *arguments,
                f"--config={ROOT / 'pyproject.toml'}",
                "--no-cache",
                ".",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path / "my-app",
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my-app").mkdir()
    assert main(["new", "fl", str(tmp_path / "my-app")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert not list((tmp_path / "my-app").iterdir())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("2nd", "cannot be a name"),
        ("class", "cannot be a name"),
        ("random", "is installed"),
        ("a b", "use letters"),
    ],
)
def test_a_name_that_no_module_can_have_is_refused(
    name: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "blank", str(tmp_path / name)]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_templates_and_pages_are_part_of_the_package(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for kind in KINDS:
        assert f"roleml/cli/new/templates/{kind}/config.yaml.tmpl" in names
    assert {f"roleml/cli/explain/pages/{code}.md" for code in codes()} <= set(names)
    assert "roleml/py.typed" in names

"""The tutorial of this repository: the script runs, the notebook is the script and runs too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "examples" / "tutorial"

TOGETHER = re.compile(r"^together +(0\.\d+)$", re.MULTILINE)


def accuracy(output: str) -> float:
    found = TOGETHER.search(output)
    assert found, output
    return float(found[1])


def text_output(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_the_tutorial_script_learns_more_together_than_any_desk_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(TUTORIAL / "fedavg.py")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        check=False,
        timeout=25,
    )
    assert done.returncode == 0, done.stderr
    alone = [float(value) for value in re.findall(r"^desk\d alone (0\.\d+)$", done.stdout, re.MULTILINE)]
    assert len(alone) == 5
    assert accuracy(done.stdout) > max(alone)
    assert accuracy(done.stdout) > 0.9
    # not from the beginning of a line: two handlers may print at once
    assert len(re.findall(r"round +\d", done.stdout)) == 20


def test_the_notebook_has_the_cells_of_the_script() -> None:
    script = jupytext.read(TUTORIAL / "fedavg.py")
    notebook = nbformat.read(TUTORIAL / "fedavg.ipynb", as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ], "the notebook is out of date: make notebook"
    assert accuracy(text_output(notebook)) > 0.9


@pytest.mark.timeout(90)
# what the kernel's client warns about is not ours to mend
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(TUTORIAL / "fedavg.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert accuracy(text_output(notebook)) > 0.9

"""Writes fedavg.ipynb from fedavg.py and runs it, so that it shows its output. Run it by `make notebook`."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbclient
import nbformat

HERE = Path(__file__).resolve().parent


def main() -> None:
    notebook = jupytext.read(HERE / "fedavg.py")
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120, record_timing=False).execute()
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"  # a random one would change with each run
    # who ran it, and with which Python, is not part of the text
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, HERE / "fedavg.ipynb")


if __name__ == "__main__":
    main()

"""The files of a run: configuration and metrics. `plot.py` draws the curves."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roleml.cli.demo.display import RoundRecord
from roleml.shared.yml import save_yaml

__all__ = ["new_run_folder", "write_config", "write_csv"]


def new_run_folder(parent: Path) -> Path:
    """Make `parent/<date>-<time>`, with a number behind it if two runs begin in the same second."""
    name = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def write_config(path: Path, configs: Sequence[Any]) -> None:
    """Write the actors' configurations under `profiles`, as a file of many actors has them."""
    save_yaml(str(path), {"profiles": list(configs)})


def write_csv(path: Path, records: Sequence[RoundRecord]) -> None:
    """Write the records as a table with a header; the participants are separated by blanks."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["round", "accuracy", "loss", "participants", "seconds"])
        for record in records:
            row = (record.round, record.accuracy, record.loss, " ".join(record.participants), record.seconds)
            writer.writerow(row)

"""The files of a run: configuration and metrics. `plot.py` draws the curves."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roleml.cli.demo.display import RoundRecord, can_draw, summary_rows
from roleml.shared.yml import save_yaml

__all__ = ["new_run_folder", "print_summary", "write_config", "write_csv"]


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


def print_summary(records: Sequence[RoundRecord]) -> None:
    """The final table, on whatever standard output is."""
    if can_draw():
        from roleml.cli.demo import live

        live.print_summary(records)
        return
    print(f"{'round':>5}  {'accuracy':>8}  {'loss':>7}  {'seconds':>7}  who trained")
    for record in summary_rows(records):
        print(
            f"{record.round:>5}  {record.accuracy:>8.4f}  {record.loss:>7.4f}  {record.seconds:>7.3f}"
            f"  {' '.join(record.participants)}"
        )

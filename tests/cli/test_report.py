from __future__ import annotations

import csv
from pathlib import Path

from roleml.cli.demo.display import RoundRecord
from roleml.cli.demo.plot import plot_metrics
from roleml.cli.demo.report import new_run_folder, write_csv

RECORDS = [
    RoundRecord(1, 0.5, 2.0, ("client1",), 0.1),
    RoundRecord(2, 0.75, 1.0, ("client1", "client2"), 0.2),
]


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = {new_run_folder(tmp_path / "runs") for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.is_dir() for folder in folders)


def test_the_table_holds_what_the_records_hold(tmp_path: Path) -> None:
    write_csv(tmp_path / "metrics.csv", RECORDS)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert [float(row["accuracy"]) for row in rows] == [0.5, 0.75]
    assert rows[1]["participants"].split() == ["client1", "client2"]


def test_the_plot_is_a_picture_also_of_a_single_round(tmp_path: Path) -> None:
    for records in (RECORDS, RECORDS[:1]):
        plot_metrics(tmp_path / "metrics.png", records, "a subtitle")
        assert (tmp_path / "metrics.png").read_bytes().startswith(b"\x89PNG")

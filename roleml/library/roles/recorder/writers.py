"""The formats of a record. Each is written through at once, so that others may read while a run goes on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from roleml.library.roles.recorder.entries import RECORD, Entry
from roleml.shared.suggestions import did_you_mean

__all__ = ["DEFAULT_FORMATS", "FORMATS", "CSVWriter", "JSONLinesWriter", "Writer", "Writers"]

DEFAULT_FORMATS = ("jsonl", "csv")


class Writer(Protocol):
    """Writes entries of one format, one after the other."""

    def write(self, entry: Entry) -> None: ...

    def close(self) -> None: ...


class JSONLinesWriter:
    """`record.jsonl`: a JSON object a line."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / RECORD).open("a", encoding="utf-8", buffering=1)

    def write(self, entry: Entry) -> None:
        self._file.write(entry.to_json() + "\n")

    def close(self) -> None:
        self._file.close()


class CSVWriter:
    """`record.csv`: a row for each number, with the columns `time`, `source`, `step`, `name`, `value`.

    Roles log what they like, so a column for each name would change in the middle of a file.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "record.csv"
        new = not path.exists()
        self._file: IO[str] = path.open("a", encoding="utf-8", newline="", buffering=1)
        self._rows = csv.writer(self._file, lineterminator="\n")
        if new:
            self._rows.writerow(["time", "source", "step", "name", "value"])

    def write(self, entry: Entry) -> None:
        step = "" if entry.step is None else entry.step
        for name, value in entry.numbers():
            self._rows.writerow([entry.time, entry.source, step, name, value])

    def close(self) -> None:
        self._file.close()


def _tensorboard(folder: Path) -> Writer:
    from roleml.library.roles.recorder.tensorboard import TensorBoardWriter

    return TensorBoardWriter(folder / "tensorboard")


def _mlflow(folder: Path) -> Writer:
    from roleml.library.roles.recorder.mlflow import MLflowWriter

    return MLflowWriter(folder)


FORMATS: dict[str, Callable[[Path], Writer]] = {
    "jsonl": JSONLinesWriter,
    "csv": CSVWriter,
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
}
"""What makes the writer of each format, for a folder that exists."""


class Writers:
    """All writers of a recorder, opened with the first entry."""

    def __init__(self) -> None:
        self._open: list[Writer] | None = None

    def write(self, entry: Entry, folder: Path, formats: Sequence[str]) -> None:
        """Raises as `MetricsRecorder.write`, and ValueError for an unknown format."""
        if self._open is None:
            self._open = self._opened(folder, formats)
        for writer in self._open:
            writer.write(entry)

    @staticmethod
    def _opened(folder: Path, formats: Sequence[str]) -> list[Writer]:
        for name in formats:
            if name not in FORMATS:
                raise ValueError(f"unknown format of a record {name!r}{did_you_mean(name, FORMATS)}")
        folder.mkdir(parents=True, exist_ok=True)
        return [FORMATS[name](folder) for name in formats]

    def close(self) -> Any:
        writers, self._open = self._open or [], []
        for writer in writers:
            writer.close()

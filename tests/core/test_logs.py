from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from roleml.core.logs import DISABLED, configure_logging, parse_level

logger = logging.getLogger("roleml.test")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A `roleml` logger without handlers, put back as it was afterwards."""
    root = logging.getLogger("roleml")
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = before, level
    root.setLevel(level)


def log_all() -> None:
    for level in (5, 10, 20, 30, 40, 50):
        logger.log(level, "at %d", level)


def levels_in(text: str) -> list[int]:
    return [int(level) for level in re.findall(r"at (\d+)", text)]


def test_levels_are_known_in_any_letter_case() -> None:
    assert parse_level("internal") == 5
    assert parse_level("Debug") == logging.DEBUG
    assert parse_level("DISABLED") == DISABLED > logging.CRITICAL
    assert parse_level(17) == 17
    with pytest.raises(ValueError, match=r"'infos'; did you mean 'INFO'\?"):
        parse_level("infos")


def test_the_console_shows_info_and_above_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("a")
    log_all()
    captured = capsys.readouterr()
    assert levels_in(captured.out) == [20, 30, 40, 50]
    assert captured.err == ""
    assert re.match(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}    INFO \| \[roleml\.test\] at 20\n", captured.out
    )


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"console_level": "warning"}, [30, 40, 50]),
        ({"console_level": "internal"}, [5, 10, 20, 30, 40, 50]),
        ({"console_level": "debug"}, [10, 20, 30, 40, 50]),
        ({"console_level": "Disabled"}, []),
        ({"console_level": 40}, [40, 50]),
        ({"debug": True}, [10, 20, 30, 40, 50]),
        ({"debug": True, "console_level": "ERROR"}, [10, 20, 30, 40, 50]),
        ({"debug": True, "console_level": "INTERNAL"}, [5, 10, 20, 30, 40, 50]),
        ({"debug": True, "console_level": "DISABLED"}, []),
    ],
)
def test_the_level_of_the_console_holds_with_and_without_debug(
    settings: dict[str, Any], shown: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("a", **settings)
    log_all()
    assert levels_in(capsys.readouterr().out) == shown


def test_several_actors_share_one_console(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("a")
    configure_logging("b", console_level="ERROR")
    log_all()
    assert levels_in(capsys.readouterr().out) == [40, 50]


def test_the_shared_console_shows_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("a", console_type="shared")
    logger.info("hello")
    assert re.search(r"   INFO - +\w+ \| \[roleml\.test\] hello\n$", capsys.readouterr().out)
    with pytest.raises(ValueError, match="'other'"):
        configure_logging("a", console_type="other")


def test_a_file_has_its_own_level_and_its_directory_is_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "logs" / "today" / "a.log"
    configure_logging("a", file=file, file_level="debug", console_level="error")
    log_all()
    assert levels_in(file.read_text()) == [10, 20, 30, 40, 50]
    assert levels_in(capsys.readouterr().out) == [40, 50]


def test_a_disabled_file_is_not_created(tmp_path: Path) -> None:
    configure_logging("a", file=tmp_path / "a.log", file_level="disabled")
    assert not (tmp_path / "a.log").exists()


def test_an_actor_that_is_built_again_closes_its_file(tmp_path: Path) -> None:
    configure_logging("a", file=tmp_path / "a1.log")
    configure_logging("b", file=tmp_path / "b.log")
    configure_logging("a", file=tmp_path / "a2.log")
    logger.info("at 20")
    assert [levels_in((tmp_path / f"{name}.log").read_text()) for name in ("a1", "a2", "b")] == [
        [],
        [20],
        [20],
    ]


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    configure_logging("a", log_format="json", file=tmp_path / "a.log")
    logger.info("two\nlines of %s", "text")
    try:
        raise ValueError("no data")
    except ValueError:
        logger.exception("failed")
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in printed] == ["two\nlines of text", "failed"]
    assert printed[0].keys() == {"time", "level", "logger", "actor", "process", "message"}
    assert (printed[0]["level"], printed[0]["logger"], printed[0]["process"]) == (
        "INFO",
        "roleml.test",
        os.getpid(),
    )
    assert datetime.fromisoformat(printed[0]["time"]).utcoffset() == timedelta(0)
    assert printed[1]["error"].endswith("ValueError: no data")
    assert [json.loads(line) for line in (tmp_path / "a.log").read_text().splitlines()] == printed


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'text' or 'json'"):
        configure_logging("a", log_format="xml")

"""Where the log of the `roleml` loggers goes."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from roleml.core.context import Context
from roleml.shared.suggestions import did_you_mean

__all__ = ["DISABLED", "LogConsoleType", "LogFormat", "active_actor", "configure_logging", "parse_level"]

LogConsoleType = Literal["single", "shared"]

#: above every level: nothing is logged
DISABLED = logging.CRITICAL + 10

_LEVELS = {
    "DISABLED": DISABLED,
    "INTERNAL": 5,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}

LogFormat = Literal["text", "json"]

_FORMATS: dict[str, str] = {
    "single": "%(asctime)s %(levelname)7s | [%(name)s] %(message)s",
    "shared": "%(asctime)s %(levelname)7s - %(processName)20s | [%(name)s] %(message)s",
}


class _JSONFormatter(logging.Formatter):
    """An object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``actor``, ``process``, ``message``.

    ``actor`` is the one whose code logged it; ``error`` is there where an exception was, with its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "actor": active_actor(),
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def active_actor() -> str | None:
    """Whose code is running here; None while there is no actor."""
    try:
        return Context.active_context().profile.name
    except RuntimeError:
        return None


def _formatter(console_type: str, log_format: str) -> logging.Formatter:
    return _JSONFormatter() if log_format == "json" else logging.Formatter(_FORMATS[console_type])


class _Console(logging.Handler):
    """Writes to what `sys.stdout` is at the time, which notebooks and test runners replace."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except Exception:  # noqa: BLE001  # as every handler: logging must not break what is logged
            self.handleError(record)


class _File(logging.FileHandler):
    """The log file of one actor."""

    def __init__(self, path: Path, actor_name: str) -> None:
        super().__init__(path, encoding="utf-8")
        self.actor_name = actor_name


def parse_level(level: str | int) -> int:
    """The number of a level given by number, or by name in any letter case. Raises ValueError if unknown."""
    if isinstance(level, int):
        return level
    try:
        return _LEVELS[level.upper()]
    except KeyError:
        raise ValueError(f"unknown log level {level!r}{did_you_mean(level, _LEVELS)}") from None


def configure_logging(
    actor_name: str,
    *,
    console_type: str = "single",
    console_level: str | int = "INFO",
    file: Path | None = None,
    file_level: str | int = "INFO",
    debug: bool = False,
    log_format: str = "text",
) -> None:
    """Set up the log for an actor of this process.

    All actors of a process share one console handler, configured like the last of them. A file gets what is
    logged by any of them; use one process per actor where each shall have its own. An actor that is built
    again under its name closes its earlier file. `log_format` is of both: `text`, or `json`, an object a
    line. `debug` lowers the levels to DEBUG, except DISABLED ones.

    Raises:
        ValueError: an unknown level, console type or format.
        OSError: the file or its directory cannot be created.
    """
    if console_type not in _FORMATS:
        raise ValueError(f"unknown console type {console_type!r}: expected 'single' or 'shared'")
    if log_format not in ("text", "json"):
        raise ValueError(f"unknown log format {log_format!r}: expected 'text' or 'json'")
    root = logging.getLogger("roleml")
    console = next((handler for handler in root.handlers if isinstance(handler, _Console)), None)
    if console is None:
        console = _Console()
        root.addHandler(console)
    console.setLevel(_effective(console_level, debug))
    console.setFormatter(_formatter(console_type, log_format))

    for handler in list(root.handlers):
        if isinstance(handler, _File) and handler.actor_name == actor_name:
            root.removeHandler(handler)
            handler.close()
    level = _effective(file_level, debug)
    if file is not None and level < DISABLED:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = _File(file, actor_name)
        handler.setLevel(level)
        handler.setFormatter(_formatter("single", log_format))
        root.addHandler(handler)

    root.setLevel(min(h.level for h in root.handlers if isinstance(h, _Console | _File)))


def _effective(level: str | int, debug: bool) -> int:
    number = parse_level(level)
    return min(number, logging.DEBUG) if debug and number < DISABLED else number

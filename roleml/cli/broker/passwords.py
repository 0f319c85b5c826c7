"""The file of passwords: a line ``user:password`` for each actor, readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from roleml.cli.command import CommandError

__all__ = ["read_passwords", "write_passwords"]


def read_passwords(file: Path) -> dict[str, str]:
    """The passwords by user; none if there is no file.

    Raises:
        CommandError: the file cannot be read, or is another kind of file.
    """
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as e:
        raise CommandError(f"cannot read --users {file}: {e}") from e
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        user, separator, password = line.partition(":")
        if not (separator and user and password):
            raise CommandError(f"{file}:{number}: expected user:password")
        found[user] = password
    return found


def write_passwords(file: Path, passwords: Mapping[str, str]) -> None:
    """Replace the file as a whole; nobody else can read it at any time.

    Raises:
        CommandError: it cannot be written.
    """
    text = "".join(f"{user}:{password}\n" for user, password in passwords.items())
    try:
        # mkstemp makes files of mode 0600
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "w") as out:
                out.write(text)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as e:
        raise CommandError(f"cannot write --users {file}: {e.strerror}") from e

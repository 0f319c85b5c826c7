"""What an actor saves, so that one that is started again goes on where this one was.

One file per actor, replaced as a whole by each checkpoint: the state of its roles and elements, the last
answers of its tasks, and the random number generators of its process. It holds data only; reading it runs no
code.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from roleml.core.actor import randomness
from roleml.core.actor.elements import Elements
from roleml.core.actor.once import Once, TaskName
from roleml.core.role.base import Role
from roleml.core.role.types import Stateful
from roleml.messaging.codec import Body, Codec
from roleml.messaging.exceptions import DecodeError, EncodeError
from roleml.shared.errors import RoleMLError

__all__ = ["CheckpointError", "Checkpoints"]

logger = logging.getLogger("roleml.actor")

FORMAT = 1
SUFFIX = ".checkpoint"


class CheckpointError(RoleMLError):
    """A checkpoint cannot be made, or an actor cannot go on from it."""

    code = "RML-R015"


class Checkpoints:
    """The checkpoints of one actor, in ``folder``; without one, there are none, and `save` does nothing.

    With ``resume``, what the last one holds is given back to each role of the same name that starts.

    Raises:
        CheckpointError: there is one, and it cannot be used, or nobody said that it should be.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        actor: str,
        roles: Mapping[str, Role],
        elements: Elements,
        *,
        resume: bool = False,
    ) -> None:
        if resume and folder is None:
            raise CheckpointError("there is nothing to resume from: name the folder of the checkpoints, too")
        self.path = None if folder is None else Path(folder) / f"{actor}{SUFFIX}"
        self._actor = actor
        self._roles = roles
        self._elements = elements
        self._codec = Codec()
        self._once = Once(self._codec, keeps_answers=folder is not None)
        self._lock = threading.Lock()
        #: what was found, and no role of that name has started yet to take it
        self._waiting: dict[str, Any] = {}
        #: the roles that the file has something of, and how new that is
        self._kept: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._random: Mapping[str, Any] = {}
        self._found: dict[str, Any] | None = None
        if self.path is not None and self.path.exists():
            self._found = self._read(self.path, resume)

    @property
    def enabled(self) -> bool:
        return self.path is not None

    @property
    def survived(self) -> list[tuple[str, str]]:
        """Tasks, by caller and id, that the last process made progress with, and that ended none since."""
        if self._found is None or self._found["starts"]:
            return []
        return list(self._found["running"])

    def start(self) -> None:
        """The actor has its name: from now on the checkpoint is ours. Notes in it that it was used."""
        if self.path is not None and self._found is not None:
            self._found["starts"] += 1
            self._write(self.path, self._found)
            self._found = None

    def restore(self, name: str) -> None:
        """Give a role, which is about to start, and its elements what they were.

        Raises:
            CheckpointError: they cannot take it.
            Exception: what their ``load_state_dict`` raises.
        """
        part = self._waiting.pop(name, None)
        if part is None:
            return
        for element_name, state in part["elements"].items():
            element = self._elements.find(name, element_name)
            if element is None:
                raise CheckpointError(
                    f"{self.path} has a state of element {name}.{element_name}, which is not implemented now"
                )
            element.load_state_dict(state)
        if "state" in part:
            role = self._roles[name]
            if not isinstance(role, Stateful):
                raise CheckpointError(
                    f"{self.path} has a state of role {name!r} whose class {type(role).__qualname__} has "
                    "no state_dict and load_state_dict to take it"
                )
            role.load_state_dict(part["state"])
        randomness.restore(self._random)
        logger.info("role %s goes on from the checkpoint", name)

    def save(self, name: str | None = None) -> None:
        """Make a checkpoint, of one role or of all; returns when it is on the disk.

        Raises:
            CheckpointError: a state cannot be saved, or the file not be written. The last one stays as it is.
            Exception: what a ``state_dict`` raises.
        """
        if self.path is None:
            return
        names = [each for each in list(self._roles) if each not in self._waiting] if name is None else [name]
        # Not under our lock: a handler that is about to save its role holds the role's, and waits for ours.
        numbered = {each: self._part(each) for each in names}
        with self._lock:
            new = {each: n for each, (n, part) in numbered.items() if part and n > self._kept.get(each, 0)}
            parts = {each: numbered[each][1] for each in new}
            roles = {**self._other_parts(self.path, parts), **parts}
            content = {
                "format": FORMAT,
                "actor": self._actor,
                "saved": time.strftime("%Y-%m-%d %H:%M:%S"),
                "starts": 0,
                "running": self._once.running,
                "roles": roles,
                "random": randomness.capture(),
            }
            self._write(self.path, content)
            self._kept.update(new)

    def serve(
        self,
        name: str,
        work: Callable[[], Any],
        *,
        save: bool,
        task: TaskName | None = None,
        task_id: str = "",
    ) -> Any:
        """What ``work`` of a role returns, or returned before where it is a task that was done already.

        With ``save``, a checkpoint of the role is made before this returns. Nothing else changes the role in
        between, if the role knows how to prevent that.
        """
        quiescent = self._roles[name].quiescent() if save else contextlib.nullcontext()
        saving = partial(self.save, name) if save else _nothing
        if task is not None:
            return self._once.run(task, task_id, work, saving, quiescent)
        with quiescent:
            value = work()
            saving()
            return value

    def _part(self, name: str) -> tuple[int, dict[str, Any]]:
        """What there is to save of a role, if anything, with a number that is higher the newer it is."""
        role = self._roles.get(name)
        if role is None:  # it has ended meanwhile
            return 0, {}
        with role.quiescent():
            number = next(self._numbers)
            part = {"elements": self._elements.states(name), "answers": self._once.answers(name)}
            if isinstance(role, Stateful):
                part["state"] = role.state_dict()
        return number, part if any(part.values()) or "state" in part else {}

    def _other_parts(self, path: Path, parts: Mapping[str, Any]) -> dict[str, Any]:
        """What the last checkpoint has of other roles."""
        if self._kept.keys() <= parts.keys():
            return {}
        return {name: part for name, part in self._content(path)["roles"].items() if name not in parts}

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        new = path.with_suffix(f"{SUFFIX}-new")
        try:
            body = self._codec.encode(content)
        except EncodeError as e:
            raise CheckpointError(f"the state of actor {self._actor} cannot be saved: {e}") from e
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                for part in body.parts():
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            _sync_folder(path.parent)
        except OSError as e:
            raise CheckpointError(f"the checkpoint of actor {self._actor} cannot be written: {e}") from e

    def _read(self, path: Path, resume: bool) -> dict[str, Any]:
        content = self._content(path)
        if not resume:
            raise CheckpointError(
                f"there is a checkpoint of actor {self._actor} of {content['saved']} at {path}: resume to go "
                "on from it (--resume, or 'resume: true'), or remove it to begin anew"
            )
        logger.info("actor %s goes on from the checkpoint of %s", self._actor, content["saved"])
        self._waiting = dict(content["roles"])
        self._kept = dict.fromkeys(self._waiting, 0)
        self._random = content["random"]
        for part in self._waiting.values():
            self._once.restore(part["answers"])
        return content

    def _content(self, path: Path) -> dict[str, Any]:
        try:
            content = self._codec.decode(Body.from_frame(path.read_bytes()))
        except OSError as e:
            raise CheckpointError(f"the checkpoint {path} cannot be read: {e}") from e
        except DecodeError as e:
            raise CheckpointError(f"{path} is no checkpoint: {e}") from e
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{path} is no checkpoint that this version of RoleML reads")
        if content["actor"] != self._actor:
            raise CheckpointError(f"{path} is a checkpoint of actor {content['actor']}, not {self._actor}")
        return content


def _sync_folder(folder: Path) -> None:
    """Make a renaming survive a loss of power, where folders can be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nothing() -> None:
    """There is nothing to save."""

"""Where a RabbitMQ server is installed, and how its programs are run from there."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Server"]

# Debian's /usr/sbin/rabbitmq-server is a wrapper that becomes the user rabbitmq, and refuses all but root.
_DEBIAN = Path("usr/lib/rabbitmq/bin")
_TARBALL = Path("sbin")


@dataclass(frozen=True)
class Server:
    """An installed RabbitMQ. With ``root``, its programs see that folder as ``/`` (needs to be root)."""

    programs: Path
    """The folder of rabbitmq-server and rabbitmqctl, as the programs themselves see it."""
    root: Path | None = None

    @staticmethod
    def installed() -> Server | None:
        """The server of this machine, or None."""
        if (Path("/") / _DEBIAN / "rabbitmq-server").exists():
            return Server(Path("/") / _DEBIAN)
        found = shutil.which(
            "rabbitmq-server", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin"
        )
        return Server(Path(found).resolve().parent) if found else None

    @staticmethod
    def at(folder: str | os.PathLike[str]) -> Server:
        """The server in a folder: a root file system that has RabbitMQ in it, or an unpacked release of it.

        Raises:
            FileNotFoundError: there is no server in this folder.
        """
        root = Path(folder).resolve()
        if root == Path("/"):
            server = Server.installed()
            if server is None:
                raise FileNotFoundError("no RabbitMQ is installed on this machine")
            return server
        if (root / _DEBIAN / "rabbitmq-server").exists():
            return Server(Path("/") / _DEBIAN, root)
        if (root / _TARBALL / "rabbitmq-server").exists():
            return Server(root / _TARBALL)
        raise FileNotFoundError(
            f"{root} holds no RabbitMQ: no {_DEBIAN}/rabbitmq-server and no {_TARBALL}/rabbitmq-server"
        )

    @property
    def version(self) -> tuple[int, ...]:
        """As in the name of the release's folder; (0,) where that does not tell."""
        homes = [self.programs.parent.name]
        outside = self.outside(self.programs).parent / "lib"
        if outside.is_dir():
            homes += [entry.name for entry in outside.iterdir()]
        for name in homes:
            if match := re.fullmatch(r"rabbitmq(?:_server)?-(\d+(?:\.\d+)*).*", name):
                return tuple(map(int, match[1].split(".")))
        return (0,)

    @property
    def origin(self) -> str:
        """For people: where it is."""
        return str(self.root or self.programs)

    @property
    def scratch(self) -> Path | None:
        """Where the server can have temporary folders; None: anywhere."""
        return None if self.root is None else self.root / "tmp"

    def inside(self, path: Path) -> Path:
        """What the programs of this server call ``path``."""
        return path if self.root is None else Path("/") / path.relative_to(self.root)

    def outside(self, path: Path) -> Path:
        return path if self.root is None else self.root / path.relative_to("/")

    def command(self, program: str | Path, *arguments: str) -> list[str]:
        """What to execute. Each step replaces the one before: the process started is the program itself."""
        command = [str(self.programs / program), *arguments]
        return command if self.root is None else ["chroot", str(self.root), *command]

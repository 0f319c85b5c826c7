"""What tests of the command line share: an application in a folder, and programs that run it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

APPLICATION = '''
from __future__ import annotations

import os
import threading

import roleml.essentials as rml


class Echo(rml.Role):
    @rml.Service(expand=True)
    def echo(self, caller, text: str) -> str:
        return text


class Asker(rml.Role, rml.Runnable):
    """Asks its `echo` once, at once."""

    def run(self) -> None:
        print(self.call("echo", "echo", {"text": "asked and answered"}))


class Counting(rml.Role, rml.Runnable):
    """Counts its lives, as far as they were saved."""

    def __init__(self) -> None:
        super().__init__()
        self.lives = 0

    def state_dict(self) -> int:
        return self.lives

    def load_state_dict(self, state_dict: int) -> None:
        self.lives = state_dict

    def run(self) -> None:
        self.lives += 1
        self.save_checkpoint()
        print("life", self.lives)


class Failing(rml.Role, rml.Runnable):
    def run(self) -> None:
        raise ValueError("the disk is full")


class Unbuildable(rml.Role):
    def __init__(self) -> None:
        raise ValueError("there is no sensor")


class Stubborn(rml.Role, rml.Runnable):
    """Does not stop when it is asked to."""

    def run(self) -> None:
        print("pid", os.getpid(), flush=True)
        threading.Event().wait()


class Patient(rml.Role, rml.Runnable):
    """Works until it is asked to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def run(self) -> None:
        print("pid", os.getpid(), flush=True)
        self.asked.wait()

    def stop(self) -> None:
        self.asked.set()


class Quitter(rml.Role, rml.Runnable):
    """Stops its own actor."""

    def run(self) -> None:
        print("in", os.getcwd(), flush=True)
        self.base.stop()
'''


def write_application(folder: Path) -> None:
    """A module `application` with small roles."""
    (folder / "application.py").write_text(APPLICATION, encoding="utf-8")


class Program:
    """`python -m ...` in a folder, with all its output in one text. A context manager, which kills it."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):  # what was typed, and not read any more
                stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def line_with(self, text: str) -> str:
        """The next line that contains the text. The time limit of the test ends the wait."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.text += line
            if text in line:
                return line.rstrip("\n")
        raise AssertionError(f"{text!r} is not in the output:\n{self.text}")

    def line_within(self, text: str, seconds: float) -> str | None:
        """The next line that contains the text, if one comes in time."""
        assert self._process.stdout is not None
        while select.select([self._process.stdout], [], [], seconds)[0]:
            line = self._process.stdout.readline()
            self.text += line
            if text in line:
                return line.rstrip("\n")
            assert line, f"{text!r} is not in the output:\n{self.text}"
        return None

    def write(self, text: str) -> None:
        """Type something."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def interrupt(self) -> None:
        """As by Ctrl-C, but only this process."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()

    def end(self) -> int:
        """Wait for the end; the exit code."""
        assert self._process.stdout is not None
        self.text += self._process.stdout.read()
        return self._process.wait()


def run_program(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of a program that ends by itself."""
    with Program(folder, *arguments, **environment) as program:
        return program.end(), program.text

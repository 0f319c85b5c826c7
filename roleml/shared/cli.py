"""A command line inside of a running program: commands are functions, read from standard input one a line."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import selectors
import socket
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from roleml.shared.errors import RoleMLError
from roleml.shared.interfaces import Runnable
from roleml.shared.suggestions import did_you_mean

__all__ = ["CommandLineError", "RuntimeCLI"]

_NOTHING = inspect.Parameter.empty


class CommandLineError(RoleMLError, ValueError):
    """A line is no valid command; the text is the usage and what is wrong."""

    code = "RML-L002"


class RuntimeCLI(Runnable):
    """Reads commands until the end of its input, or until :meth:`stop`.

    Empty lines and those that begin with ``#`` are skipped. Words are split at blanks; there is no quoting.
    Commands run one after the other in the thread of :meth:`run`. What one raises is shown.
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        #: the lines to read instead of those of the standard input
        self.lines: Iterable[str] | None = None
        #: called at the end of the input
        self.on_eof: Callable[[], Any] = lambda: None
        self._parser = _Parser(prog="", add_help=False)
        self._commands = self._parser.add_subparsers(parser_class=_Parser, metavar="command", dest="command")
        self._funcs: dict[str, Callable[[argparse.Namespace, list[str]], Any]] = {}
        self._stopping = threading.Event()
        self._wake: socket.socket | None = None
        self.add_command("help", self._help, expand_arguments=True)

    def add_command(
        self, name: str, func: Callable[..., Any], expand_arguments: bool = False
    ) -> argparse.ArgumentParser:
        """Make ``func`` a command, and return its parser, for help texts and further arguments.

        With ``expand_arguments`` the parser has an argument for each parameter of ``func``, which is called
        with their values: positional ones where there is no default, else ``--name``. Values are converted to
        the annotated type; ``bool`` with a default is a flag that yields the opposite of the default.
        Otherwise it is called with the namespace of the parser, and the list of words that it did not know.

        Raises:
            ValueError: there is a command of that name.
        """
        if name in self._funcs:
            raise ValueError(f"there is a command {name!r} already")
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name, prog=name, description=inspect.getdoc(func), help=_first_line(func)
        )
        if expand_arguments:
            parameters = _parameters(func)
            for parameter in parameters:
                _add_argument(parser, parameter)

            def run(namespace: argparse.Namespace, words: list[str]) -> Any:
                if words:
                    parser.error(f"unrecognized arguments: {' '.join(words)}")
                positional = [
                    getattr(namespace, each.name) for each in parameters if each.kind is each.POSITIONAL_ONLY
                ]
                named = {
                    each.name: getattr(namespace, each.name)
                    for each in parameters
                    if each.kind is not each.POSITIONAL_ONLY
                }
                return func(*positional, **named)

            self._funcs[name] = run
        else:
            self._funcs[name] = func
        return parser

    def execute(self, line: str) -> Any:
        """Run the command in one line, and return what it returns; ``None`` for an empty line.

        Raises:
            CommandLineError: there is no such command, or its arguments are wrong.
            Exception: what the command raises.
        """
        words = line.split()
        if not words or line.startswith("#"):
            return None
        if words[0] not in self._funcs:
            raise CommandLineError(f"unknown command {words[0]!r}{did_you_mean(words[0], self._funcs)}")
        try:
            namespace, rest = self._parser.parse_known_args(words)
        except _HelpShownError:
            return None
        return self._funcs[words[0]](namespace, rest)

    def run(self) -> None:
        for line in self._read():
            try:
                self.execute(line)
            except CommandLineError as e:
                print(e, file=sys.stderr)
            except Exception as e:  # noqa: BLE001  # an experimenter's next command may mend it
                print(f"[error] {e!r}", file=sys.stderr)
            if self._stopping.is_set():
                return

    def stop(self) -> None:
        """End :meth:`run` after the command that it is at, without waiting for another line."""
        self._stopping.set()
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(OSError):  # it was just closed: run() is ending
                wake.send(b"\0")

    def _help(self) -> None:
        """Show the commands."""
        for _, parser in sorted(self._commands.choices.items()):
            usage = " ".join(parser.format_usage().removeprefix("usage: ").replace("[-h] ", "").split())
            print(f"  {usage}\n      {_summary(parser)}".rstrip())

    def _read(self) -> Iterator[str]:
        for line in self._read_input() if self.lines is None else self.lines:
            if self._stopping.is_set():
                return
            yield line.rstrip("\r\n")
        if not self._stopping.is_set():
            print("[info] EOF reached, CLI stopped")
            self.on_eof()

    def _read_input(self) -> Iterator[str]:
        """The lines of the standard input, each after a prompt."""
        try:
            descriptor = sys.stdin.fileno()
        except (OSError, ValueError, io.UnsupportedOperation):
            yield from self._prompted(sys.stdin)
            return
        if sys.platform == "win32":  # whose select() takes sockets only: there, stop() needs another line
            yield from self._prompted(sys.stdin)
            return
        yield from self._prompted(self._lines_of(descriptor, sys.stdin.encoding or "utf-8"))

    def _prompted(self, source: Iterable[str]) -> Iterator[str]:
        iterator = iter(source)
        while not self._stopping.is_set():
            print(f"{self.title}> ", end="", flush=True)
            line = next(iterator, None)
            if line is None:
                return
            yield line

    def _lines_of(self, descriptor: int, encoding: str) -> Iterator[str]:
        """What comes out of a file or terminal, until its end or until we are stopped.

        It is read directly, since a thread that waits within ``sys.stdin`` cannot be interrupted.
        """
        data = b""
        wake, woken = socket.socketpair()
        self._wake = wake
        with wake, woken, selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            regular = _register(selector, descriptor)
            while not self._stopping.is_set():
                line, newline, rest = data.partition(b"\n")
                if newline:
                    data = rest
                    yield line.decode(encoding, errors="replace")
                    continue
                ready = [] if regular else [key.fd for key, _ in selector.select()]
                if not regular and descriptor not in ready:
                    continue
                piece = os.read(descriptor, 65536)
                if not piece:
                    if data:
                        yield data.decode(encoding, errors="replace")
                    return
                data += piece


def _register(selector: selectors.BaseSelector, descriptor: int) -> bool:
    """Watch an input; whether it is one that never makes anybody wait, such as a regular file."""
    try:
        selector.register(descriptor, selectors.EVENT_READ)
    except PermissionError:  # epoll's answer to regular files
        return True
    return False


class _HelpShownError(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    """A parser that raises where argparse would end the program."""

    def error(self, message: str) -> NoReturn:
        raise CommandLineError(f"{self.format_usage()}{self.prog}: {message}".strip())

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _HelpShownError


def _first_line(func: Callable[..., Any]) -> str:
    return (inspect.getdoc(func) or "").partition("\n")[0]


def _summary(parser: argparse.ArgumentParser) -> str:
    return (parser.description or "").partition("\n")[0]


def _parameters(func: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    """The parameters of a function, with their types as objects."""
    try:
        hints: Mapping[str, Any] = typing.get_type_hints(func)
    except (NameError, TypeError):  # names that exist for type checkers only
        hints = {}
    parameters = [
        each.replace(annotation=hints.get(each.name, each.annotation))
        for each in inspect.signature(func).parameters.values()
    ]
    return [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def _add_argument(parser: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    kind = _type_of(parameter.annotation)
    named = parameter.kind is parameter.KEYWORD_ONLY
    if parameter.default is _NOTHING and not named:
        parser.add_argument(parameter.name, type=kind)
    elif parameter.default is _NOTHING:
        parser.add_argument(f"--{parameter.name}", type=kind, required=True)
    elif isinstance(parameter.default, bool):
        action = "store_false" if parameter.default else "store_true"
        parser.add_argument(f"--{parameter.name}", action=action, default=parameter.default)
    else:
        parser.add_argument(
            f"--{parameter.name}",
            type=kind,
            default=parameter.default,
            help=f"(default: {parameter.default})",
        )


def _type_of(annotation: Any) -> Callable[[str], Any]:
    """What makes a value out of a word."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return _type_of(members[0]) if len(members) == 1 else str
    if annotation is bool:
        return _truth
    return annotation if isinstance(annotation, type) and annotation is not _NOTHING else str


def _truth(word: str) -> bool:
    if word.lower() in ("true", "yes", "on", "1"):
        return True
    if word.lower() in ("false", "no", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, not {word!r}")

"""The command line inside of a running program."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from roleml.shared.cli import CommandLineError, RuntimeCLI
from tests.actors import DEADLINE_S, in_thread, wait_until


def start(
    num_rounds: int = 100, *, select_ratio: float | None = None, fast: bool = False, careful: bool = True
) -> dict[str, Any]:
    """Train.

    More words.
    """
    return {"rounds": num_rounds, "ratio": select_ratio, "fast": fast, "careful": careful}


@pytest.fixture
def cli() -> RuntimeCLI:
    cli = RuntimeCLI("FL")
    cli.add_command("start", start, expand_arguments=True)
    return cli


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("start", (100, None, False, True)),
        ("start --num_rounds 3", (3, None, False, True)),
        ("start  --select_ratio   0.5 ", (100, 0.5, False, True)),
        ("start --fast --careful", (100, None, True, False)),
    ],
)
def test_parameters_with_defaults_are_options(cli: RuntimeCLI, line: str, expected: tuple[Any, ...]) -> None:
    assert tuple(cli.execute(line).values()) == expected


def test_parameters_without_default_are_positional_and_keyword_only_ones_required() -> None:
    cli = RuntimeCLI()

    def move(source: str, count: int, /, ready: bool, *, to: str) -> tuple[str, int, bool, str]:
        return source, count, ready, to

    cli.add_command("move", move, expand_arguments=True)
    assert cli.execute("move a 2 no --to b") == ("a", 2, False, "b")
    with pytest.raises(CommandLineError, match="--to"):
        cli.execute("move a 2 no")
    with pytest.raises(CommandLineError, match="expected true or false, not 'maybe'"):
        cli.execute("move a 2 maybe --to b")


def test_annotations_may_be_texts_and_of_names_that_do_not_exist() -> None:
    def annotated(n: int, x: NoSuchName = "x") -> tuple[Any, Any]:  # type: ignore[name-defined]  # noqa: F821
        return n, x

    cli = RuntimeCLI()
    cli.add_command("annotated", annotated, expand_arguments=True)
    assert cli.execute("annotated 1 --x y") == ("1", "y")  # nothing is known of either type then


def test_without_expansion_a_command_gets_its_namespace_and_the_words_left(cli: RuntimeCLI) -> None:
    got: list[tuple[argparse.Namespace, list[str]]] = []
    parser = cli.add_command("raw", lambda namespace, words: got.append((namespace, words)))
    parser.add_argument("--known", type=int)
    cli.execute("raw --known 3 some --other words")
    assert (got[0][0].known, got[0][1]) == (3, ["some", "--other", "words"])


@pytest.mark.parametrize("line", ["", "   ", "# start", "start --help", "help"])
def test_some_lines_run_nothing(cli: RuntimeCLI, line: str) -> None:
    assert cli.execute(line) is None


def test_help_lists_the_commands(cli: RuntimeCLI, capsys: pytest.CaptureFixture[str]) -> None:
    cli.execute("help")
    shown = capsys.readouterr().out
    assert "start [--num_rounds NUM_ROUNDS]" in shown
    assert "Train." in shown
    assert "More words" not in shown


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("strat", "unknown command 'strat'; did you mean 'start'?"),
        ("start --num_rounds many", "invalid int value: 'many'"),
        ("start --num_rounds", "expected one argument"),
        ("start now", "unrecognized arguments: now"),
    ],
)
def test_a_wrong_line_is_explained(cli: RuntimeCLI, line: str, complaint: str) -> None:
    with pytest.raises(CommandLineError, match=complaint.replace("?", r"\?")):
        cli.execute(line)


def test_a_command_has_one_meaning(cli: RuntimeCLI) -> None:
    with pytest.raises(ValueError, match="there is a command 'start' already"):
        cli.add_command("start", start)


def test_lines_are_run_in_order_and_errors_do_not_end_it(
    cli: RuntimeCLI, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    ended: list[bool] = []

    def fail(word: str) -> None:
        done.append(word)
        raise KeyError(word)

    cli.add_command("fail", fail, expand_arguments=True)
    cli.on_eof = lambda: ended.append(True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("fail a\n\n# fail b\nstart --no\nfail c"))
    cli.run()
    out, err = capsys.readouterr()
    assert done == ["a", "c"]
    assert ended == [True]
    assert out == "FL> " * 5 + "FL> [info] EOF reached, CLI stopped\n"
    assert "[error] KeyError('a')" in err
    assert "usage: start" in err


def test_lines_may_come_from_the_program(cli: RuntimeCLI) -> None:
    ended: list[bool] = []
    seen: list[str] = []
    cli.add_command("note", lambda word: seen.append(word), expand_arguments=True)
    cli.on_eof = lambda: ended.append(True)
    cli.lines = ["note a", "note b"]
    cli.run()
    assert (seen, ended) == (["a", "b"], [True])


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """The standard input is a pipe; writes to it. ``b""`` closes it."""
    reading, writing = os.pipe()
    open_ends = {writing}

    def write(data: bytes) -> None:
        if data:
            os.write(writing, data)
        else:
            open_ends.discard(writing)
            os.close(writing)

    with os.fdopen(reading, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield write
    for each in open_ends:
        os.close(each)


def test_a_pipe_is_read_as_it_comes(cli: RuntimeCLI, pipe: Callable[[bytes], None]) -> None:
    seen: list[str] = []
    cli.add_command("note", lambda word: seen.append(word), expand_arguments=True)
    running = in_thread(cli.run)
    pipe("note é".encode()[:-1])
    pipe("é".encode()[1:] + b"\nnote b\nno")
    wait_until(lambda: seen == ["é", "b"])
    pipe(b"te last")
    pipe(b"")
    running.result(DEADLINE_S)
    assert seen == ["é", "b", "last"]


def test_stop_needs_no_further_line(cli: RuntimeCLI, pipe: Callable[[bytes], None]) -> None:
    ended: list[bool] = []
    seen: list[str] = []
    cli.add_command("note", lambda word: seen.append(word), expand_arguments=True)
    cli.on_eof = lambda: ended.append(True)
    running = in_thread(cli.run)
    pipe(b"note a\n")
    wait_until(lambda: seen)
    cli.stop()
    running.result(DEADLINE_S)
    assert not ended


def test_a_command_may_stop_it(cli: RuntimeCLI, pipe: Callable[[bytes], None]) -> None:
    seen: list[str] = []
    cli.add_command("note", lambda word: seen.append(word), expand_arguments=True)
    cli.add_command("quit", lambda: cli.stop(), expand_arguments=True)
    pipe(b"quit\nnote a\n")
    in_thread(cli.run).result(DEADLINE_S)
    assert not seen


def test_a_file_is_read_to_its_end(
    cli: RuntimeCLI, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "commands.ini"
    file.write_text("start --num_rounds 1\nstart --num_rounds x\n")
    with file.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        cli.run()
    assert "invalid int value: 'x'" in capsys.readouterr().err

from __future__ import annotations

import io
import os

import pytest

from roleml.cli.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(stream: io.StringIO) -> Console:
    return Console(["server", "c1"], stream)


def test_each_line_has_the_name_of_who_wrote_it(console: Console, stream: io.StringIO) -> None:
    console.feed("server", b"one\ntwo\n")
    console.feed("c1", b"three\n")
    assert stream.getvalue() == "server | one\nserver | two\nc1     | three\n"


def test_a_line_that_comes_in_pieces_is_not_mixed_with_others(console: Console, stream: io.StringIO) -> None:
    console.feed("server", b"on")
    console.feed("c1", b"three\n")
    console.feed("server", b"e\n")
    assert stream.getvalue() == "c1     | three\nserver | one\n"


def test_the_end_of_a_process_ends_its_last_line(console: Console, stream: io.StringIO) -> None:
    console.feed("c1", b"bye")
    console.end("c1")
    console.end("server")
    assert stream.getvalue() == "c1     | bye\n"


def test_characters_in_pieces_and_bytes_that_are_none_are_shown(
    console: Console, stream: io.StringIO
) -> None:
    for byte in "ü\n".encode():
        console.feed("c1", bytes([byte]))
    console.feed("c1", b"\xff\n")
    assert stream.getvalue() == "c1     | ü\nc1     | \N{REPLACEMENT CHARACTER}\n"


def test_of_a_progress_bar_the_last_state_is_shown(console: Console, stream: io.StringIO) -> None:
    console.feed("c1", b" 10%\r 50%\r100%\r\n")
    assert stream.getvalue() == "c1     | 100%\n"


def test_a_line_without_end_does_not_fill_the_memory(console: Console, stream: io.StringIO) -> None:
    for _ in range(3):
        console.feed("c1", b"x" * 65536)
    assert "x" * 65536 in stream.getvalue()


def test_names_are_coloured_on_a_terminal_unless_colours_are_unwanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    Console(["c1"], terminal).feed("c1", b"one\n")
    assert terminal.getvalue() == "\x1b[36mc1 | \x1b[0mone\n"
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    Console(["c1"], terminal).feed("c1", b"one\n")
    assert terminal.getvalue() == "c1 | one\n"


def test_a_reader_that_has_gone_is_noticed_and_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        console = Console(["c1"], stream)
        console.feed("c1", b"one\n")
        console.feed("c1", b"two\n")
        assert console.closed

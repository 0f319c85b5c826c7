from __future__ import annotations

import io
from unittest import mock

import pytest

from roleml.cli.demo import display, live
from roleml.cli.demo.display import PlainDisplay, RoundRecord, can_draw, new_display, summary_rows


def record(number: int, accuracy: float = 0.5) -> RoundRecord:
    return RoundRecord(number, accuracy, 1.25, ("client1", "client3"), 0.5)


def test_the_plain_display_writes_one_line_a_round(capsys: pytest.CaptureFixture[str]) -> None:
    shown = PlainDisplay()
    shown.begin(12, ["client1", "client2", "client3"])
    shown.trained("client1", 0.3)
    shown.completed(record(3, accuracy=0.9))
    shown.end()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split() == "round 3/12 accuracy 0.9000 loss 1.2500 0.500 s client1 client3".split()
    assert "\x1b" not in "".join(lines)


def test_the_live_display_shows_progress_and_who_trains() -> None:
    screen = live.Console(file=io.StringIO(), force_terminal=True, width=100, no_color=True)
    with mock.patch.object(live, "Console", return_value=screen):
        shown = live.LiveDisplay()
    shown.begin(4, ["client1", "client2"])
    shown.trained("client2", 0.75)
    shown.completed(record(1, accuracy=0.875))
    with screen.capture() as capture:
        screen.print(shown.picture())
    shown.end()
    shown.end()
    text = capture.get()
    assert "round 1/4" in text
    assert "client2 0.750" in text
    assert "0.8750" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_live_display_fits_however_narrow_the_terminal_and_however_many_the_clients(width: int) -> None:
    clients = [f"client{number}" for number in range(1, 101)]
    screen = live.Console(file=io.StringIO(), force_terminal=True, width=width, height=24, no_color=True)
    with mock.patch.object(live, "Console", return_value=screen):
        shown = live.LiveDisplay()
    shown.begin(30, clients)
    for number in range(1, 31):
        shown.completed(RoundRecord(number, 0.875, 1.25, tuple(clients[number : number + 20]), 0.5))
    for client in clients[40:60]:
        shown.trained(client, 1.234)
    shown.end()  # or it would be drawn once more, below
    with screen.capture() as capture:
        screen.print(shown.picture())
    lines = capture.get().splitlines()
    assert len(lines) < 24
    assert any("client60 1.234" in line for line in lines)
    (last,) = [line for line in lines if line.split()[:1] == ["30"]]
    assert {"0.8750", "1.2500"} <= set(last.split())


def test_the_final_table_shows_first_and_last_round_of_many() -> None:
    records = [record(number) for number in range(1, 101)]
    rows = summary_rows(records, limit=10)
    assert len(rows) == 10
    assert rows[0] is records[0]
    assert rows[-1] is records[-1]
    assert summary_rows(records[:4], limit=10) == records[:4]


@pytest.mark.parametrize(
    ("terminal", "term", "expected"),
    [(True, "xterm", True), (False, "xterm", False), (True, "dumb", False), (True, "", False)],
)
def test_only_a_terminal_that_moves_its_cursor_is_drawn_on(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, expected: bool
) -> None:
    monkeypatch.setattr(display.sys, "stdout", mock.Mock(isatty=lambda: terminal))
    monkeypatch.setenv("TERM", term)
    assert can_draw() is expected
    assert isinstance(new_display(), live.LiveDisplay if expected else PlainDisplay)

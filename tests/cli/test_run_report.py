"""Recording a run from outside, and the page that is made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import roleml.essentials as rml
from roleml.cli.main import main
from roleml.cli.report.charts import MOST_BARS, MOST_ROWS
from roleml.cli.report.data import Link, Run, Span, in_order
from roleml.cli.report.page import html
from roleml.library.roles.recorder.entries import Entry
from roleml.library.roles.recorder.recording import Recording
from tests.actors import DEADLINE_S, Actors, in_thread

ROOT = Path(__file__).resolve().parents[2]
BROWSER = ("chromium", "chromium-browser", "google-chrome")


class Learner(rml.Role):
    metrics = rml.Metrics()

    @rml.Task(expand=True)
    def learn(self, _: rml.RoleInstanceID, epochs: int, weights: Any = None) -> None:
        for epoch in range(1, epochs + 1):
            self.metrics.log(epoch, loss=1 / epoch, seconds=0.01)


@pytest.fixture
def actors() -> Iterator[Actors]:
    actors = Actors()
    yield actors
    actors.stop()


def entry(time: float, source: str, step: int | None = None, **values: Any) -> Entry:
    return Entry(time, rml.RoleInstanceID.of(source), step, values)


def run_of(
    *entries: Entry, actors: Any = None, folder: Path = Path("runs/7"), config: str | None = None
) -> Run:
    return Run(folder, entries, actors or {}, 100.0, 110.0, config)


# recording


def test_what_is_logged_until_the_end_is_recorded_with_a_report_of_each_actor(
    actors: Actors, tmp_path: Path
) -> None:
    for name in ("c1", "c2"):
        actors.start(name, {"learner": Learner()})
    server = actors.start("server", {"idle": Learner()})
    with Recording(actors.broker, tmp_path / "run") as recording:
        recording.follow(["c1", "c2", "server", "nobody"])
        assert {str(each) for each in recording.sources} == {"c1/learner", "c2/learner", "server/idle"}
        for name in ("c1", "c2"):
            task = server.call_task(
                "idle",
                rml.RoleInstanceID(name, "learner"),
                "learn",
                ({"epochs": 50}, {"weights": bytes(999)}),
            )
            task.result(DEADLINE_S)
        recording.finish()
        assert recording.entries == 100
    run = Run.read(tmp_path / "run")
    assert len(run.entries) == 100
    assert set(run.actors) == {"c1", "c2", "server"}
    assert run.began <= run.entries[0].time <= run.ended
    assert [(link.source, link.target) for link in run.links() if link.nbytes > 999] == [
        ("server", "c1"), ("server", "c2")
    ]  # fmt: skip


def test_what_was_logged_before_is_not_waited_for(actors: Actors, tmp_path: Path) -> None:
    client = actors.start("c1", {"learner": Learner()})
    client.call_task("learner", "learner", "learn", ({"epochs": 3}, {})).result(DEADLINE_S)
    with Recording(actors.broker, tmp_path) as recording:
        recording.follow(["c1"])
        client.call_task("learner", "learner", "learn", ({"epochs": 2}, {})).result(DEADLINE_S)
        in_thread(recording.finish).result(DEADLINE_S)
    assert [each.step for each in Run.read(tmp_path).entries] == [1, 2]


def test_an_actor_that_has_gone_is_as_it_was_last(actors: Actors, tmp_path: Path) -> None:
    client = actors.start("c1", {"learner": Learner()})
    with Recording(actors.broker, tmp_path) as recording:
        recording.follow(["c1"])
        client.stop()
        recording.finish(timeout_s=DEADLINE_S)
    told = json.loads((tmp_path / "actors.json").read_text(encoding="utf-8"))
    assert told["actors"]["c1"]["roles"]["learner"]["status"] == "READY"


# what a folder tells


def test_curves_are_of_roles_of_one_name_in_the_order_of_people() -> None:
    run = run_of(
        entry(101, "c10/trainer", 1, loss=0.5, seconds=1.0, note="x"),
        entry(102, "c10/trainer", 2, loss=0.4, seconds=1.0),
        entry(101, "c9/trainer", None, loss=0.7),
        entry(103, "c9/trainer", None, loss=0.6),
        entry(103, "server/evaluator", 1, accuracy=0.5),
    )
    (curve,) = run.curves()
    assert (curve.role, curve.name) == ("trainer", "loss")
    assert list(curve.series.items()) == [("c9", [(1, 0.7), (2, 0.6)]), ("c10", [(1, 0.5), (2, 0.4)])]


def test_spans_are_what_took_seconds() -> None:
    run = run_of(entry(103.0, "c1/trainer", 1, seconds=2.5), entry(104.0, "c1/trainer", 2, loss=1.0))
    assert run.spans() == [Span(rml.RoleInstanceID("c1", "trainer"), pytest.approx(0.5), 2.5)]


def test_who_was_asked_and_logged_nothing_is_missing() -> None:
    both = ["c1/trainer", "c2/trainer"]
    run = run_of(
        entry(101, "c1/trainer", 1, seconds=0.5),
        entry(101.5, "c2/trainer", 1, seconds=1.0),
        entry(102, "server/coordinator", 1, seconds=2.0, participants=both),
        entry(103, "c1/trainer", 2, seconds=0.7),
        entry(104, "server/coordinator", 2, seconds=1.9, participants=both),
    )
    shares = {str(share.source): share for share in run.shares()}
    assert [str(share.source) for share in run.shares()] == ["server/coordinator", "c2/trainer", "c1/trainer"]
    c1, c2 = shares["c1/trainer"], shares["c2/trainer"]
    assert (c1.times, c1.total_s, c1.longest_s, c1.asked, c1.missing) == (2, pytest.approx(1.2), 0.7, 2, 0)
    assert (c2.times, c2.mean_s, c2.asked, c2.missing) == (1, 1.0, 2, 1)


def test_links_are_between_actors_that_are_known() -> None:
    told = {"s": {"links": {"c": 5, "gone": 9, "d": 0}}, "c": {"links": {"s": 7}}, "d": {}}
    assert run_of(actors=told).links() == [Link("c", "s", 7), Link("s", "c", 5)]


def test_people_order_numbers() -> None:
    assert in_order(["c10", "c9", "a", "c9b", "2"]) == ["2", "a", "c9", "c9b", "c10"]


def test_the_duration_begins_with_the_first_work_without_a_report_of_actors(tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").write_text(entry(12.0, "c/t", 1, seconds=2.0).to_json() + "\n")
    run = Run.read(tmp_path)
    assert (run.began, run.ended, run.seconds, run.actors) == (10.0, 12.0, 2.0, {})


# the page


def test_the_page_needs_nothing_from_elsewhere_and_shows_text_as_text() -> None:
    text = html(
        run_of(
            entry(101, "c1/trainer", 1, loss=0.5, seconds=1.0),
            entry(102, "c1/trainer", 2, loss=0.25, seconds=1.0),
            folder=Path("runs/<b>"),
            config="name: '<script>alert(1)</script>'",
        )
    )
    assert "<script" not in text
    assert "<title>&lt;b&gt;</title>" in text
    assert re.findall(r"""(?:src|href)=["'](?!#)""", text) == []
    assert "0.25" in text
    assert text.count("<svg") == 2


def test_a_page_of_many_says_what_is_not_shown() -> None:
    entries = [
        entry(100 + i / 1000, f"c{i % (MOST_ROWS + 5)}/t", i, loss=1.0, seconds=0.001)
        for i in range(MOST_BARS + 10)
    ]
    text = html(run_of(*entries))
    assert f"the last {MOST_BARS} of {MOST_BARS + 10} pieces of work" in text
    assert f"the {MOST_ROWS} busiest of {MOST_ROWS + 5} roles" in text
    assert f"mean of {MOST_ROWS + 5}" in text


def test_a_page_of_nothing_is_a_page() -> None:
    assert "<h1>7</h1>" in html(run_of())


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "No such file or directory"), ("nonsense\n", "record.jsonl:1: ")]
)
def test_a_folder_without_a_record_is_refused(
    content: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "record.jsonl").write_text(content, encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.timeout(120)
def test_a_simulation_is_recorded_and_its_page_opens_in_a_browser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ROOT / "examples" / "fedavg" / "config.yaml"
    folder = tmp_path / "run"
    command = "start --num_rounds 2 --select_ratio 0.5"
    assert main(["simulate", str(config), "-c", command, "-o", str(folder)]) == 0
    assert capsys.readouterr().err.strip() == str(folder / "report.html")
    run = Run.read(folder)
    assert {each.source.instance_name for each in run.entries} == {"coordinator", "trainer"}
    assert len(run.actors) == 12
    assert "FedAvgConductor" in (run.configuration or "")

    seen = rendered(folder / "report.html", tmp_path / "browser")
    assert "<h2>Curves</h2>" in seen
    assert 'data-seen="7"' in seen  # its script counted the sections that have a height


def rendered(page: Path, profile: Path) -> str:
    """The page as a browser has laid it out, with the number of visible sections."""
    program = next(filter(None, map(shutil.which, BROWSER)), None)
    if program is None:
        pytest.fail(
            "no browser: apt-get install chromium, or put chromium or google-chrome on the PATH",
            pytrace=False,
        )
    counting = (
        "<script>document.body.dataset.seen = [...document.querySelectorAll('h2')]"
        ".filter(each => each.nextElementSibling.getBoundingClientRect().height > 20).length</script></body>"
    )
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", counting), encoding="utf-8")
    done = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={profile}",
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout

"""`roleml graph`: the topology of a configuration."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from roleml.cli.check.files import read
from roleml.cli.graph import draw
from roleml.cli.graph.channels import calls_of
from roleml.cli.graph.topology import Edge, Topology
from roleml.cli.main import main
from tests.cli.graph_roles import Asks, Listens, Silent

EXAMPLES = sorted(Path(__file__).resolve().parents[2].glob("examples/*/config*.yaml"))

CONFIG = """
profiles: [{name: boss}, {name: w1}, {name: w2}, {name: w3}, {name: other}]
roles:
  boss:
    asks: {class: tests.cli.graph_roles.Asks}
    listens: {class: tests.cli.graph_roles.Listens}
  w.: {worker: {class: tests.cli.graph_roles.Silent}}
  other: {helper: {class: tests.cli.graph_roles.Silent}}
relationship_rules:
  boss: {worker: 'w.', unknown: other/helper}
relationship_links:
  boss: {team: worker}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


def topology(config: Path) -> Topology:
    return Topology.of(read(config).actors)


def test_literal_calls_are_found_in_the_code() -> None:
    assert calls_of(Asks) == {("worker", "do-it"), ("team", "status"), ("helper", "ask"), ("listens", "told")}
    assert calls_of(Silent) == set()


def test_actors_of_one_kind_are_one(config: Path) -> None:
    groups = {group.label: group.roles for group in topology(config).groups}
    assert groups == {
        "boss": {"asks": "Asks", "listens": "Listens"},
        "w1 ... w3 (3)": {"worker": "Silent"},
        "other": {"helper": "Silent"},
        "conductor": {"conductor": ""},
    }


def test_edges_are_calls_events_and_what_else_is_related(config: Path) -> None:
    assert set(topology(config).edges) == {
        Edge(("boss", "asks"), ("w1", "worker"), ("do-it", "status"), "call"),
        Edge(("boss", "asks"), ("boss", "listens"), ("told",), "call"),
        Edge(("w1", "worker"), ("boss", "listens"), ("done",), "event"),
        Edge(("boss", ""), ("other", "helper"), ("unknown",), "relationship"),
    }
    assert Listens.event_handlers


def test_text_is_for_terminals(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(config)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "boss",
        "  asks  (Asks)",
        "    calls told of listens",
        "    calls do-it, status of w1 ... w3 (3)/worker",
        "  listens  (Listens)",
        "    hears done of w1 ... w3 (3)/worker",
        "  unknown -> other/helper",
        "w1 ... w3 (3)",
        "  worker  (Silent)",
        "other",
        "  helper  (Silent)",
        "conductor",
        "  conductor",
    ]


def test_mermaid_is_for_pages(config: Path) -> None:
    lines = draw.mermaid(topology(config)).splitlines()
    assert lines[0] == "flowchart LR"
    assert '  subgraph w1_["w1 ... w3 (3)"]' in lines
    assert '  boss__asks -- "do-it, status" --> w1__worker' in lines
    assert '  w1__worker -. "done" .-> boss__listens' in lines
    assert '  boss_ == "unknown" ==> other__helper' in lines
    assert sum(line.startswith("  subgraph") for line in lines) == lines.count("  end")


def test_dot_is_for_graphviz(config: Path) -> None:
    text = draw.dot(topology(config))
    assert text.count("{") == text.count("}")
    assert 'boss__asks -> w1__worker [label="do-it\\nstatus"];' in text
    assert "boss__asks -> other__helper" in text
    assert "ltail=cluster_boss_" in text


def test_svg_is_what_graphviz_makes_of_it(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dot").write_text('#!/bin/sh\n[ "$1" = -Tsvg ] && echo "<svg>" && cat && echo "</svg>"\n')
    (programs / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    assert main(["graph", str(config), "-f", "svg", "-o", str(tmp_path / "g.svg")]) == 0
    assert (tmp_path / "g.svg").read_text() == f"<svg>\n{draw.dot(topology(config))}</svg>\n\n"
    (programs / "dot").write_text("#!/bin/sh\necho 'no memory' >&2\nexit 3\n")
    assert main(["graph", str(config), "-f", "svg"]) == 2
    assert "Graphviz could not draw it: no memory" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["graph", str(config), "-f", "svg"]) == 2
    assert "install it (apt-get install graphviz)" in capsys.readouterr().err


def test_mistakes_are_told_and_the_rest_is_drawn(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG + "deployment_ordr: []\n")
    assert main(["graph", str(config)]) == 1
    out, err = capsys.readouterr()
    assert "calls told of listens" in out
    assert f"1 mistakes in it: roleml check {config}" in err
    assert main(["graph", "nowhere.yaml"]) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_example_can_be_drawn(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(example), "-f", "mermaid"]) == 0
    assert " --> " in capsys.readouterr().out


def report(actor: str, **told: Any) -> dict[str, Any]:
    """Of an actor with one role beside its native one."""
    roles = {"actor": {"class": "roleml.core.actor.native.NativeRole"}, "worker": {"class": "my.Worker"}}
    return {"actor": actor, "roles": roles, "relationships": {}, "calls": [], "subscriptions": []} | told


def test_what_runs_is_drawn_with_the_calls_that_were_made() -> None:
    others = {"peer": ["w1/worker", "w2/worker"], "manager": ["boss/actor"], "/": ["boss/actor"]}
    calls = [
        {"role": "worker", "target": "w1/worker", "channel": "train", "number": 3},
        {"role": "worker", "target": "w2/worker", "channel": "train", "number": 4},
        {"role": "worker", "target": "gone/worker", "channel": "train", "number": 9},
        {"role": "cli", "target": "w1/worker", "channel": "look", "number": 1},
    ]
    events = [{"role": "worker", "source": "boss/worker", "channel": "done"}]
    reports = [
        report("boss", calls=calls, relationships=others),
        report("w1", subscriptions=events, relationships={"unused": ["boss/worker"]}),
        report("w2", relationships={"unused": ["boss/worker"]}),
        report("observer", roles={"actor": {}}),
    ]
    drawn = Topology.live({each["actor"]: each for each in reports})
    assert {group.label: group.roles for group in drawn.groups} == {
        "boss": {"worker": "Worker"},
        "w1, w2": {"worker": "Worker"},
    }
    assert set(drawn.edges) == {
        Edge(("boss", "worker"), ("w1", "worker"), ("train x7",), "call"),
        Edge(("boss", "worker"), ("w1", "worker"), ("done",), "event"),
        Edge(("w1", ""), ("boss", "worker"), ("unused",), "relationship"),
    }


def test_a_configuration_or_a_broker_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph"]) == 2
    assert "name a configuration, or draw what runs, with --live" in capsys.readouterr().err

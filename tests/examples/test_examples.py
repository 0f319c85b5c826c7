"""Every example: its files, that it runs, and the mathematics of its algorithm."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import roleml.essentials as rml
from examples.consensus import draw as consensus_draw
from examples.consensus import main as consensus_main
from examples.table import ACCURACY, EXAMPLES, HERE, Example, main, table
from examples.table import run as run_example
from roleml.core.role.elements import ElementImplementation
from roleml.simulation import Experiment, Outcome, run
from tests.actors import Actors
from tests.examples import workload
from tests.programs import run_program

#: These have tests of their own.
APART = {"tutorial", "simulation", "compose"}


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An example's folder is importable while it runs, and not afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def module_of(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(HERE / folder))
    return importlib.import_module(name)


def carry_out(config: str, *commands: str) -> Outcome:
    return run(Experiment.load(HERE / config).quieter().changed(commands=commands))


def test_every_configuration_is_in_the_table() -> None:
    found = [path for path in HERE.glob("*/config*.yaml") if path.parent.name not in APART]
    assert sorted(found) == sorted(each.path for each in EXAMPLES)


def test_modules_have_names_of_their_own() -> None:
    names = [path.stem for path in HERE.glob("*/*.py") if path.parent.name not in APART]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("folder", sorted({each.path.parent.name for each in EXAMPLES}))
def test_every_example_explains_itself(folder: str) -> None:
    text = (HERE / folder / "README.md").read_text(encoding="utf-8")
    assert "```mermaid" in text
    for config in (HERE / folder).glob("config*.yaml"):
        assert f"roleml simulate examples/{folder}/{config.name}" in text
    assert "## What comes out" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
@pytest.mark.timeout(60)
def test_every_example_runs(example: Example) -> None:
    outcome = carry_out(example.config, example.short)
    assert set(outcome.result) >= {"rounds", "accuracy"}
    assert 0 < outcome.result["accuracy"] <= 1
    assert outcome.bytes_sent > 10_000


@pytest.mark.broker
@pytest.mark.timeout(180)
def test_one_runs_in_separate_processes(broker_url: str, tmp_path: Path) -> None:
    (example,) = (each for each in EXAMPLES if each.config == "etree/config.yaml")
    arguments = ["simulate", str(example.path), "-c", example.short, "--json"]
    code, text = run_program(tmp_path, "roleml", *arguments, "--broker", broker_url, "--processes")
    assert code == 0, text
    assert json.loads(text.splitlines()[-1])["result"]["rounds"] == int(example.short.split()[2])


@pytest.mark.timeout(60)
def test_the_table_shows_what_was_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_shortly(example: Example, *options: str) -> dict[str, Any]:
        return run_example(example, "-c", example.short, *options)

    monkeypatch.setattr("examples.table.run", run_shortly)
    assert main(["etree", "--embedded-only"]) == 1  # one round is not enough
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.split("|")[1].strip() == "example"
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:5] == ["etree", "embedded", "15", "11", "1"]
    assert 0 < float(cells[5]) < ACCURACY


def test_a_low_accuracy_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"rounds": 1, "accuracy": 0.5}
    outcome = {"result": result, "roles": 1, "actors": 1, "seconds": 1, "bytes_sent": 1}
    monkeypatch.setattr("examples.table.run", lambda example, *options: outcome)
    assert main(["gossip", "--embedded-only"]) == 1
    assert "below an accuracy of 0.93: gossip on embedded" in capsys.readouterr().err


def test_the_table_is_aligned() -> None:
    lines = table([["a"] * 8, ["long"] * 8]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_a_run_that_began_by_itself_and_fails_is_told(tmp_path: Path) -> None:
    experiment = Experiment.load(HERE / "fedavg/config-registration.yaml").quieter()
    config: Any = experiment.config
    config["roles"]["server"]["initiator"]["options"]["select_ratio"] = 0.01  # of ten clients: none
    with pytest.raises(RuntimeError, match="cannot select 0 of the 10"):
        run(experiment)


# the algorithms


def test_fedavg_with_one_local_step_is_centralised_sgd() -> None:
    outcome = run(Experiment.load(Path(__file__).with_name("fedavg-is-sgd.yaml")).quieter())
    central = workload.Linear()
    batches = [workload.batch(client) for client in range(workload.CLIENTS)]
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for _ in range(5):
        central.train([(x, y)])
    for name, value in central.get_params().items():
        torch.testing.assert_close(outcome.result[name], value, rtol=0, atol=1e-5)
    moved = workload.Linear().get_params()
    assert any(not torch.allclose(outcome.result[name], moved[name], atol=1e-2) for name in moved)


@pytest.mark.parametrize("config", ["gossip/config.yaml", "adpsgd/config.yaml"])
@pytest.mark.timeout(60)
def test_peers_approach_consensus(config: str) -> None:
    short, long = (carry_out(config, f"start --num_rounds {n}").result for n in (1, 6))
    assert short["spread_before"] == long["spread_before"] > 0.1
    assert long["spread_after"] < short["spread_after"] < short["spread_before"]


def test_consensus_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: dict[str, Any] = {}

    def draw(spreads: Any, file: Path) -> None:
        drawn.update(spreads)
        consensus_draw(spreads, file)

    monkeypatch.setattr("examples.consensus.draw", draw)
    assert consensus_main(["--rounds", "1", "--output", str(tmp_path / "new" / "plot.png")]) == 0
    assert (tmp_path / "new" / "plot.png").stat().st_size > 10_000
    assert set(drawn) == {"gossip learning", "AD-PSGD"}
    assert "gossip learning: from 0.1242 to" in capsys.readouterr().out


class Source(rml.Role):
    """What a member of the ring has instead of a trainer."""

    def __init__(self, gradients: torch.Tensor) -> None:
        super().__init__()
        self.gradients = gradients
        self.applied: torch.Tensor | None = None

    @rml.Task(expand=True)
    def compute_gradients(self, _: rml.RoleInstanceID) -> torch.Tensor:
        return self.gradients

    @rml.Service(expand=True)
    def apply_gradients(self, _: rml.RoleInstanceID, update: torch.Tensor) -> None:
        self.applied = update


class Steps(rml.Role):
    pass


@pytest.mark.parametrize("n", range(2, 11))
def test_all_reduce_gives_the_mean_of_the_gradients(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    allreduce = module_of("allreduce", "allreduce", monkeypatch)
    gradients = [torch.randn(23, generator=torch.Generator().manual_seed(i)) for i in range(n)]
    copies = [each.clone() for each in gradients]
    sources, steps = [Source(each) for each in gradients], Steps()
    actors = Actors()
    try:
        for i in range(n):
            member = allreduce.AllReduceAggregator(i, n, "compute-gradients", "apply-gradients", "trainer")
            name = f"member{i}"
            following = f"member{(i + 1) % n}/aggregator"
            actor = actors.make(
                name,
                {"trainer": sources[i], "aggregator": member},
                relationships={"peer-aggregator": [following]},
            )
            for element, function in (("split_op", allreduce.split_gradients), ("recover_op", torch.cat)):
                actor.implement_element("aggregator", element, ElementImplementation(constructor=function))
            actor.start()
        actors.start("global", {"steps": steps})
        ring = [rml.RoleInstanceID(f"member{i}", "aggregator") for i in range(n)]
        sequence = ["scatter-reduce-initialize", *["scatter-reduce-step"] * (n - 1)]
        sequence += ["all-gather-initialize", *["all-gather-step"] * (n - 1), "all-reduce-finished"]
        for channel in sequence:
            steps.call_group(ring, channel)
    finally:
        actors.stop()
    mean = torch.stack(copies).mean(dim=0)
    for source, copy in zip(sources, copies, strict=True):
        assert source.applied is not None
        torch.testing.assert_close(source.applied, mean)
        torch.testing.assert_close(source.gradients, copy)  # what was given by reference is as it was


def test_a_step_of_fedbuff_is_that_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    fedbuff = module_of("fedbuff", "fedbuff", monkeypatch)

    class Model:
        params: dict[str, Any] = {"w": np.array([1.0, 2.0]), "b": np.array([3.0])}

        def get_params(self) -> Any:
            return dict(self.params)

        def set_params(self, params: Any) -> None:
            self.params = params

    model = Model()
    server = fedbuff.BufferedServer(buffer_size=2, server_lr=0.5)
    server.model = lambda: model
    updates = [
        {"w": np.array([0.2, 0.4]), "b": np.array([1.0])},
        {"w": np.array([-0.1, 0.0]), "b": np.array([2.0])},
    ]
    weights = [fedbuff.staleness_weight(staleness) for staleness in (0, 3)]
    assert weights == [1.0, 0.5]
    server.apply(list(zip(weights, updates, strict=True)))
    np.testing.assert_allclose(model.params["w"], [1 - 0.5 * (0.2 - 0.05) / 2, 2 - 0.5 * 0.4 / 2])
    np.testing.assert_allclose(model.params["b"], [3 - 0.5 * (1.0 + 1.0) / 2])
    assert server.version == 1


class Done:
    """A task that has ended."""

    def __init__(self, value: Any, error: Exception | None = None) -> None:
        self.value, self.error = value, error

    def exception(self) -> Exception | None:
        return self.error

    def result(self) -> Any:
        return self.value


def test_stale_updates_of_fedbuff_count_less_and_failures_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    fedbuff = module_of("fedbuff", "fedbuff", monkeypatch)
    server = fedbuff.BufferedServer(buffer_size=3)
    begun: list[str] = []
    server.begin = begun.append
    server.version = 8
    for client, version, task in [
        ("a", 8, Done("new")),
        ("b", 5, Done("old")),
        ("c", 8, Done(None, RuntimeError("gone"))),
        ("d", 0, Done("ancient")),
    ]:
        server.arrivals.put((client, version, task))
    idle = ["e"]
    assert server.fill_buffer(idle) == [(1.0, "new"), (0.5, "old"), (1 / 3, "ancient")]
    assert server.stalenesses == [0, 3, 8]
    assert len(begun) == 4  # as many are busy as before
    assert len(idle) == 1


def test_split_learning_is_training_the_whole_model(monkeypatch: pytest.MonkeyPatch) -> None:
    split = module_of("split", "splitlearning", monkeypatch)
    batches = [(torch.randn(16, 64), torch.randint(0, 10, (16,))) for _ in range(5)]
    lower, upper = split.LowerHalf(lr=0.2), split.UpperHalf(lr=0.2)
    whole = torch.nn.Sequential(*split.LowerHalf().module, split.UpperHalf().module)
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.2)
    for x, y in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(whole(x), y).backward()
        optimizer.step()

    class Data:
        def __iter__(self) -> Iterator[Any]:
            return iter(batches)

        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, index: int) -> Any:
            return batches[index]

    actors = Actors()
    try:
        server = actors.make("server", {"server": split.SplitServer()})
        server.implement_element("server", "layers", ElementImplementation(impl=upper))
        server.start()
        client_role = split.SplitClient()
        client = actors.make("client", {"client": client_role}, relationships={"server": ["server/server"]})
        for element, impl in (("layers", lower), ("dataset", Data()), ("dataset_test", Data())):
            client.implement_element("client", element, ElementImplementation(impl=impl))
        client.start()
        probe = Steps()
        actors.start("probe", {"probe": probe})
        probe.call_task(rml.RoleInstanceID("client", "client"), "train").result()
    finally:
        actors.stop()
    trained = [*lower.module.parameters(), *upper.module.parameters()]
    for ours, theirs in zip(trained, whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_no_update_is_lost_while_an_edge_moves() -> None:
    result = carry_out("moving/config.yaml", "start --num_rounds 6 --move_after 2").result
    assert result["updates"] == 6 * 10
    assert result["served_before_the_move"] >= 3

"""The corpus once more, and a short run without guidance: what `make fuzz` looks for at length."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import CORPUS, seeds
from tests.fuzz.targets import TARGETS, Violation, checked

FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
SEEDS = seeds()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_of_the_corpus_breaks_no_promise(path: Path) -> None:
    checked(TARGETS[path.parent.name], path.read_bytes())


def test_the_corpus_is_what_its_script_writes() -> None:
    written = {(path.parent.name, path.name) for path in FILES}
    assert written == {(target, name) for target, inputs in SEEDS.items() for name in inputs}
    assert set(SEEDS) == set(TARGETS)
    assert all(path.stat().st_size < 20_000 for path in FILES)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=50)
@given(data=st.data())
def test_changed_inputs_break_no_promise(target: str, data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(sorted(SEEDS[target].values(), key=len))))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(changed)))
        new = data.draw(st.binary(max_size=4))
        kept_from = place + data.draw(st.integers(0, 4))
        changed[place:] = new + changed[kept_from:]
    checked(TARGETS[target], bytes(changed))


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_random_inputs_break_no_promise(target: str, data: bytes) -> None:
    checked(TARGETS[target], data)


def test_what_runs_or_grows_is_noticed() -> None:
    def runs(data: bytes) -> None:
        exec(data)

    def grows(data: bytes) -> None:
        bytearray(100 << 20)

    with pytest.raises(Violation, match="ran code"):
        checked(runs, b"1")
    with pytest.raises(Violation, match="bytes of memory"):
        checked(grows, b"1")

"""A simulation that is killed, and started again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.programs import ROOT, Program, run_program, write_application

SIMULATE = ["roleml", "simulate", str(ROOT / "examples" / "fedavg" / "config.yaml"), "--json", "-v"]
COMMAND = ["-c", "start --num_rounds 8 --select_ratio 0.3"]
RESUMED = [*SIMULATE, *COMMAND, "--checkpoint", "saved", "--resume"]


def outcome(text: str) -> Any:
    return json.loads(text.splitlines()[-1])["result"]


def test_a_simulation_that_is_killed_goes_on_with_the_round_it_was_in_and_ends_the_same(
    tmp_path: Path,
) -> None:
    code, undisturbed = run_program(tmp_path, *SIMULATE, *COMMAND)
    assert code == 0, undisturbed
    with Program(tmp_path, *RESUMED) as program:
        program.line_with("round 3 test result")
        program.kill()
        program.end()
    code, resumed = run_program(tmp_path, *RESUMED)
    assert code == 0, resumed
    assert "round 2 test result" not in resumed  # round 3 may have been killed before its checkpoint
    assert outcome(resumed) == outcome(undisturbed)

    code, again = run_program(tmp_path, *RESUMED)
    assert code == 0, again
    assert "test result" not in again  # it was done
    assert outcome(again) == outcome(undisturbed)


def test_checkpoints_are_neither_overwritten_by_accident_nor_looked_for_nowhere(tmp_path: Path) -> None:
    write_application(tmp_path)
    (tmp_path / "list.yaml").write_text(
        "profiles: [{name: one, checkpoint: elsewhere, roles: {counting: {class: application.Counting}}}]\n"
    )
    arguments = ["roleml", "simulate", "list.yaml", "--checkpoint", "saved"]
    for options, life in ([], "life 1"), (["--resume"], "life 2"), (["--resume"], "life 3"):
        code, text = run_program(tmp_path, *arguments, *options)
        assert (code, life in text) == (0, True), text
    assert (tmp_path / "saved" / "one.checkpoint").exists()
    assert not (tmp_path / "elsewhere").exists()
    code, text = run_program(tmp_path, *arguments)
    assert code == 1
    assert "resume to go on from it (--resume" in text

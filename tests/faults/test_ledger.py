"""What counts as what: a ledger that overlooks something would let every fault pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_wrong_answer_of_a_service_is_not_taken_for_a_refusal(journal: Path) -> None:
    ledger = Ledger()
    ledger.begin("service-1", "service", "one")
    ledger.end("service-1", "the answer is wrong", wrong=True)
    assert ledger.outcome([journal], 0.0, 0.0).wrong == ("service-1: the answer is wrong",)


def test_a_task_may_run_again_in_another_process_and_not_in_the_same(journal: Path) -> None:
    ledger = Ledger()
    for call_id in ("task-1", "task-2"):
        ledger.begin(call_id, "task", "one")
        ledger.end(call_id)
    journal.write_text("task-1 100\ntask-1 200\ntask-2 200\n")
    outcome = ledger.outcome([journal], 0.0, 0.0)
    assert (outcome.repeated, outcome.repeated_in_process) == (1, 0)
    journal.write_text("task-1 100\ntask-1 100\ntask-2 200\n")
    outcome = ledger.outcome([journal], 0.0, 0.0)
    assert (outcome.repeated, outcome.repeated_in_process) == (1, 1)


def test_a_world_has_recovered_when_each_callee_answers_again(journal: Path) -> None:
    ledger = Ledger()
    ledger.begin("task-1", "task", "one")
    healed_s = time.monotonic()
    ledger.begin("task-2", "task", "two")
    ledger.end("task-2")
    ledger.end("task-1")  # it began before the end of the fault: its answer may have waited somewhere
    assert ledger.outcome([journal], 0.0, healed_s).recover_s is None
    ledger.begin("task-3", "task", "one")
    ledger.end("task-3")
    recover_s = ledger.outcome([journal], 0.0, healed_s).recover_s
    assert recover_s is not None
    assert recover_s > 0
    assert ledger.answered_since(healed_s) == {"one": 1, "two": 1}

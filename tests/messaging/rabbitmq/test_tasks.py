from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roleml.messaging.rabbitmq.seen import owned
from roleml.messaging.rabbitmq.tasks import MAX_CRASHES, Decision, Held, TaskLedger


def test_a_task_runs_once_and_is_let_go_when_its_result_is_safe() -> None:
    ledger = TaskLedger()
    assert ledger.decide("t", redelivered=False, crashes=0) is Decision.RUN
    ledger.hold("t", Held([1, 2], 1, {}))
    held = ledger.finish("t")
    assert held is not None
    assert (held.tags, held.generation) == ([1, 2], 1)
    assert ledger.finish("t") is None
    assert len(ledger) == 0


def test_a_task_delivered_again_while_it_runs_is_held_and_not_run() -> None:
    ledger = TaskLedger()
    ledger.hold("t", Held([1], 1, {}))
    assert ledger.decide("t", redelivered=True, crashes=0) is Decision.HOLD
    ledger.hold("t", Held([7], 2, {}))
    held = ledger.finish("t")
    assert held is not None
    assert (held.tags, held.generation) == ([7], 2)


def test_a_finished_task_that_comes_again_is_dropped() -> None:
    ledger = TaskLedger()
    ledger.hold("t", Held([1], 1, {}))
    ledger.finish("t")
    assert ledger.decide("t", redelivered=True, crashes=0) is Decision.DROP


def test_an_id_belongs_to_who_made_it_up() -> None:
    assert owned("alice", "1") != owned("mallory", "1")
    assert owned("a", "b/c") != owned("a/b", "c")


def test_a_task_that_made_progress_survives_one_death_uncounted() -> None:
    ledger = TaskLedger()
    ledger.forgive(["t"])
    assert ledger.decide("t", redelivered=True, crashes=2) is Decision.RUN
    ledger.hold("t", Held([1], 1, {}))
    assert ledger.decide("t", redelivered=True, crashes=2) is Decision.HOLD
    assert TaskLedger().decide("t", redelivered=True, crashes=2) is Decision.COUNT


class Broker:
    """The queue of one task, and processes that die while they run it."""

    def __init__(self) -> None:
        self.queue: list[tuple[int, bool]] = [(0, False)]  # (crashes, redelivered)
        self.runs = 0

    def one_process(self, *, forgets: bool) -> Decision | None:
        """Deliver until the task ends the process; ``forgets`` to let go of what it replaced."""
        ledger, unacked = TaskLedger(), list[int]()
        while self.queue:
            crashes, redelivered = self.queue.pop(0)
            decision = ledger.decide("t", redelivered=redelivered, crashes=crashes)
            if decision is Decision.COUNT:
                self.queue.append((crashes + 1, False))
                if forgets:
                    unacked.append(crashes)
            elif decision is Decision.RUN:
                self.runs += 1
                unacked.append(crashes)
                self.queue = [(n, True) for n in unacked] + self.queue
                return decision
            elif decision is Decision.SET_ASIDE:
                return decision
        return None


@given(st.lists(st.booleans(), min_size=10, max_size=10))
def test_a_deadly_task_runs_three_times_even_if_deaths_come_at_the_worst_moment(forgets: list[bool]) -> None:
    broker = Broker()
    outcomes = [broker.one_process(forgets=each) for each in forgets]
    assert broker.runs == MAX_CRASHES
    assert outcomes[: MAX_CRASHES + 1] == [Decision.RUN] * MAX_CRASHES + [Decision.SET_ASIDE]

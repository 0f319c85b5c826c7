"""What became of a request, and whether its answer is still at hand."""

from __future__ import annotations

from roleml.messaging.rabbitmq.served import Fate, Served


def test_a_request_comes_is_at_work_and_is_answered() -> None:
    served = Served[str]()
    assert served.what_became_of("1") is Fate.NEVER_CAME
    served.came("1")
    assert "1" in served
    assert served.what_became_of("1") is Fate.AT_WORK
    served.answered("1", "yes")
    assert served.what_became_of("1") == "yes"


def test_an_answer_that_is_not_kept_is_still_known_to_have_been_sent() -> None:
    served = Served[str]()
    served.came("1")
    served.answered("1", None)
    assert served.what_became_of("1") is Fate.ANSWERED


def test_the_last_answers_are_kept() -> None:
    served = Served[str](kept=2)
    for number in "123":
        served.came(number)
        served.answered(number, f"answer {number}")
    assert [served.what_became_of(number) for number in "123"] == [Fate.ANSWERED, "answer 2", "answer 3"]


def test_the_last_requests_are_remembered() -> None:
    served = Served[str](remembered=2)
    for number in "123":
        served.came(number)
    assert "1" not in served
    served.answered("1", "late")
    assert [served.what_became_of(number) for number in "123"] == [
        Fate.NEVER_CAME, Fate.AT_WORK, Fate.AT_WORK
    ]  # fmt: skip


def test_what_is_at_work_is_counted() -> None:
    served = Served[str](remembered=3)
    for number in "112":
        served.came(number)
    assert served.at_work == 2
    served.answered("1", "yes")
    served.answered("1", "again")
    assert served.at_work == 1
    for number in "3456":  # the oldest are forgotten, at work or not
        served.came(number)
    assert served.at_work == 3
    served.answered("2", "forgotten")
    assert served.at_work == 3

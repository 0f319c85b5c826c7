from __future__ import annotations

from itertools import islice, repeat

from roleml.core.actor.group.helpers import (
    ErrorHandlingStrategy,
    scatter_arg,
    scatter_args_and_payloads,
    scatter_payloads,
)
from roleml.core.role.types import ErrorHandlingStrategy as Home


def test_the_strategy_is_the_one_role_authors_import_elsewhere() -> None:
    assert ErrorHandlingStrategy is Home
    assert {each.name for each in ErrorHandlingStrategy} == {"IGNORE", "RAISE_FIRST", "RETRY", "KEEP"}


def test_scattered_args_share_the_payloads() -> None:
    shared = {"model": object()}
    messages = list(scatter_arg([{"n": 1}, {"n": 2}], payloads=shared))
    assert [message.args for message in messages] == [{"n": 1}, {"n": 2}]
    assert all(message.payloads is shared for message in messages)
    assert [message.payloads for message in scatter_arg([{}])] == [{}]


def test_scattered_payloads_share_the_args() -> None:
    shared = {"round": 3}
    messages = list(scatter_payloads([{"part": 1}, {"part": 2}], args=shared))
    assert [message.payloads for message in messages] == [{"part": 1}, {"part": 2}]
    assert all(message.args is shared for message in messages)
    assert [message.args for message in scatter_payloads([{}])] == [{}]


def test_scattered_args_and_payloads_go_in_pairs_until_either_ends() -> None:
    assert list(scatter_args_and_payloads([{"a": 1}, {"a": 2}], [{"p": 1}, {"p": 2}])) == [
        ({"a": 1}, {"p": 1}),
        ({"a": 2}, {"p": 2}),
    ]
    assert len(list(scatter_args_and_payloads([{"a": 1}, {"a": 2}], repeat({"p": 1})))) == 2


def test_scattering_is_lazy() -> None:
    assert len(list(islice(scatter_arg(repeat({"a": 1})), 3))) == 3

"""For whoever calls a group: what to do about errors, and a message of its own for each member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roleml.core.role.types import Args, ErrorHandlingStrategy, Message, Payloads

__all__ = ["ErrorHandlingStrategy", "scatter_arg", "scatter_args_and_payloads", "scatter_payloads"]


def scatter_arg(args_list: Iterable[Args], *, payloads: Payloads | None = None) -> Iterator[Message]:
    """One message for each of the args; all share the payloads."""
    payloads = {} if payloads is None else payloads
    for args in args_list:
        yield Message(args, payloads)


def scatter_payloads(payloads_list: Iterable[Payloads], *, args: Args | None = None) -> Iterator[Message]:
    """One message for each of the payloads; all share the args."""
    args = {} if args is None else args
    for payloads in payloads_list:
        yield Message(args, payloads)


def scatter_args_and_payloads(
    args_list: Iterable[Args], payloads_list: Iterable[Payloads]
) -> Iterator[Message]:
    """The first args with the first payloads, and so on, until either ends."""
    for args, payloads in zip(args_list, payloads_list):  # noqa: B905  # either may be endless
        yield Message(args, payloads)

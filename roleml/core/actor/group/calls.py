"""Group calls: one message, or one each, to many role instances at once.

Targets that share a message share one encoding and one upload. Requests to all of them are on their way
before the first answer is awaited; results are handled as they come.
"""

from __future__ import annotations

import logging
import queue
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from roleml.core.actor.calls import Calls
from roleml.core.actor.failures import at_caller
from roleml.core.context import RoleInstanceID, as_instance
from roleml.core.role.exceptions import CallerError, ChannelNotFoundError
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import ErrorHandlingStrategy, Message, TaskInvocation
from roleml.core.status import StatusError
from roleml.messaging.envelope import Kind
from roleml.messaging.exceptions import MessagingError, MsgConnectionError
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.pending import Pending
from roleml.shared.patience import Patience
from roleml.shared.threads import shared_clock

__all__ = ["GroupCalls", "GroupMode"]

logger = logging.getLogger("roleml.managers.group")

GroupMode = Literal["parallel", "sequential", "disabled"]
ShouldRetry = Callable[[RoleInstanceID, Exception], bool]

#: pauses before each repetition of a call under ``RETRY``; after the last one the error is raised
RETRY_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6)
#: a member that is away, or about to start, is asked again in the last of these pauses for so long
AWAY_S = 600.0


@dataclass
class _Member:
    """One target of one group call."""

    target: RoleInstanceID
    message: Message
    key: str = ""
    attempts: int = 0
    patience: Patience | None = None


class GroupCalls:
    """Calls to many, for one actor.

    ``parallel`` asks all targets at once; ``sequential`` one after the other, in group order; ``disabled``
    refuses.
    """

    def __init__(self, calls: Calls, mailbox: Mailbox, mode: GroupMode = "parallel") -> None:
        self._calls = calls
        self._mailbox = mailbox
        self._mode = mode

    def call(
        self,
        name: str,
        group: Iterable[tuple[str, str]],
        channel_name: str,
        *,
        message_map: Mapping[RoleInstanceID, Message] | None = None,
        message: Message | None = None,
        messages: Iterable[Message] | None = None,
        on_result: Callable[[RoleInstanceID, Any], Any] | None = None,
        on_error: ErrorHandlingStrategy = ErrorHandlingStrategy.RAISE_FIRST,
        should_retry: ShouldRetry | None = None,
    ) -> list[tuple[RoleInstanceID, Any]]:
        """See :meth:`roleml.core.role.base.Role.call_group`."""
        on_error = ErrorHandlingStrategy(on_error)
        members = self._members(group, message_map, message, messages)
        results: dict[RoleInstanceID, Any] = {}
        channel = to_standardized_name(channel_name)
        for member, pending in self._answers(name, Kind.SERVICE, channel, members, on_error, should_retry):
            value, error = _outcome(pending)
            if error is not None and on_error is ErrorHandlingStrategy.IGNORE:
                logger.warning("%s is left out of the results: %s", member.target, error)
                continue
            if error is not None and on_error is not ErrorHandlingStrategy.KEEP:
                raise error
            results[member.target] = value if error is None else error
            if on_result is not None:
                self._notify(on_result, member.target, results[member.target])
        return [(member.target, results[member.target]) for member in members if member.target in results]

    def call_task(
        self,
        name: str,
        group: Iterable[tuple[str, str]],
        channel_name: str,
        *,
        message_map: Mapping[RoleInstanceID, Message] | None = None,
        message: Message | None = None,
        messages: Iterable[Message] | None = None,
        on_call_error: ErrorHandlingStrategy = ErrorHandlingStrategy.RAISE_FIRST,
        on_result: Callable[[RoleInstanceID, TaskInvocation], Any] | None = None,
        key: str = "",
        should_retry: ShouldRetry | None = None,
    ) -> None:
        """See :meth:`roleml.core.role.base.Role.call_task_group`."""
        on_call_error = ErrorHandlingStrategy(on_call_error)
        if on_call_error is ErrorHandlingStrategy.KEEP:
            raise ValueError("KEEP makes no sense for task calls: there is no result yet to keep an error in")
        members = self._members(group, message_map, message, messages, key)
        channel = to_standardized_name(channel_name)
        for member, pending in self._answers(name, Kind.TASK, channel, members, on_call_error, should_retry):
            if pending.refused:
                _, error = _outcome(pending)
                if on_call_error is not ErrorHandlingStrategy.IGNORE and error is not None:
                    raise error
                logger.warning("%s did not accept %s: %s", member.target, channel, error)
            elif on_result is not None:
                invocation = self._calls.invocation(pending)
                invocation.add_done_callback(_result_callback(on_result, member.target))

    def _notify(
        self, on_result: Callable[[RoleInstanceID, Any], Any], target: RoleInstanceID, value: Any
    ) -> None:
        with self._calls.ctx.activate():
            try:
                on_result(target, value)
            except Exception:
                logger.exception("on_result failed for %s", target)

    def _members(
        self,
        group: Iterable[tuple[str, str]],
        message_map: Mapping[RoleInstanceID, Message] | None,
        message: Message | None,
        messages: Iterable[Message] | None,
        key: str = "",
    ) -> list[_Member]:
        if self._mode == "disabled":
            raise RuntimeError(
                "group calls are disabled on this actor; "
                "remove 'collective_implementor' from its configuration"
            )
        if isinstance(group, str):  # type: ignore[unreachable]  # a common slip, worth a clear answer
            raise TypeError(
                f"a group is a collection of role instances, not the name {group!r}; "
                f"use self.ctx.relationships.get_relationship_view({group!r})"
            )
        if isinstance(group, RoleInstanceID):
            raise TypeError(f"a group is a collection of role instances, not one of them: use [{group!r}]")
        if message is not None and messages is not None:
            raise ValueError("give either one message for the whole group or `messages` for each, not both")
        shared = message if message is not None else Message.empty()
        scattered = iter(messages) if messages is not None else None
        targets = Counter(map(as_instance, group))
        twice = [target for target, count in targets.items() if count > 1]
        if twice and scattered is not None:
            raise ValueError(
                f"{twice[0]} is in the group twice, and gets one message: call it by itself again"
            )
        members = []
        for target in targets:
            own = message_map.get(target) if message_map else None
            if own is None and scattered is not None:
                own = next(scattered, None)
                if own is None:
                    raise RuntimeError(
                        f"there are fewer messages than group members; none is left for {target}"
                    )
            members.append(_Member(target, own if own is not None else shared, key))
        return members

    def _answers(
        self,
        name: str,
        kind: Kind,
        channel: str,
        members: list[_Member],
        strategy: ErrorHandlingStrategy,
        should_retry: ShouldRetry | None,
    ) -> Iterator[tuple[_Member, Pending]]:
        """Each member with its request, once a service has answered or a task was accepted or refused."""
        ready: queue.SimpleQueue[tuple[_Member, Pending]] = queue.SimpleQueue()
        batches = [[member] for member in members] if self._mode == "sequential" else [members]
        for batch in batches:
            self._post(name, kind, channel, batch, ready)
            waiting = len(batch)
            while waiting:
                member, pending = ready.get()
                if strategy is ErrorHandlingStrategy.RETRY and self._worth_repeating(
                    member, pending, should_retry
                ):
                    self._post_later(name, kind, channel, member, ready)
                    continue
                waiting -= 1
                yield member, pending

    def _post(
        self, name: str, kind: Kind, channel: str, members: list[_Member], ready: queue.SimpleQueue[Any]
    ) -> None:
        by_message: dict[int, list[_Member]] = {}
        for member in members:
            by_message.setdefault(id(member.message), []).append(member)
        for sharing in by_message.values():
            targets, message, key = [member.target for member in sharing], sharing[0].message, sharing[0].key
            try:
                pendings = self._mailbox.post(kind, self._calls.address(name), targets, channel, message, key)
            except Exception as e:  # noqa: BLE001  # translated, whatever it is
                raise at_caller(e)  # noqa: B904  # it has its cause
            for member, pending in zip(sharing, pendings, strict=True):
                _when_settled(pending, ready, member)

    def _post_later(
        self, name: str, kind: Kind, channel: str, member: _Member, ready: queue.SimpleQueue[Any]
    ) -> None:
        pause_s = RETRY_PAUSES_S[min(member.attempts, len(RETRY_PAUSES_S) - 1)]
        member.attempts += 1

        def again() -> None:
            try:
                self._post(name, kind, channel, [member], ready)
            except Exception as e:  # noqa: BLE001  # e.g. what cannot travel any more: the group waits for it
                failed = Pending("", kind, self._calls.address(name), member.target, channel)
                failed.fail(e)
                ready.put((member, failed))

        shared_clock().after(pause_s, again)

    @staticmethod
    def _worth_repeating(member: _Member, pending: Pending, should_retry: ShouldRetry | None) -> bool:
        if pending.kind is Kind.TASK and not pending.refused:
            return False
        _, error = _outcome(pending)
        if error is None or isinstance(error, CallerError | ChannelNotFoundError):
            return False
        if _is_away(pending):
            member.patience = member.patience or Patience(AWAY_S)
            member.patience.report(logger, "waiting for %s: %s", member.target, error)
            if member.patience.exhausted:
                return False
        elif member.attempts >= len(RETRY_PAUSES_S):
            return False
        return should_retry is None or should_retry(member.target, error)


def _is_away(pending: Pending) -> bool:
    """Whether its actor was not there, or has not started its roles yet."""
    error = pending.error
    return isinstance(error, MsgConnectionError) or (
        isinstance(error, MessagingError) and error.remote_type == StatusError.__name__
    )


def _when_settled(pending: Pending, ready: queue.SimpleQueue[Any], member: _Member) -> None:
    """Put the pair into ``ready`` when a service is done, or when a task was accepted or refused."""
    if not pending.add_settled_callback(lambda: ready.put((member, pending))):
        ready.put((member, pending))


def _outcome(pending: Pending) -> tuple[Any, Exception | None]:
    try:
        return pending.value(), None
    except Exception as e:  # noqa: BLE001  # translated, whatever it is
        return None, at_caller(e)


def _result_callback(
    on_result: Callable[[RoleInstanceID, TaskInvocation], Any], target: RoleInstanceID
) -> Callable[[TaskInvocation], Any]:
    return lambda invocation: on_result(target, invocation)

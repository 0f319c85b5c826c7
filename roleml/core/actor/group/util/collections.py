"""Mergers that know whose values must arrive, for the results of a group."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from roleml.core.context import RoleInstanceID
from roleml.core.role.types import ErrorHandlingStrategy, TaskInvocation
from roleml.shared.collections.merger import KeyValueMerger, MergedValue, ValueMerger, make_kv_merger
from roleml.shared.errors import RoleMLError
from roleml.shared.patience import Patience

__all__ = [
    "AsynchronousKeyValueMerger",
    "DataFilter",
    "FilteredOut",
    "MergerTimeoutError",
    "MergingFailedError",
    "TaskResultCollector",
    "TaskResultFilter",
]

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")

#: Turns what is pushed into what is merged; raises `FilteredOut` for what is not to be merged.
DataFilter = Callable[[Any, Any], tuple[Any, Any]]


class FilteredOut(Exception):
    """Raised by a data filter: do not merge this value.

    With `still_count` its key counts as arrived. Without, it does not; and if the exception has a cause
    (`raise FilteredOut() from error`), that error is raised to whoever pushed the value.
    """

    def __init__(self, still_count: bool = False) -> None:
        super().__init__(still_count)
        self.still_count = still_count


class MergerTimeoutError(RoleMLError, TimeoutError):
    """Not all values arrived in time; `missing` are the keys of those that did not."""

    code = "RML-R013"

    def __init__(self, missing: Iterable[Any], timeout_s: float) -> None:
        self.missing = tuple(missing)
        self.timeout_s = timeout_s
        super().__init__(self.missing, timeout_s)

    def __str__(self) -> str:
        return f"nothing within {self.timeout_s:g} s from {_listed(self.missing)}"


class MergingFailedError(RoleMLError, RuntimeError):
    """A value could not be merged; the cause says why."""

    code = "RML-R014"


def _identity(key: Any, value: Any) -> tuple[Any, Any]:
    return key, value


def _listed(keys: Iterable[Any]) -> str:
    return ", ".join(map(str, keys))


class AsynchronousKeyValueMerger(KeyValueMerger[Key, Value, MergedValue]):
    """Takes values from any thread, and gives the merged value once those of all targets have arrived.

    Values go through `data_filter` (in the pushing threads, at once) and then into `merger`, one at a time. A
    key that is given another one by the filter still counts as itself. With `allow_append`, a key may be
    pushed again. Without targets, any key is welcome and nothing is waited for.
    """

    def __init__(
        self,
        targets: Iterable[Key] | None,
        *,
        merger: KeyValueMerger[Any, Any, MergedValue] | ValueMerger[Any, MergedValue],
        data_filter: DataFilter = _identity,
        allow_append: bool = False,
    ) -> None:
        self._merger = make_kv_merger(merger) if isinstance(merger, ValueMerger) else merger
        if not isinstance(self._merger, KeyValueMerger):
            raise TypeError(f"merger must be an instance of a KeyValueMerger or ValueMerger, not {merger!r}")
        if allow_append and not self._merger.allow_append:
            raise TypeError(f"{type(merger).__name__} takes each key only once: allow_append is not possible")
        self._filter = data_filter
        self._allow_append = allow_append
        # The inner merger runs under a lock of its own, so that those who only look need not wait for it.
        self._merging = threading.RLock()
        self._changed = threading.Condition()
        self._targets = dict.fromkeys(targets or ())
        self._missing = dict(self._targets)
        self._taken: set[Key] = set()
        self._error: Exception | None = None

    @property
    def allow_append(self) -> bool:
        return self._allow_append

    @property
    def disposable(self) -> bool:
        return self._merger.disposable

    @property
    def missing(self) -> list[Key]:
        """The targets of which nothing has arrived yet."""
        with self._changed:
            return list(self._missing)

    def push(self, key: Key, value: Value) -> None:
        """Merge one value.

        Whatever is raised here also makes a waiting `result` fail, unless keys can be pushed again.

        Raises:
            KeyError: the key is not a target.
            TypeError: the key was pushed before, and this merger does not `allow_append`.
            Exception: what the filter or the merger raised. The key then counts as not pushed.
        """
        try:
            self._take(key)
            try:
                arrived = self._merge_in(key, value)
            except BaseException:
                self._give_back(key)
                raise
        except Exception as e:
            with self._changed:
                self._error = e
                self._changed.notify_all()
            raise
        if arrived:
            with self._changed:
                self._missing.pop(key, None)
                self._changed.notify_all()
        else:
            self._give_back(key)

    def push_bulk(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Push each pair; the first error ends it."""
        for key, value in items:
            self.push(key, value)

    def result(self, timeout: float | None = None, ready_required: bool = True) -> MergedValue:
        """Wait until the values of all targets have arrived, and merge.

        Without a `timeout` (seconds) this waits as long as it takes, and logs every now and then whom it
        waits for. With `ready_required=False`, what has arrived by the timeout is merged instead of raising.

        Raises:
            MergerTimeoutError: names the targets still missing.
            MergingFailedError: a push failed, before or while waiting; its cause is the error.
        """
        patience = Patience(timeout)
        while self._targets:
            with self._changed:
                self._changed.wait_for(lambda: self._failed or not self._missing, patience.next_wait_s())
                error = self._error if self._failed else None
                missing = list(self._missing)
            if error is not None:
                raise MergingFailedError(
                    f"a value could not be merged: {type(error).__name__}: {error}"
                ) from error
            if not missing:
                break
            if timeout is not None and patience.exhausted:
                if ready_required:
                    raise MergerTimeoutError(missing, timeout)
                break
            patience.report(logger, "waiting for results of %s", _listed(missing))
        with self._merging:
            return self._merger.merge()

    def merge(self) -> MergedValue:
        """The same as `result()`: waits for all targets."""
        return self.result()

    @property
    def _failed(self) -> bool:
        return self._error is not None and not self._allow_append

    def _take(self, key: Key) -> None:
        with self._changed:
            if self._targets and key not in self._targets:
                raise KeyError(f"{key} is not among the targets {_listed(self._targets)}")
            if key in self._taken and not self._allow_append:
                raise TypeError(f"a value of {key} was pushed before, and each key is taken only once")
            self._taken.add(key)

    def _give_back(self, key: Key) -> None:
        with self._changed:
            self._taken.discard(key)

    def _merge_in(self, key: Key, value: Value) -> bool:
        """Whether the key counts as arrived."""
        try:
            key_to_merge, value_to_merge = self._filter(key, value)
        except FilteredOut as e:
            if not e.still_count and e.__cause__ is not None:
                raise e.__cause__ from None
            return e.still_count
        with self._merging:
            self._merger.push(key_to_merge, value_to_merge)
        return True


class TaskResultFilter:
    """Takes finished tasks and yields their results.

    `on_error` says what becomes of a failed task: IGNORE leaves it out, with a warning, and counts it as
    arrived; RAISE_FIRST raises its error; KEEP lets the error stand in the place of the result. RETRY is a
    `RuntimeError`: the task was called elsewhere.
    """

    def __init__(self, on_error: ErrorHandlingStrategy = ErrorHandlingStrategy.IGNORE) -> None:
        self.on_error = ErrorHandlingStrategy(on_error)

    def __call__(self, source: RoleInstanceID, task: TaskInvocation) -> tuple[Any, Any]:
        if not isinstance(task, TaskInvocation):
            raise TypeError(
                f"the result of {source} is of type {type(task).__name__}, and no task: this is for "
                "call_task_group; call_group gives values, which any other merger takes"
            )
        error = task.exception()
        if error is None:
            return self.transform_source(source), task.result()
        if self.on_error is ErrorHandlingStrategy.KEEP:
            return self.transform_source(source), error
        if self.on_error is ErrorHandlingStrategy.RAISE_FIRST:
            raise error
        if self.on_error is ErrorHandlingStrategy.RETRY:
            raise RuntimeError(
                f"the task of {source} failed, and results cannot be retried: give RETRY to the call instead"
            ) from error
        logger.warning("left out the result of %s, whose task failed: %s", source, error)
        raise FilteredOut(still_count=True) from error

    def transform_source(self, source: RoleInstanceID) -> Any:
        """The key to merge a result under; override it to have another one than the source."""
        return source


class TaskResultCollector(AsynchronousKeyValueMerger[RoleInstanceID, TaskInvocation, MergedValue]):
    """Merges the results of tasks: its `push` is made for the `on_result` of `Role.call_task_group`.

    It may be given results before that call returns. `on_error` is that of a `TaskResultFilter`.
    """

    def __init__(
        self,
        targets: Iterable[RoleInstanceID] | None,
        *,
        merger: KeyValueMerger[Any, Any, MergedValue] | ValueMerger[Any, MergedValue],
        on_error: ErrorHandlingStrategy = ErrorHandlingStrategy.IGNORE,
    ) -> None:
        if isinstance(targets, str):
            raise TypeError(
                f"targets are role instances, not the name {targets!r}; "
                f"use self.ctx.relationships.get_relationship_view({targets!r})"
            )
        super().__init__(targets, merger=merger, data_filter=TaskResultFilter(on_error))

"""What tests of running actors share: a factory of actors on a broker of their own, and bounded waits."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.context import ActorProfile, Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, Service

T = TypeVar("T")

DEADLINE_S = 10.0


def wait_until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition that nothing announces. Where something does, wait for that instead."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        threading.Event().wait(0.002)


def in_thread(func: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    """The future outcome of a call in a thread of its own; ``result(DEADLINE_S)`` waits for it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(func(*args, **kwargs))
        except BaseException as e:
            future.set_exception(e)

    threading.Thread(target=run, daemon=True).start()
    return future


def at(fullname: str) -> RoleInstanceID:
    return RoleInstanceID.of(fullname)


class Actors:
    """Makes actors that share a private embedded broker, and stops all of them at the end."""

    def __init__(self) -> None:
        self.broker = f"embedded://{uuid.uuid4().hex}"
        self._made: list[BaseActor] = []

    def make(
        self,
        name: str,
        roles: Mapping[str, Role] | None = None,
        *,
        relationships: Mapping[str, Iterable[str]] | None = None,
        links: Mapping[str, str] | None = None,
        contacts: Iterable[ActorProfile] = (),
        handwaves: Iterable[str] = (),
        cls: type[BaseActor] = Actor,
        **options: Any,
    ) -> Any:
        """An actor with these roles, not started. Relationship members are written ``actor/role``."""
        context = Context.build(
            ActorProfile(name),
            initial_relationships={
                key: [at(member) for member in members] for key, members in (relationships or {}).items()
            },
            initial_relationship_links=links,
            initial_contacts=contacts,
            initial_handwaves=handwaves,
        )
        actor = cls(context, **{"broker": self.broker, **options})
        self._made.append(actor)
        for role_name, role in (roles or {}).items():
            actor.add_role(role_name, role)
        return actor

    def start(self, name: str, roles: Mapping[str, Role] | None = None, **options: Any) -> Any:
        actor = self.make(name, roles, **options)
        actor.start()
        return actor

    def stop(self) -> None:
        for stopping in [in_thread(actor.stop) for actor in reversed(self._made)]:
            stopping.result(DEADLINE_S)


class Probe(Role):
    """A role without channels, to act through; what its ``note`` handler gets is in ``seen``."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: queue.SimpleQueue[tuple[RoleInstanceID, dict[str, Any], dict[str, Any]]] = (
            queue.SimpleQueue()
        )

    def note(self, source: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.seen.put((source, dict(args), dict(payloads)))

    def next(self) -> tuple[RoleInstanceID, dict[str, Any], dict[str, Any]]:
        return self.seen.get(timeout=DEADLINE_S)

    def next_args(self) -> dict[str, Any]:
        return self.next()[1]


class Emitter(Role):
    """Emits ``news`` and ``other_news`` when told to."""

    news = Event()
    other_news = Event()

    @Service()
    def publish(self, _: RoleInstanceID, args: Any, payloads: Any) -> None:
        self.news.emit(args, payloads)


class Gate:
    """Holds handlers: each enters, which the test sees, and stays until the test opens the gate."""

    def __init__(self) -> None:
        self._entered: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._open = threading.Event()

    def pass_through(self, what: Any = None) -> None:
        self._entered.put(what)
        assert self._open.wait(DEADLINE_S), "nobody opened the gate"

    def entered(self) -> Any:
        """Wait for the next one to enter."""
        return self._entered.get(timeout=DEADLINE_S)

    def open(self) -> None:
        self._open.set()

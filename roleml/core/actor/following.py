"""Declared event handlers: subscriptions that follow a relationship.

While a role runs, each ``@EventHandler`` of it is subscribed to every member of its relationship. Changes of
the relationship are followed in the background, one after the other for each role. A member that is not there
yet, or whose actor has left or was lost, is subscribed to once its actor says that it is ready. A member that
ended alone is not, until the relationship changes.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any

from roleml.core.actor.events import Events
from roleml.core.actor.subscriptions import Subscription
from roleml.core.context import Context, RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import EventHandlerProperties, attribute
from roleml.core.role.exceptions import HandlerError, NoSuchRoleError, RoleInteractionError
from roleml.core.status import StatusError
from roleml.messaging.mailbox import Mailbox
from roleml.messaging.transport import Presence
from roleml.shared.lanes import Started

__all__ = ["Following"]

logger = logging.getLogger("roleml.managers.event")


class _Follower:
    """One declared handler of one role."""

    def __init__(self, name: str, tag: str, role: Role, properties: EventHandlerProperties) -> None:
        self.name = name
        self.tag = tag
        self.role = role
        self.properties = properties
        self.active = False
        self.subscriptions: dict[RoleInstanceID, Subscription] = {}
        self.absent: set[RoleInstanceID] = set()
        #: the local role subscribed to for its name, which no change of the relationship undoes
        self.namesake: RoleInstanceID | None = None

    @property
    def relationship(self) -> str:
        return self.properties.relationship

    def wants(self, instance: RoleInstanceID) -> bool:
        try:
            return self.properties.extra_filter(instance)
        except Exception:
            logger.exception("extra_filter of %s.%s failed for %s", self.name, self.tag, instance)
            return False


class Following:
    """Keeps the declared handlers of an actor's roles subscribed."""

    def __init__(self, ctx: Context, mailbox: Mailbox, events: Events) -> None:
        self._ctx = ctx
        self._mailbox = mailbox
        self._events = events
        self._lock = threading.Lock()
        self._followers: dict[str, list[_Follower]] = {}
        #: for each subscribing under way, the actors that announced meanwhile that they are ready
        self._arrivals: list[set[str]] = []
        ctx.relationships.add_listener(self._relationship_changed)
        mailbox.on_presence(self._presence)
        mailbox.watched_while(self._waits_for)
        events.on_lost(self._lost)

    def add_role(self, name: str, role: Role) -> None:
        """Note the role's handlers."""
        followers = []
        for attribute_name, properties in type(role).event_handlers.items():
            resolved = _resolve(name, attribute_name, role, properties)
            if resolved is not None:
                followers.append(_Follower(name, attribute_name, role, resolved))
        with self._lock:
            self._followers[name] = followers

    def declared(self, name: str) -> None:
        """A local role can be subscribed to now: serve those who wait for it, or fall back to its name."""
        instance = RoleInstanceID(self._ctx.profile.name, name)
        for follower in self._active():
            if instance in follower.absent:
                self._in_background(follower, self._subscribe_again, [instance])
            elif follower.relationship == name and not self._members(follower):
                self._in_background(follower, self._subscribe_to_namesake)

    def start(self, name: str) -> None:
        """The role is starting: subscribe to every member, and follow from now on."""
        begun: list[threading.Event] = []
        for follower in self._followers.get(name, ()):
            with self._ctx.relationships:  # what changes afterwards comes after this in the background
                follower.active = True
                begun.append(self._in_background(follower, self._begin, self._members(follower)))
        for each in begun:
            each.wait()

    def remove_role(self, name: str) -> None:
        with self._lock:
            followers = self._followers.pop(name, [])
        for follower in followers:
            follower.active = False

    def _active(self) -> list[_Follower]:
        with self._lock:
            return [
                follower
                for followers in self._followers.values()
                for follower in followers
                if follower.active
            ]

    def _members(self, follower: _Follower) -> Collection[RoleInstanceID]:
        return self._ctx.relationships.get_relationship_view(follower.relationship)

    def _in_background(self, follower: _Follower, action: Callable[..., None], *args: Any) -> threading.Event:
        """Do it for the follower after all that was asked for its role before; sets the event when done."""
        done = threading.Event()

        def job(_: Started) -> None:
            try:
                with self._ctx.activate():
                    if follower.active:
                        action(follower, *args)
            finally:
                done.set()

        self._mailbox.lanes.submit(("follow", follower.name), job)
        return done

    # in the background

    def _begin(self, follower: _Follower, members: Collection[RoleInstanceID]) -> None:
        if members:
            self._subscribe(follower, members)
        else:
            self._subscribe_to_namesake(follower)

    def _subscribe_to_namesake(self, follower: _Follower) -> None:
        """A relationship without members stands for the local role of that name, if it has the channel."""
        instance = RoleInstanceID(self._ctx.profile.name, follower.relationship)
        if self._events.has_channel(instance, follower.properties.channel_name):
            follower.namesake = instance
            self._subscribe_to(follower, instance)

    def _subscribe(self, follower: _Follower, instances: Iterable[RoleInstanceID]) -> None:
        for instance in instances:
            if follower.active and follower.wants(instance):
                self._subscribe_to(follower, instance)

    def _subscribe_again(self, follower: _Follower, instances: Iterable[RoleInstanceID]) -> None:
        """To those that are still waited for."""
        self._subscribe(follower, [instance for instance in instances if instance in follower.absent])

    def _subscribe_to(self, follower: _Follower, instance: RoleInstanceID) -> None:
        properties = follower.properties
        local = instance.actor_name == self._ctx.profile.name
        if not local:
            self._mailbox.watch(instance.actor_name)
        arrived: set[str] = set()
        with self._lock:
            self._arrivals.append(arrived)
        try:
            follower.subscriptions[instance] = self._events.subscribe(
                follower.name,
                instance,
                properties.channel_name,
                getattr(follower.role, follower.tag),
                conditions=properties.conditions,
                mode=properties.mode,
                tag=follower.tag,
            )
            follower.absent.discard(instance)
        except (HandlerError, NoSuchRoleError) as e:
            follower.absent.add(instance)
            if not local:
                self._mailbox.watch(instance.actor_name)
            logger.info("%s waits for %s to be ready: %s", follower.name, instance, e)
            if instance.actor_name in arrived:  # it announced that just now
                self._in_background(follower, self._subscribe_again, [instance])
        except (RoleInteractionError, StatusError, ValueError, TypeError) as e:
            if follower.active:
                logger.error(
                    "%s cannot subscribe to %s of %s: %s", follower.name, properties.channel_name, instance, e
                )
        finally:
            with self._lock:
                self._arrivals = [each for each in self._arrivals if each is not arrived]

    def _unsubscribe(self, follower: _Follower, instances: Iterable[RoleInstanceID]) -> None:
        for instance in instances:
            if instance == follower.namesake or not follower.wants(instance):
                continue
            with self._lock:  # it may be lost at this moment, and is then not to be waited for
                absent = instance in follower.absent
                follower.absent.discard(instance)
                subscription = follower.subscriptions.pop(instance, None)
            if subscription is not None:
                self._events.end(subscription)
            if absent:
                self._mailbox.unwatch(instance.actor_name)

    # what happens around

    def _relationship_changed(self, name: str, change: str, instances: tuple[RoleInstanceID, ...]) -> None:
        action = self._unsubscribe if change == "remove" else self._subscribe
        for follower in self._active():
            if follower.relationship == name:
                self._in_background(follower, action, instances)

    def _presence(self, actor: str, state: Presence) -> None:
        if state is Presence.READY:  # after all that its going down caused
            self._mailbox.lanes.submit(("presence", actor), lambda _: self._arrived(actor))

    def _arrived(self, actor: str) -> None:
        with self._lock:
            for arrived in self._arrivals:
                arrived.add(actor)
        for follower in self._active():
            waiting = [instance for instance in follower.absent.copy() if instance.actor_name == actor]
            if waiting:
                self._in_background(follower, self._subscribe_again, waiting)

    def _waits_for(self, actor: str) -> bool:
        return any(
            instance.actor_name == actor for follower in self._active() for instance in follower.absent.copy()
        )

    def _lost(self, actor: str, lost: list[Subscription]) -> None:
        ended = {id(subscription) for subscription in lost}
        for follower in self._active():
            for instance, subscription in list(follower.subscriptions.items()):
                left = instance.actor_name == actor and subscription.discontinued  # as the actor did then
                if left or id(subscription) in ended:
                    with self._lock:
                        if follower.subscriptions.pop(instance, None) is not None:
                            follower.absent.add(instance)


def _resolve(
    name: str, attribute_name: str, role: Role, properties: EventHandlerProperties
) -> EventHandlerProperties | None:
    """The declaration with the values of this instance for ``attribute(...)``; ``None`` if one is missing."""
    values: dict[str, Any] = {}
    for key, value in properties.conditions.items():
        if isinstance(value, attribute):
            try:
                value = getattr(role, value.name)
            except AttributeError:
                logger.error(
                    "role %s will not receive %s: "
                    "its condition %r needs the attribute %r, which %s does not have",
                    name, properties.channel_name, key, value.name, type(role).__name__,
                )  # fmt: skip
                return None
        values[key] = value
    return dataclasses.replace(properties, conditions=values)

"""Who is who: the names, contacts and relationships an actor and its roles share."""

from __future__ import annotations

import logging
import os
import random
import re
import string
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Any, Literal, NamedTuple, TypedDict

from roleml.messaging.codec import register_named_tuple
from roleml.shared.collections.frozen import OrderedFrozenSet
from roleml.shared.collections.observable import ObservableTable
from roleml.shared.errors import RoleMLError
from roleml.shared.suggestions import did_you_mean

__all__ = [
    "ActorNotFoundError",
    "ActorProfile",
    "ActorProfileSpec",
    "Contacts",
    "Context",
    "Relationships",
    "RoleInstanceID",
    "RoleInstanceIDTuple",
    "as_instance",
    "check_name",
    "parse_instances",
]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Prefixes of the names the runtime and the broker give to their own things.
_RESERVED = ("@", "rml", "amq")


def check_name(kind: str, name: str) -> str:
    """The name itself, if an actor or role may have it; `kind` says in the error what it should name.

    Names become routing keys and queue names, so they are 1 to 64 of the characters A-Z, a-z, 0-9, `_`, `-`.

    Raises:
        ValueError: the name has another form or begins like the names of the runtime itself.
    """
    for prefix in _RESERVED:
        if name.startswith(prefix):
            raise ValueError(
                f"{kind} name {name!r} is reserved: names beginning with {prefix!r} belong to the runtime"
            )
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {name!r} is not valid: use 1 to 64 letters (A-Z, a-z), digits, '_' and '-'"
        )
    return name


RoleInstanceIDTuple = tuple[str, str]


@register_named_tuple
class RoleInstanceID(NamedTuple):
    """Address of one role instance. Equal to, ordered and hashed like the plain tuple of its two names."""

    actor_name: str
    instance_name: str

    @staticmethod
    def of(fullname: str) -> RoleInstanceID:
        """The id written as `actor/instance`; anything else is a `ValueError`."""
        parts = fullname.split("/")
        if len(parts) != 2:
            raise ValueError(f"{fullname!r} is not a role instance: it should read 'actor/instance'")
        return RoleInstanceID(*parts)

    def __str__(self) -> str:
        return f"{self.actor_name}/{self.instance_name}"


def as_instance(instance: object) -> RoleInstanceID:
    """The id itself, or that of a plain tuple of two names; anything else is a `TypeError`."""
    if isinstance(instance, RoleInstanceID):
        return instance
    if isinstance(instance, tuple) and len(instance) == 2 and all(isinstance(part, str) for part in instance):
        return RoleInstanceID(*instance)
    raise TypeError(
        f"{instance!r} is not a role instance: "
        "use RoleInstanceID(actor, role) or RoleInstanceID.of('actor/role')"
    )


def parse_instances(spec: Iterable[str] | str, default_instance_name: str = "actor") -> list[RoleInstanceID]:
    """The ids written as `actor/instance`, or as `actor` alone for its instance of the default name.

    A lone string counts as a list of one. Whatever has more slashes is left out, with a warning.
    """
    instances = []
    for item in [spec] if isinstance(spec, str) else spec:
        actor_name, *rest = item.split("/")
        if len(rest) > 1:
            logger.warning("%r is left out: it should read 'actor/instance' or 'actor'", item)
            continue
        instances.append(RoleInstanceID(actor_name, rest[0] if rest else default_instance_name))
    return instances


class _NamedSpec(TypedDict):
    name: str


class ActorProfileSpec(_NamedSpec, total=False):
    """An `ActorProfile` as it is written in a configuration."""

    address: str


@register_named_tuple
class ActorProfile(NamedTuple):
    """An actor and the address it once announced. Two profiles are equal if they name the same actor.

    The address is for display and old configurations only: messages find an actor by its name.
    """

    name: str
    address: str = ""

    def __eq__(self, other: object) -> bool:
        # Not NotImplemented: Python would then compare as tuples, against what __hash__ says.
        return isinstance(other, ActorProfile) and self.name == other.name

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.name)


class ActorNotFoundError(RoleMLError, LookupError):
    """No contact has this name."""

    code = "RML-R012"

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"no contact with actor {self.name!r}{did_you_mean(self.name, self.known)}"


ContactListener = Callable[[ActorProfile], Any]


class Contacts(ObservableTable[ContactListener]):
    """The actors announced to this one, by name. It is not itself among them.

    Every method holds the table's lock; `with contacts:` holds it for a block. Listeners are called with the
    profile after each `add_contact`.
    """

    def __init__(self, *initial: ActorProfile) -> None:
        super().__init__()
        self._profiles = {profile.name: profile for profile in initial}

    def add_contact(self, profile: ActorProfile) -> ActorProfile | None:
        """Insert or replace by name; the profile that was replaced."""
        with self:
            old = self._profiles.get(profile.name)
            self._profiles[profile.name] = profile
            self._announce(profile)
        return old

    def remove_contact(self, name: str) -> ActorProfile | None:
        """Forget the actor, if known; the profile that was removed."""
        with self:
            return self._profiles.pop(name, None)

    def get_actor_profile(self, name: str) -> ActorProfile:
        with self._lock:
            if name not in self._profiles:
                raise ActorNotFoundError(name, self._profiles)
            return self._profiles[name]

    def all_actor_names(self) -> list[str]:
        with self._lock:
            return list(self._profiles)

    def all_actors(self) -> Sequence[ActorProfile]:
        """A snapshot, in the order in which the names were first added."""
        with self._lock:
            return tuple(self._profiles.values())


RelationshipChange = Literal["add", "remove"]
RelationshipListener = Callable[[str, RelationshipChange, tuple[RoleInstanceID, ...]], Any]

_NOBODY: AbstractSet[RoleInstanceID] = frozenset()


class Relationships(ObservableTable[RelationshipListener]):
    """Names for sets of role instances, as this actor sees them. Members need not exist.

    Every method holds the table's lock; `with relationships:` freezes the table for a block. A relationship
    may have several names (see `link_relationship`). Listeners are called as
    `listener(name, 'add' | 'remove', instances)`, once for every name of the relationship and the name used
    first, with the instances passed to the call, members already or not.
    """

    def __init__(
        self,
        initial: Mapping[str, Iterable[RoleInstanceIDTuple]] | None = None,
        initial_links: Mapping[str, str] | None = None,
    ) -> None:
        """The links (alias to original) are made after the content, in their order."""
        super().__init__()
        # The members of each relationship under its own name, in the order added (the dict serves as an
        # ordered set), and for each alias the name it was linked to, which may be an alias in turn. A chain
        # of aliases is followed at every look-up, so a link made later holds for all names before it.
        self._members: dict[str, dict[RoleInstanceID, None]] = {}
        self._links: dict[str, str] = {}
        for name, instances in (initial or {}).items():
            self._members[name] = dict.fromkeys(_as_instances(instances))
        for alias, original in (initial_links or {}).items():
            self.link_relationship(alias, original)

    def add_to_relationship(self, name: str, *instances: RoleInstanceIDTuple) -> None:
        """Add members, creating the relationship if necessary; without an instance: `ValueError`."""
        added = self._required(name, "added", instances)
        with self:
            self._members.setdefault(self._resolve(name), {}).update(dict.fromkeys(added))
            self._announce_all(self.names_of(name), "add", added)

    def remove_from_relationship(self, name: str, *instances: RoleInstanceIDTuple) -> None:
        """Remove members, ignoring those that are none; without an instance: `ValueError`."""
        removed = self._required(name, "removed", instances)
        with self:
            members = self._members.get(self._resolve(name), {})
            for instance in removed:
                members.pop(instance, None)
            self._announce_all(self.names_of(name), "remove", removed)

    def get_relationship(self, name: str) -> Iterator[RoleInstanceID]:
        """The members, to be iterated over once; a snapshot, empty for an unknown relationship."""
        return iter(self.get_relationship_view(name))

    def get_relationship_view(self, name: str) -> OrderedFrozenSet[RoleInstanceID]:
        """An immutable snapshot of the members, in the order added; empty for an unknown relationship.

        `random.sample(view, k)` works, and chooses the same members with the same seed.
        """
        with self._lock:
            return OrderedFrozenSet(self._members.get(self._resolve(name), ()))

    def get_relationship_unsafe(self, name: str) -> AbstractSet[RoleInstanceID]:
        """The members themselves, not copied: what changes the relationship later changes this set.

        Hold the lock (`with relationships:`) while relying on it. An unknown relationship gives an empty set
        that stays empty.
        """
        with self._lock:
            members = self._members.get(self._resolve(name))
            return _NOBODY if members is None else members.keys()

    def instance_belongs_to_relationship(self, instance: RoleInstanceIDTuple, name: str) -> bool:
        with self._lock:
            return instance in self._members.get(self._resolve(name), ())

    def link_relationship(self, alias: str, original: str) -> None:
        """Make `alias` another name of `original`, which is created if missing; this cannot be undone.

        Both are the same set from now on. For listeners, the members of `original` are added to `alias`.

        Raises:
            ValueError: `alias` has members already.
        """
        with self:
            names = self.names_of(alias)
            if self._members.get(self._resolve(alias)):
                raise ValueError(
                    f"cannot make {alias!r} another name of relationship {original!r}: {alias!r} has members "
                    f"already; remove them first, or link {original!r} to it instead"
                )
            target = self._resolve(original)
            members = self._members.setdefault(target, {})
            if target != self._resolve(alias):
                self._members.pop(alias, None)
                self._links[alias] = original
                if members:
                    joined = [name for name in names if self._resolve(name) == target]
                    self._announce_all(joined, "add", tuple(members))

    def names_of(self, name: str) -> list[str]:
        """All names of this relationship: the given one first, then its own, then its aliases."""
        with self._lock:
            own = self._resolve(name)
            names = [name, own, *(alias for alias in self._links if self._resolve(alias) == own)]
            return list(dict.fromkeys(names))

    def all_relationships(self) -> Mapping[str, OrderedFrozenSet[RoleInstanceID]]:
        """A snapshot of the whole table; an alias is listed like a relationship of its own."""
        with self._lock:
            return {name: self.get_relationship_view(name) for name in [*self._members, *self._links]}

    def _resolve(self, name: str) -> str:
        while name in self._links:
            name = self._links[name]
        return name

    def _announce_all(
        self, names: Iterable[str], change: RelationshipChange, instances: tuple[RoleInstanceID, ...]
    ) -> None:
        for name in names:
            self._announce(name, change, instances)

    @staticmethod
    def _required(
        name: str, verb: str, instances: Iterable[RoleInstanceIDTuple]
    ) -> tuple[RoleInstanceID, ...]:
        checked = _as_instances(instances)
        if not checked:
            raise ValueError(f"no role instance given to be {verb} (relationship {name!r})")
        return checked


def _as_instances(instances: Iterable[RoleInstanceIDTuple]) -> tuple[RoleInstanceID, ...]:
    return tuple(map(as_instance, instances))


# Outside of all handlers the ambient context is that of the actor constructed last, in any thread.
_latest: Context | None = None
_ambient: ContextVar[Context | None] = ContextVar("roleml_context", default=None)

# Not the module's own generator: a draw from that would shift the application's seeded sequence.
_system_random = random.SystemRandom()


class Context(NamedTuple):
    """What the roles of one actor share; they reach it as `self.ctx`."""

    start_time: float
    start_time_formatted: str
    workdir: str
    src: str
    seed: int
    contacts: Contacts
    relationships: Relationships
    handwaves: list[str]
    profile: ActorProfile

    @staticmethod
    def build(
        profile: ActorProfile,
        *,
        workdir: str | os.PathLike[str] = ".",
        src: str | os.PathLike[str] | None = None,
        seed: int = -1,
        initial_relationships: Mapping[str, Iterable[RoleInstanceIDTuple]] | None = None,
        initial_relationship_links: Mapping[str, str] | None = None,
        initial_contacts: Iterable[ActorProfile] | None = None,
        initial_handwaves: Iterable[str] | None = None,
    ) -> Context:
        """Create a context, and prepare the process for it.

        The process changes to `workdir`, `src` (by default the same) becomes importable, and the `random`
        module is seeded: with `seed`, or with a random one if that is -1. All actors of a process share these
        three and the one built last decides; code that depends on a path should use `ctx.workdir`. Generators
        of numpy and torch are the application's: it finds the effective seed in `ctx.seed`.
        """
        start_time = time.time()
        # Both are relative to the directory the caller was in.
        work_path = os.path.abspath(workdir)
        source = work_path if src is None else os.path.abspath(src)
        os.chdir(work_path)
        if source not in sys.path:
            sys.path.append(source)
        effective_seed = random.randrange(sys.maxsize) if seed == -1 else seed
        random.seed(effective_seed)
        return Context(
            start_time=start_time,
            start_time_formatted=time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(start_time)),
            workdir=work_path,
            src=source,
            seed=effective_seed,
            contacts=Contacts(*(initial_contacts or ())),
            relationships=Relationships(initial_relationships, initial_relationship_links),
            handwaves=list(initial_handwaves or ()),
            profile=profile,
        )

    def apply_general_template(self, text: str) -> str:
        """Replace `$name` and `${name}`; `$$` is a dollar sign.

        Names: `random` (an integer from 1 to 2147483647, new for each call), `timestamp` and `time` (the
        start time as seconds and as text), `workdir`, `src`, `seed`.

        Raises:
            KeyError: another name.
            ValueError: a dollar sign followed by no name.
        """
        values: dict[str, object] = {
            "random": _system_random.randint(1, 2**31 - 1),
            "timestamp": int(self.start_time),
            "time": self.start_time_formatted,
            "workdir": self.workdir,
            "src": self.src,
            "seed": self.seed,
        }
        try:
            return string.Template(text).substitute(values)
        except KeyError as e:
            name = str(e.args[0])
            raise KeyError(
                f"unknown name {name!r} in template {text!r}{did_you_mean(name, values)}"
            ) from None
        except ValueError as e:
            raise ValueError(
                f"template {text!r}: {e}; write $name or ${{name}}, and $$ for a dollar sign"
            ) from None

    def activate(self) -> AbstractContextManager[Context]:
        """Make this the ambient context of a block, and of threads that run in a copy of its variables."""
        return _Activation(self)

    @staticmethod
    def active_context() -> Context:
        """The context of the actor whose handler is running here, else of the actor constructed last.

        Raises:
            RuntimeError: there is no actor yet.
        """
        context = _ambient.get() or _latest
        if context is None:
            raise RuntimeError(
                "no context is active: construct an actor first, or pass the context explicitly"
            )
        return context

    @staticmethod
    def set_active_context(ctx: Context) -> None:
        """Make `ctx` the ambient context wherever no handler runs; every actor does so when constructed."""
        global _latest
        _latest = ctx


class _Activation(AbstractContextManager[Context]):
    # It surrounds every handler, and a generator would take three times as long.
    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        self._token: Token[Context | None] = _ambient.set(self._context)
        return self._context

    def __exit__(self, *_: object) -> None:
        _ambient.reset(self._token)

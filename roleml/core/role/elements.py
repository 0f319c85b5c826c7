"""Declaring the workloads of a role, and describing where an actor gets them from.

An `Element` in the body of a role class says "this role works on an object of this type". An
`ElementImplementation` says, for one role instance, which object that is or how to make it. What the role
finds under its attribute once both are joined is in `roleml.core.actor.elements`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

from roleml.shared.types import type_name

__all__ = [
    "ConstructStrategy",
    "Element",
    "ElementImplementation",
    "Factory",
    "FileMode",
    "InitializeStrategy",
]

T = TypeVar("T")

#: how a file is opened for a serializer or deserializer
FileMode = Literal["binary", "text"]


class ConstructStrategy(enum.Enum):
    """When the object of an element is constructed."""

    ONCE = "once"
    """At the first call; later calls give the same object."""
    ONCE_EAGER = "once_eager"
    """When the element is implemented, that is before the role starts."""
    EVERY_CALL = "every_call"
    """Each call gives a new object."""
    DEFAULT = ONCE


class InitializeStrategy(enum.Enum):
    """When the initializer of an element runs."""

    ONCE = "once"
    """Once per object, before it is first returned."""
    EVERY_CALL = "every_call"
    """At each call, also if the object is an old one."""
    DEFAULT = ONCE


@dataclass(frozen=True, eq=False)
class Element(Generic[T]):
    """Class attribute of a role: it works on an object of the type `cls`, which the role gets by calling it.

    `cls` is anything `isinstance` understands (a class, an abstract class, a runtime-checkable protocol, a
    union, `typing.Iterable` ...); it is never used to construct the object. The defaults apply to role
    instances whose configuration says nothing else; a default constructor goes before a default object.

    On a role instance the attribute stays this declaration until the element is implemented; then calling it,
    and all else but `implemented`, raises RuntimeError.
    """

    cls: Any
    default_impl: Any = None
    default_constructor: Callable[..., Any] | None = None
    default_construct_strategy: ConstructStrategy = ConstructStrategy.DEFAULT
    default_constructor_args: Mapping[str, Any] | None = None
    default_initializer: Callable[[Any], Any] | None = None
    default_initialize_strategy: InitializeStrategy = InitializeStrategy.DEFAULT
    default_serializer: Callable[[Any, IO[Any]], Any] | None = None
    default_serializer_mode: FileMode = "binary"
    default_deserializer: Callable[[IO[Any]], Any] | None = None
    default_deserializer_mode: FileMode = "binary"
    default_destructor: Callable[[Any], Any] | None = None
    optional: bool = False
    type_check: bool = False
    #: where the declaration stands, such as `Trainer.model`; for messages
    declared_as: str = field(default="", init=False, repr=False)

    if TYPE_CHECKING:
        # A parameter of type `type[T]` alone refuses abstract classes and protocols, the usual thing here;
        # the second form is for what is no class at all. Parameters and fields must stay equal.
        @overload
        def __init__(
            self,
            cls: type[T] | Callable[..., T],
            default_impl: Any = None,
            default_constructor: Callable[..., Any] | None = None,
            default_construct_strategy: ConstructStrategy = ...,
            default_constructor_args: Mapping[str, Any] | None = None,
            default_initializer: Callable[[Any], Any] | None = None,
            default_initialize_strategy: InitializeStrategy = ...,
            default_serializer: Callable[[Any, IO[Any]], Any] | None = None,
            default_serializer_mode: FileMode = "binary",
            default_deserializer: Callable[[IO[Any]], Any] | None = None,
            default_deserializer_mode: FileMode = "binary",
            default_destructor: Callable[[Any], Any] | None = None,
            optional: bool = False,
            type_check: bool = False,
        ) -> None: ...
        @overload
        def __init__(
            self: Element[Any],
            cls: Any,
            default_impl: Any = None,
            default_constructor: Callable[..., Any] | None = None,
            default_construct_strategy: ConstructStrategy = ...,
            default_constructor_args: Mapping[str, Any] | None = None,
            default_initializer: Callable[[Any], Any] | None = None,
            default_initialize_strategy: InitializeStrategy = ...,
            default_serializer: Callable[[Any, IO[Any]], Any] | None = None,
            default_serializer_mode: FileMode = "binary",
            default_deserializer: Callable[[IO[Any]], Any] | None = None,
            default_deserializer_mode: FileMode = "binary",
            default_destructor: Callable[[Any], Any] | None = None,
            optional: bool = False,
            type_check: bool = False,
        ) -> None: ...
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        for name, kind in (
            ("default_construct_strategy", ConstructStrategy),
            ("default_initialize_strategy", InitializeStrategy),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"{name} is {getattr(self, name)!r}; it is one of "
                    f"{', '.join(f'{kind.__name__}.{each}' for each in kind.__members__)}"
                )

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "declared_as", f"{owner.__qualname__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        """The workload object. Arguments go to its constructor, if this call constructs one."""
        self._refuse()

    @property
    def implemented(self) -> bool:
        """Whether a call can give an object."""
        return False

    @property
    def serializable(self) -> bool:
        """Whether the element has a serializer."""
        self._refuse()

    @property
    def deserializable(self) -> bool:
        """Whether the element has a deserializer."""
        self._refuse()

    def construct(self, *args: Any, **kwargs: Any) -> T:
        """Replace the object by a newly constructed one."""
        self._refuse()

    def reset(self) -> None:
        """Destruct the object and forget it."""
        self._refuse()

    def serialize(self, file: IO[Any] | None = None) -> None:
        """Write the object to `file`, or to the configured destination."""
        self._refuse()

    def deserialize(self, file: IO[Any] | None = None) -> T:
        """Replace the object by one read from `file`, or from the configured source."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        what = f"element {self.declared_as}" if self.declared_as else "this element"
        raise RuntimeError(
            f"{what} of type {type_name(self.cls)} is not implemented: name a class, a constructor or "
            "an object for it under 'impl' of the role's configuration, or give the declaration a default"
        )


class Factory(Element[T]):
    """An `Element` each of whose calls gives a new object, unless its configuration says otherwise."""

    default_construct_strategy: ConstructStrategy = ConstructStrategy.EVERY_CALL


# Not as a decorator: a type checker would put an __init__ that infers nothing in place of the overloads.
dataclass(frozen=True, eq=False)(Factory)


@dataclass(frozen=True)
class ElementImplementation:
    """Where one role instance gets the object of one element from. Everything unset is as declared.

    Attributes:
        cls: a narrower type than the declared one, also the constructor if none is given. `object`, `Any` and
            None mean that it is not narrowed.
        impl: the object itself.
        constructor_args: keyword arguments. If empty, the declared ones are used; the two are never merged.
        serializer_destination: where the object is written to when the role terminates. Relative paths start
            at the actor's working directory.
        deserializer_source: where the object is read from when the element is implemented.
    """

    cls: Any = object
    impl: Any = None
    constructor: Callable[..., Any] | None = None
    construct_strategy: ConstructStrategy | None = None
    constructor_args: Mapping[str, Any] = field(default_factory=dict)
    initializer: Callable[[Any], Any] | None = None
    initialize_strategy: InitializeStrategy | None = None
    serializer: Callable[[Any, IO[Any]], Any] | None = None
    serializer_destination: str | PathLike[str] | None = None
    serializer_mode: FileMode | None = None
    deserializer: Callable[[IO[Any]], Any] | None = None
    deserializer_source: str | PathLike[str] | None = None
    deserializer_mode: FileMode | None = None
    destructor: Callable[[Any], Any] | None = None

    @property
    def narrowed(self) -> bool:
        """Whether `cls` says more than the declaration."""
        return self.cls is not object and self.cls is not Any and self.cls is not None

"""What a role finds under the attribute of an implemented element, and the elements of one actor."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from roleml.core.role.elements import (
    ConstructStrategy,
    Element,
    ElementImplementation,
    FileMode,
    InitializeStrategy,
)
from roleml.core.role.naming import to_standardized_name
from roleml.core.role.types import Stateful
from roleml.shared.errors import noted
from roleml.shared.suggestions import did_you_mean
from roleml.shared.turns import Turns
from roleml.shared.types import is_instance, is_subclass, type_name

if TYPE_CHECKING:
    from roleml.core.role.base import Role

__all__ = ["ElementInstance", "Elements"]

T = TypeVar("T")

logger = logging.getLogger("roleml.managers.element")


class _Cached(NamedTuple):
    object: Any
    initialised: bool


class ElementInstance(Generic[T]):
    """One element of one role instance: call it to get the object.

    Threads may call at the same time. Under `ONCE` and `ONCE_EAGER` they get one object, constructed and
    initialised by one of them while the others wait; under `EVERY_CALL` each gets its own.

    Raises:
        RuntimeError: neither the implementation nor the declaration provides an object.
        TypeError: the declaration asks for a type check, and the implementation's class or object fails it.
    """

    def __init__(
        self,
        role_name: str,
        element_name: str,
        element: Element[T],
        impl: ElementImplementation,
        *,
        workdir: str | PathLike[str] | None = None,
    ) -> None:
        self.name = f"{role_name}.{element_name}"
        self._type = element.cls
        self._narrowed_type = impl.cls if impl.narrowed else element.cls
        self._type_check = element.type_check
        self._constructor = _first(
            impl.constructor, impl.cls if impl.narrowed else element.default_constructor
        )
        self._arguments = dict(impl.constructor_args or element.default_constructor_args or {})
        self._construct_strategy = impl.construct_strategy or element.default_construct_strategy
        self._initializer = _first(impl.initializer, element.default_initializer)
        self._initialize_strategy = impl.initialize_strategy or element.default_initialize_strategy
        self._serializer = _first(impl.serializer, element.default_serializer)
        self._serializer_mode: FileMode = impl.serializer_mode or element.default_serializer_mode
        self._destination = _path(impl.serializer_destination, workdir)
        self._deserializer = _first(impl.deserializer, element.default_deserializer)
        self._deserializer_mode: FileMode = impl.deserializer_mode or element.default_deserializer_mode
        self._source = _path(impl.deserializer_source, workdir)
        self._destructor = _first(impl.destructor, element.default_destructor)

        self._lock = threading.Lock()
        self._turns = Turns(f"constructing element {self.name}")
        self._cached: _Cached | None = None

        self._check_narrowing()
        if impl.impl is not None:
            self._put(self._checked(impl.impl, "the object given as 'impl'"))
        elif self._reads_at_start or self._constructor is not None:
            pass  # see provide()
        elif element.default_impl is not None:
            self._put(self._checked(element.default_impl, "the default object"))
        else:
            raise RuntimeError(
                f"no provider for element {self.name} of type {type_name(element.cls)}: neither its "
                "implementation nor its declaration has an object, a source to read it from, a class, or a "
                "constructor"
            )

    def provide(self) -> None:
        """Obtain the object that must exist before the role starts: read from a file, or constructed eagerly.

        Raises: whatever opening the file, the deserializer or the constructor raises.
        """
        if self._cached is not None:
            return
        if self._reads_at_start:
            self.deserialize()
        elif self._construct_strategy is ConstructStrategy.ONCE_EAGER:
            with self._turns.take():
                self._put(self._make((), {}))

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        """The object. Arguments, if any, stand for all configured ones should this call construct it.

        Raises:
            RuntimeError: there is no object, and no constructor to make one.
        """
        if self._construct_strategy is ConstructStrategy.EVERY_CALL:
            return self._construct_another(args, kwargs)
        cached, constructed, initialised = self._cached, False, False
        if cached is None or not cached.initialised:
            with self._turns.take():
                cached = self._cached
                if cached is None:
                    cached, constructed = self._put(self._make(args, kwargs)), True
                if not cached.initialised:
                    cached, initialised = self._initialise(cached), True
        if (args or kwargs) and not constructed:
            logger.warning("element %s: arguments ignored, its object exists already", self.name)
        if self._initialize_strategy is InitializeStrategy.EVERY_CALL and not initialised:
            self._run_initializer(cached.object)
        found: T = cached.object
        return found

    def construct(self, *args: Any, **kwargs: Any) -> T:
        """Destruct the object, if there is one, and return a new one, initialised."""
        if self._construct_strategy is ConstructStrategy.EVERY_CALL:
            return self._construct_another(args, kwargs)
        with self._turns.take():
            self._require_constructor()
            self._drop()
            made: T = self._initialise(self._put(self._make(args, kwargs))).object
            return made

    def reset(self) -> None:
        """Destruct the object, if there is one, and forget it."""
        with self._turns.take():
            self._drop()

    @property
    def implemented(self) -> bool:
        """Whether there is an object or a constructor. (The constructor may still fail.)"""
        return self._cached is not None or self._constructor is not None

    @property
    def serializable(self) -> bool:
        """Whether there is a serializer."""
        return self._serializer is not None

    @property
    def deserializable(self) -> bool:
        """Whether there is a deserializer."""
        return self._deserializer is not None

    @property
    def saves_at_end(self) -> bool:
        """Whether there is an object that is to be written to its destination when the role terminates."""
        return self._serializer is not None and self._destination is not None and self._cached is not None

    def serialize(self, file: IO[Any] | None = None) -> None:
        """Write the object to `file`, else to the configured destination, whose content is replaced.

        Raises:
            RuntimeError: no object, no serializer, or no place to write to.
        """
        cached = self._cached
        if self._serializer is None:
            raise RuntimeError(f"element {self.name} has no serializer")
        if cached is None:
            raise RuntimeError(f"element {self.name} has no object to serialize")
        if file is not None:
            self._serializer(cached.object, file)
        elif self._destination is None:
            raise RuntimeError(
                f"element {self.name}: no file given, and no serializer_destination configured"
            )
        else:
            with _open(self._destination, "w", self._serializer_mode) as opened:
                self._serializer(cached.object, opened)

    def deserialize(self, file: IO[Any] | None = None) -> T:
        """Replace the object by one read from `file`, else from the configured source, and return it.

        It counts as initialised. The destructor does not run on the replaced object.

        Raises:
            RuntimeError: no deserializer, or nothing to read from.
        """
        if self._deserializer is None:
            raise RuntimeError(f"element {self.name} has no deserializer")
        with self._turns.take():
            if file is not None:
                found = self._deserializer(file)
            elif self._source is None:
                raise RuntimeError(
                    f"element {self.name}: no file given, and no deserializer_source configured"
                )
            else:
                with _open(self._source, "r", self._deserializer_mode) as opened:
                    found = self._deserializer(opened)
            if found is None:
                raise RuntimeError(
                    f"the deserializer of element {self.name} returned None instead of an object"
                )
            read: T = self._put(self._checked(found, "the deserialized object"), initialised=True).object
            return read

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it: the object as its serializer writes it, where there is also a
        deserializer, else the object's own state, if it is `Stateful`; and that of its constructor.
        """
        state: dict[str, Any] = {}
        cached = self._cached
        if cached is not None and self._construct_strategy is not ConstructStrategy.EVERY_CALL:
            if self._serializer is not None and self._deserializer is not None:
                file = io.BytesIO() if self._serializer_mode == "binary" else io.StringIO()
                self._serializer(cached.object, file)
                state["file"] = file.getvalue()
            elif isinstance(cached.object, Stateful):
                state["object"] = cached.object.state_dict()
        constructor = self._constructor
        if isinstance(constructor, Stateful) and not isinstance(constructor, type):
            state["constructor"] = constructor.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the object what it was. Raises `TypeError` where it cannot take a state any more, and whatever
        constructing the object, its deserializer or its own `load_state_dict` raises.
        """
        if "constructor" in state:
            _stateful(self._constructor, f"the constructor of element {self.name}").load_state_dict(
                state["constructor"]
            )
        if "file" in state:
            self.deserialize(_opened(state["file"], self._deserializer_mode))
        elif "object" in state:
            found = _stateful(self(), f"the object of element {self.name}")
            found.load_state_dict(state["object"])

    def __repr__(self) -> str:
        return f"<ElementInstance {self.name}: {type_name(self._narrowed_type)}>"

    @property
    def _reads_at_start(self) -> bool:
        return self._deserializer is not None and self._source is not None

    def _construct_another(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        """Construct without taking turns: calls that each get an own object need not wait for each other."""
        self._require_constructor()
        self._drop()
        made: T = self._make(args, kwargs)
        displaced = self._cached_before(made)
        if displaced is not None:  # another call's, put there since the drop
            self._destruct(displaced.object)
        self._run_initializer(made)
        return made

    def _cached_before(self, made: Any) -> _Cached | None:
        with self._lock:
            before, self._cached = self._cached, _Cached(made, initialised=True)
        return before

    def _require_constructor(self) -> None:
        if self._constructor is None:
            raise RuntimeError(
                f"element {self.name} cannot be constructed: it has neither a constructor nor a class"
            )

    def _make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._require_constructor()
        assert self._constructor is not None
        with noted(f"this constructed the element {self.name}"):
            if args or kwargs:
                made = self._constructor(*args, **kwargs)
            else:
                made = self._constructor(**self._arguments)
        if made is None:
            raise RuntimeError(f"the constructor of element {self.name} returned None instead of an object")
        return self._checked(made, "the constructed object")

    def _initialise(self, cached: _Cached) -> _Cached:
        self._run_initializer(cached.object)
        return self._put(cached.object, initialised=True)

    def _run_initializer(self, obj: Any) -> None:
        if self._initializer is not None:
            self._initializer(obj)

    def _put(self, obj: Any, *, initialised: bool = False) -> _Cached:
        cached = _Cached(obj, initialised)
        with self._lock:
            self._cached = cached
        return cached

    def _drop(self) -> None:
        with self._lock:
            cached, self._cached = self._cached, None
        if cached is not None:
            self._destruct(cached.object)

    def _destruct(self, obj: Any) -> None:
        if self._destructor is not None:
            self._destructor(obj)

    def _check_narrowing(self) -> None:
        if self._narrowed_type is self._type or is_subclass(self._narrowed_type, self._type) is not False:
            return
        message = (
            f"element {self.name}: {type_name(self._narrowed_type)} is no subclass of {type_name(self._type)}"
        )
        if self._type_check:
            raise TypeError(f"{message}, which the role declares")
        logger.debug("%s (not checked by the role)", message)

    def _checked(self, obj: Any, origin: str) -> Any:
        for expected in (self._narrowed_type, self._type):
            if not is_instance(obj, expected):
                message = (
                    f"element {self.name}: {origin} is a {type_name(type(obj))}, not a {type_name(expected)}"
                )
                if self._type_check:
                    raise TypeError(message)
                logger.debug("%s (not checked by the role)", message)
                break
        return obj


class Elements:
    """The elements of the roles of one actor.

    Relative paths of serializers and deserializers start at `workdir`.
    """

    def __init__(self, workdir: str | PathLike[str] | None = None) -> None:
        self._workdir = workdir
        self._lock = threading.Lock()
        self._roles: dict[str, Role] = {}
        self._instances: dict[str, dict[str, ElementInstance[Any]]] = {}

    def add_role(self, name: str, role: Role) -> None:
        """From now on the elements of `role` can be implemented."""
        with self._lock:
            self._roles[name] = role
            self._instances[name] = {}

    def implement(self, name: str, element_name: str, impl: ElementImplementation) -> ElementInstance[Any]:
        """Give the role `name` an implementation of one of its elements; its attribute is that from now on.

        Raises:
            RuntimeError: no such role or element, it is implemented already, or nothing provides its object.
            TypeError: the declaration asks for a type check, and it failed.
            Exception: what reading or eagerly constructing the object raised; it is not implemented then.
        """
        element_name = to_standardized_name(element_name)
        with self._lock:
            role = self._roles.get(name)
            known = list(self._roles)
        if role is None:
            raise RuntimeError(
                f"cannot implement {name}.{element_name}: no role {name!r} here{did_you_mean(name, known)}"
            )
        attribute_name = type(role).elements.get(element_name)
        if attribute_name is None:
            raise RuntimeError(
                f"cannot implement {name}.{element_name}: role class {type(role).__qualname__} has no such "
                f"element{did_you_mean(element_name, type(role).elements)}"
            )
        declaration: Element[Any] = getattr(type(role), attribute_name)
        instance = ElementInstance(name, element_name, declaration, impl, workdir=self._workdir)
        with self._lock:
            if self._instances[name].setdefault(element_name, instance) is not instance:
                raise RuntimeError(f"element {name}.{element_name} is implemented already")
        try:
            instance.provide()
        except BaseException:
            with self._lock:
                self._instances[name].pop(element_name, None)
            raise
        setattr(role, attribute_name, instance)
        return instance

    def apply_defaults(self, name: str) -> None:
        """Implement what the role `name` still lacks by the declarations alone.

        What that cannot provide stays unimplemented, with a warning unless the element is optional.
        """
        with self._lock:
            role, done = self._roles[name], set(self._instances[name])
        for element_name, attribute_name in type(role).elements.items():
            if element_name in done:
                continue
            declaration: Element[Any] = getattr(type(role), attribute_name)
            try:
                self.implement(name, element_name, ElementImplementation())
            except Exception as error:  # noqa: BLE001  # a role starts without the elements it may not need
                level = logging.DEBUG if declaration.optional else logging.WARNING
                logger.log(level, "element %s.%s is not implemented: %s", name, element_name, error)
            else:
                logger.info("element %s.%s is implemented by its default", name, element_name)

    def find(self, name: str, element_name: str) -> ElementInstance[Any] | None:
        """That element of the role `name`, if it is implemented."""
        with self._lock:
            return self._instances.get(name, {}).get(element_name)

    def states(self, name: str) -> dict[str, dict[str, Any]]:
        """What a checkpoint holds of the elements of the role `name`."""
        with self._lock:
            instances = dict(self._instances.get(name, {}))
        states = {element_name: instance.state_dict() for element_name, instance in instances.items()}
        return {element_name: state for element_name, state in states.items() if state}

    def finalize(self, name: str) -> None:
        """Forget the role `name`, after writing its elements to their destinations and destructing them.

        What fails is logged, and the others are finalized all the same.
        """
        with self._lock:
            self._roles.pop(name, None)
            instances = self._instances.pop(name, {})
        for instance in instances.values():
            if instance.saves_at_end:
                self._attempt("serialized", instance, instance.serialize)
            self._attempt("destructed", instance, instance.reset)

    @staticmethod
    def _attempt(what: str, instance: ElementInstance[Any], action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # the other elements must be finalized too
            logger.exception("element %s could not be %s", instance.name, what)


def _first(value: T | None, default: T | None) -> T | None:
    # not `or`: a callable object may be false
    return default if value is None else value


def _stateful(obj: Any, what: str) -> Stateful:
    if not isinstance(obj, Stateful):
        raise TypeError(
            f"{what} has no state_dict and load_state_dict any more: it is a {type_name(type(obj))}"
        )
    return obj


def _path(path: str | PathLike[str] | None, workdir: str | PathLike[str] | None) -> Path | None:
    if not path:
        return None
    return Path(path) if workdir is None else Path(workdir) / path


def _opened(content: str | bytes, mode: FileMode) -> IO[Any]:
    """What a serializer wrote, for a deserializer that may read in the other mode, as it may a file."""
    if mode == "text":
        return io.StringIO(content if isinstance(content, str) else content.decode("utf-8"))
    return io.BytesIO(content if isinstance(content, bytes) else content.encode("utf-8"))


def _open(path: Path, direction: str, mode: FileMode) -> IO[Any]:
    if mode == "text":
        return path.open(direction, encoding="utf-8")
    return path.open(direction + "b")

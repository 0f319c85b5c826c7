"""From a configuration to an actor."""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.actor.checkpoints import CheckpointError
from roleml.core.builders.components import Component, find_component, group_mode, messaging_is_disabled
from roleml.core.builders.errors import ConfigError, Problems, outline, placed, require_mapping
from roleml.core.builders.role import RoleBuilder, install_role
from roleml.core.builders.schema import Record
from roleml.core.builders.spec import ACTOR, ActorBootstrapSpec, RoleDescriptor, snapshot
from roleml.core.context import ActorProfile, Context, RoleInstanceID, check_name
from roleml.core.logs import LogConsoleType, configure_logging
from roleml.messaging.exceptions import MsgConnectionError
from roleml.messaging.transport import check_url

if TYPE_CHECKING:
    from roleml.shared.yml import KeyPath, Marks

__all__ = ["Actor", "ActorBootstrapSpec", "ActorBuilder", "BaseActorBuilder", "LogConsoleType"]

ActorType = TypeVar("ActorType", bound=BaseActor)
Builder = TypeVar("Builder", bound="BaseActorBuilder[Any]")

_MESSAGING_KEYS = ("procedure_invoker", "procedure_provider", "messaging_component")


class BaseActorBuilder(ABC, Generic[ActorType]):
    """Builds one actor from `load_config`, or from attributes set directly, or from both in this order.

    A subclass for another kind of actor overrides `_create_actor`, and where it needs more, the other hooks;
    keys of its own are added to `spec`.
    """

    #: the keys that a configuration may have
    spec: ClassVar[Record] = ACTOR

    def __init__(self) -> None:
        self.profile: ActorProfile | None = None
        self.broker = "embedded://"
        self.allow_pickle: bool | None = None
        self.pickle_key_file: str | os.PathLike[str] | None = None
        self.roles: dict[str, RoleBuilder] = {}
        self.relationships: dict[str, Sequence[RoleInstanceID | str]] = {}
        self.relationship_links: dict[str, str] = {}
        self.contacts: dict[str, str] = {}
        self.handshakes: list[str] = []
        self.handwaves: list[str] = []
        self.element_preset: dict[Any, Mapping[str, Any]] = {}
        self.procedure_invoker: Any = None
        self.procedure_provider: Any = None
        self.messaging_component: Any = None
        self.collective_implementor: Any = None
        self.workdir: str | os.PathLike[str] = "."
        self.src: str | os.PathLike[str] | None = None
        self.log_file_path: str | None = None
        self.log_file_level: str | int = "INFO"
        self.log_console_type: str = "single"
        self.log_console_level: str | int = "INFO"
        self.log_format: str = "text"
        self.log_remote = True
        self.tracing = False
        self.checkpoint: str | os.PathLike[str] | None = None
        self.resume = False
        self.debug = False
        self.seed = -1
        #: the parts built so far: ctx, broker, collective, actor
        self.artifacts = SimpleNamespace()
        self._marks: Marks | None = None
        self._loaded = False

    @classmethod
    def from_file(cls: type[Builder], path: str | os.PathLike[str]) -> Builder:
        """A builder with the configuration in a YAML or JSON file. Raises as `load_file`."""
        builder = cls()
        builder.load_file(path)
        return builder

    def load_file(self, path: str | os.PathLike[str]) -> None:
        """Read the configuration from a YAML or JSON file, whose lines then appear in error messages.

        Raises:
            YAMLError, FileNotFoundError: see `roleml.shared.yml.load_yaml`.
            TypeError: the file contains something else than a mapping.
            ConfigError, RuntimeError: see `load_config`.
        """
        from roleml.shared.yml import load_yaml_with_marks  # PyYAML is not needed without a file

        config, marks = load_yaml_with_marks(path)
        require_mapping(config, marks)
        self.load_config(config, marks)

    def load_config(self, config: ActorBootstrapSpec | Mapping[str, Any], marks: Marks | None = None) -> None:
        """Take over a configuration, once. Later changes of `config` have no effect.

        Raises:
            ConfigError: everything that is wrong with its form; a KeyError too if the name is missing, a
                TypeError too for unknown keys and values of another type. `build` checks what it names.
            RuntimeError: a configuration was loaded before.
        """
        if self._loaded:
            raise RuntimeError("this builder has a configuration already: use another builder")
        copy = snapshot(config)
        problems = Problems(marks)
        self.spec.check(copy, (), problems)
        problems.raise_if_any()
        self._marks = marks
        self._load_config({key: value for key, value in copy.items() if value is not None})
        self._loaded = True

    def build(self) -> ActorType:
        """Build the actor with its roles and their elements. No role is started.

        The process is prepared for it: see `Context.build`, and `configure_logging` for the log.

        Raises:
            ValueError: no profile.
            ConfigError: everything that is wrong with what the configuration names.
            Exception: what connecting to the broker, a handshake, the constructor of a role or implementing
                an element raises. Errors are logged, and nothing of the actor stays behind.
        """
        if self.profile is None:
            raise ValueError("the actor to build has no profile: load a configuration, or set 'profile'")
        ctx = self.artifacts.ctx = self._build_context(self.profile)
        logger = logging.getLogger("roleml.actor")
        with placed(("log_file_path",), self._marks):
            self._configure_logging(ctx)
        logger.info("working directory is %s, source directory is %s", ctx.workdir, ctx.src)
        try:
            self._resolve()
            self._build_messaging(ctx, logger)
            self._build_roles()
            actor = self.artifacts.actor = self._create_actor(ctx, self.handshakes)
            try:
                self._setup(actor)
            except BaseException:
                actor.stop()
                raise
        except (CheckpointError, ConfigError, MsgConnectionError) as error:  # the text says it all
            logger.error("actor %s cannot be built: %s", self.profile.name, error)
            raise
        except Exception as error:
            text = outline(error) if self.debug else f"{outline(error)}\n  debug: true shows the traceback"
            logger.error("actor %s cannot be built: %s", self.profile.name, text, exc_info=self.debug)
            raise
        return actor

    def check(self) -> None:
        """Import all that the configuration names and check it, without building anything.

        Raises:
            ConfigError: everything that is wrong.
        """
        source = os.path.abspath(self.workdir if self.src is None else self.src)
        added = source not in sys.path
        if added:
            sys.path.append(source)
        try:
            self._resolve()
        finally:
            if added:
                sys.path.remove(source)

    def broker_url(self) -> str:
        """The broker that the actor is going to use.

        `disabled://` where the configuration turns messaging off, else the one in the environment variable
        ROLEML_BROKER, else the configured one.
        """
        messaging, _ = self._find_components(Problems())
        if messaging_is_disabled(messaging):
            return "disabled://"
        return os.environ.get("ROLEML_BROKER") or self.broker

    # hooks, in the order in which they are called

    def _load_config(self, config: dict[str, Any]) -> None:
        """Set the attributes from a configuration of the right form, which belongs to this builder."""
        name = config["name"]
        self.profile = ActorProfile(name, config.get("address", ""))
        problems = Problems(self._marks)
        relationships = {
            relationship: self._parse_instances(relationship, instances, problems)
            for relationship, instances in config.get("relationships", {}).items()
        }
        problems.raise_if_any()
        self.relationships.update(relationships)
        for role_name, spec in config.get("roles", {}).items():
            self.roles[role_name] = self._create_role_builder(role_name, spec)
        for key in (
            *(
                "relationship_links",
                "contacts",
                "handshakes",
                "handwaves",
                "element_preset",
                "workdir",
                "src",
            ),
            *(
                "log_file_path",
                "log_file_level",
                "log_console_level",
                "log_remote",
                "tracing",
                "checkpoint",
                "resume",
                "debug",
                "seed",
                "broker",
                "allow_pickle",
                "pickle_key_file",
            ),
            *("collective_implementor", *_MESSAGING_KEYS),
        ):
            if key in config:
                setattr(self, key, config[key])
        self.log_console_type = config.get("log_console_type", self.log_console_type).lower()
        self.log_format = config.get("log_format", self.log_format).lower()

    def _create_role_builder(self, name: str, spec: RoleDescriptor) -> RoleBuilder:
        return RoleBuilder(name, spec, marks=self._marks, path=("roles", name))

    def _parse_instance_name(self, text: str, own_name: str) -> RoleInstanceID:
        """`actor/role`, or `/role` for a role of this actor. Raises ValueError for all else."""
        actor_name, slash, instance_name = text.partition("/")
        if not slash or not instance_name or "/" in instance_name:
            raise ValueError(f"{text!r} is not a role instance: it should read 'actor/role', or '/role'")
        if actor_name:
            check_name("actor", actor_name)
        return RoleInstanceID(actor_name or own_name, check_name("role", instance_name))

    def _build_messaging(self, ctx: Context, logger: logging.Logger) -> None:
        """Decide on the broker and on group calls (`artifacts.broker`, `artifacts.collective`)."""
        problems = Problems(self._marks)
        messaging, collective = self._find_components(problems)
        problems.raise_if_any()
        if messaging_is_disabled(messaging):
            logger.warning("network messaging is disabled: roles of other actors cannot be reached")
        self._check_broker(ctx.profile.name, problems)
        problems.raise_if_any()
        self.artifacts.broker = self.broker_url()
        self.artifacts.collective = group_mode(collective)

    def _build_roles(self) -> None:
        for builder in self.roles.values():
            builder.build()

    @abstractmethod
    def _create_actor(self, ctx: Context, handshakes: Sequence[str]) -> ActorType:
        """The actor itself, connected to `artifacts.broker`, without roles."""

    def _setup(self, actor: ActorType) -> None:
        """Add the roles and implement their elements."""
        for builder in self.roles.values():
            builder.install(actor)

    # the steps between

    def _find_components(self, problems: Problems) -> tuple[list[Component], Component | None]:
        """The messaging components, and that for group calls."""
        keys = ("messaging_component",) if self.messaging_component is not None else _MESSAGING_KEYS[:2]
        messaging = [find_component(getattr(self, key), key, problems) for key in keys]
        collective = find_component(self.collective_implementor, "collective_implementor", problems)
        return [component for component in messaging if component is not None], collective

    def _parse_instances(self, relationship: str, instances: Any, problems: Problems) -> list[RoleInstanceID]:
        if isinstance(instances, str | RoleInstanceID):
            entries: list[tuple[Any, KeyPath]] = [(instances, ("relationships", relationship))]
        else:
            entries = [(item, ("relationships", relationship, i)) for i, item in enumerate(instances)]
        parsed = [self._parse_instance(item, path, problems) for item, path in entries]
        return [instance for instance in parsed if instance is not None]

    def _parse_instance(
        self, item: RoleInstanceID | str, path: KeyPath, problems: Problems
    ) -> RoleInstanceID | None:
        assert self.profile is not None
        if isinstance(item, RoleInstanceID):
            return item
        try:
            return self._parse_instance_name(item, self.profile.name)
        except ValueError as error:
            problems.add(path, str(error), at_value=True)
            return None

    def _build_context(self, profile: ActorProfile) -> Context:
        problems = Problems()
        relationships = {
            name: self._parse_instances(name, instances, problems)
            for name, instances in self.relationships.items()
        }
        problems.raise_if_any()
        with (
            placed(("workdir",), self._marks, OSError),
            placed(("relationship_links",), self._marks, ValueError),
        ):
            return Context.build(
                profile,
                workdir=self.workdir,
                src=self.src,
                seed=self.seed,
                initial_relationships=relationships,
                initial_relationship_links=self.relationship_links,
                initial_contacts=[ActorProfile(name, address) for name, address in self.contacts.items()],
                initial_handwaves=self.handwaves,
            )

    def _configure_logging(self, ctx: Context) -> None:
        file = None
        if self.log_file_path:
            folder = Path(ctx.workdir) / ctx.apply_general_template(self.log_file_path)
            file = folder / f"{ctx.profile.name}-{ctx.start_time_formatted}.log"
        configure_logging(
            ctx.profile.name,
            console_type=self.log_console_type,
            console_level=self.log_console_level,
            file=file,
            file_level=self.log_file_level,
            debug=self.debug,
            log_format=self.log_format,
        )

    def _resolve(self) -> None:
        """Import everything that is named, so that all problems are shown at once."""
        problems = Problems(self._marks)
        for role_cls, preset in self.element_preset.items():
            RoleBuilder.add_preset(role_cls, preset, ("element_preset", role_cls), problems)
        for builder in self.roles.values():
            builder.resolve(problems)
        self._find_components(problems)
        self._check_broker("", problems)
        problems.raise_if_any()

    def _check_broker(self, name: str, problems: Problems) -> None:
        """Note mistakes in the URL of the broker; with the actor's name, also in files that it names."""
        url = self.broker_url()
        try:
            check_url(url, name)
        except ValueError as error:
            configured = url == self.broker
            text = str(error) if configured else f"{error} (given by the environment variable ROLEML_BROKER)"
            problems.add(("broker",), text, at_value=True, in_file=configured, cause=error)


class ActorBuilder(BaseActorBuilder[Actor]):
    """Builds the usual kind of actor, which others may manage through its native role."""

    def _create_actor(self, ctx: Context, handshakes: Sequence[str]) -> Actor:
        return Actor(
            ctx,
            broker=self.artifacts.broker,
            allow_pickle=self.allow_pickle,
            log_remote=self.log_remote,
            tracing=self.tracing,
            checkpoint=self.checkpoint,
            resume=self.resume,
            pickle_key_file=self.pickle_key_file,
            collective=self.artifacts.collective,
            handshakes=handshakes,
            install_role=install_role,
        )

    def _parse_instance_name(self, text: str, own_name: str) -> RoleInstanceID:
        """As in the base class; a bare `actor` is its native role."""
        if text and "/" not in text:
            return RoleInstanceID(check_name("actor", text), "actor")
        return super()._parse_instance_name(text, own_name)

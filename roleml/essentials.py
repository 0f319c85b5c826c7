"""Everything a role author or an application imports: ``import roleml.essentials as rml``."""

from __future__ import annotations

from roleml.core.actor.actor import Actor, BaseActor
from roleml.core.builders.actor import ActorBuilder
from roleml.core.builders.element import ParsedElementImplementationSpec
from roleml.core.builders.spec import (
    ActorBootstrapSpec,
    ElementImplementationSpec,
    LogConsoleType,
    RoleDescriptor,
    RoleSpec,
)
from roleml.core.context import RoleInstanceID, RoleInstanceIDTuple
from roleml.core.role.base import Role
from roleml.core.role.channels import Event, EventHandler, Service, Task, attribute
from roleml.core.role.elements import ConstructStrategy, Element, Factory, InitializeStrategy
from roleml.core.role.exceptions import (
    CallerError,
    ChannelNotFoundError,
    HandlerError,
    TaskResultTimeoutError,
)
from roleml.core.role.metrics import Metrics
from roleml.core.role.types import (
    Args,
    ErrorHandlingStrategy,
    EventSubscriptionMode,
    Message,
    MyArgs,
    MyPayloads,
    Payloads,
    PluginAttribute,
    TaskInvocation,
)
from roleml.messaging.codec import register_dataclass
from roleml.shared.interfaces import Runnable

__all__ = [
    "Actor",
    "ActorBootstrapSpec",
    "ActorBuilder",
    "Args",
    "BaseActor",
    "CallerError",
    "ChannelNotFoundError",
    "ConstructStrategy",
    "Element",
    "ElementImplementationSpec",
    "ErrorHandlingStrategy",
    "Event",
    "EventHandler",
    "EventSubscriptionMode",
    "Factory",
    "HandlerError",
    "InitializeStrategy",
    "LogConsoleType",
    "Message",
    "Metrics",
    "MyArgs",
    "MyPayloads",
    "ParsedElementImplementationSpec",
    "Payloads",
    "PluginAttribute",
    "Role",
    "RoleDescriptor",
    "RoleInstanceID",
    "RoleInstanceIDTuple",
    "RoleSpec",
    "Runnable",
    "Service",
    "Task",
    "TaskInvocation",
    "TaskResultTimeoutError",
    "attribute",
    "register_dataclass",
]

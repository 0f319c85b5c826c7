"""The public face: what `import roleml...` offers is written down, and true."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "roleml").rglob("*.py")
    if path.name != "__main__.py"
)

ROLE_TYPES = "Args Payloads MyArgs MyPayloads Message TaskInvocation EventSubscriptionMode PluginAttribute"

ESSENTIALS = f"""
    BaseActor ActorBuilder Actor ActorBootstrapSpec LogConsoleType ElementImplementationSpec
    ParsedElementImplementationSpec RoleDescriptor RoleSpec RoleInstanceID RoleInstanceIDTuple Role Service
    Task Event EventHandler attribute Element Factory ConstructStrategy InitializeStrategy {ROLE_TYPES}
    Runnable CallerError HandlerError ChannelNotFoundError TaskResultTimeoutError ErrorHandlingStrategy
    register_dataclass Metrics
"""

# What applications, configuration files and the tutorial import, by the path they import it from.
PUBLIC = {
    "roleml.essentials": ESSENTIALS,
    "roleml.kits.main": ESSENTIALS,
    "roleml.kits.interfaces": "Runnable Serializable Deserializable",
    "roleml.shared.interfaces": "Runnable Serializable Deserializable",
    "roleml.kits.workload": """
        TrainableModel TestableModel Dataset XYDataset SimpleDataset DatasetView DatasetPointView
        DatasetBatchView DatasetViewFactory
    """,
    "roleml.core.role.base": "Role",
    "roleml.core.role.channels": """
        Service Task Event EventHandler attribute HandlerDecorator ChannelType EventHandlerProperties
    """,
    "roleml.core.role.types": ROLE_TYPES,
    "roleml.core.role.elements": "Element Factory ElementImplementation ConstructStrategy InitializeStrategy",
    "roleml.core.role.exceptions": """
        RoleInteractionError HandlerError CallerError ChannelNotFoundError TaskResultTimeoutError
        NoSuchEventError InternalError NoSuchRoleError
    """,
    "roleml.core.role.helpers": "require_relationship",
    "roleml.core.role.naming": "to_standardized_name",
    "roleml.core.context": """
        RoleInstanceID RoleInstanceIDTuple ActorProfile ActorProfileSpec ActorNotFoundError Contacts
        Relationships Context parse_instances
    """,
    "roleml.core.messaging.types": "Args Payloads Tags MyArgs MyPayloads MessageHandler MessagePart",
}


def declared_all(module: str) -> list[str] | None:
    value = getattr(importlib.import_module(module), "__all__", None)
    return None if value is None else list(value)


def has_code(module: str) -> bool:
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in tree.body)


def is_public(module: str) -> bool:
    return not any(part.startswith("_") for part in module.split("."))


@pytest.mark.parametrize("module", [name for name in MODULES if is_public(name)])
def test_every_public_module_declares_its_face(module: str) -> None:
    names = declared_all(module)
    if names is None:
        assert not has_code(module), f"{module} defines classes or functions and has no __all__"
        return
    assert len(names) == len(set(names)), "a name is listed twice"
    missing = [name for name in names if not hasattr(importlib.import_module(module), name)]
    assert not missing, f"{module}.__all__ lists what is not there: {missing}"
    hidden = [name for name in names if name.startswith("_") and not name.startswith("__")]
    assert not hidden, f"{module}.__all__ lists private names: {hidden}"


@pytest.mark.parametrize("module", [name for name in MODULES if is_public(name)])
def test_what_a_module_defines_without_an_underscore_is_listed(module: str) -> None:
    names = declared_all(module)
    if names is None:
        return
    loaded = importlib.import_module(module)
    own = {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and isinstance(value, type)
        and value.__module__ == module
        and value.__qualname__ == name
    }
    assert own <= set(names), (
        f"public classes of {module} that __all__ does not list: {sorted(own - set(names))}"
    )


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_a_documented_import_path_offers_the_documented_names(module: str) -> None:
    loaded = importlib.import_module(module)
    missing = [name for name in PUBLIC[module].split() if not hasattr(loaded, name)]
    assert not missing, f"{module} lacks {missing}"


def test_the_essentials_are_exactly_the_documented_names() -> None:
    assert sorted(declared_all("roleml.essentials") or []) == sorted(ESSENTIALS.split())


def test_the_package_states_its_version_and_its_log_level() -> None:
    import logging

    import roleml

    assert isinstance(roleml.__version__, str)
    assert roleml.LOG_LEVEL_INTERNAL == 5
    assert logging.getLevelName(5) == "INTERNAL"

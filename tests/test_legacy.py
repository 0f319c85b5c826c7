"""The names of RoleML 0.3: every documented path can be imported, and is what it stands for today."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from roleml import legacy
from roleml.legacy import COMPONENTS, MOVED, LegacyComponent

# What documentation, published programs and configurations import, and where that lives today.
DOCUMENTED = [
    ("roleml.core.actor.base", "BaseActor", "roleml.core.actor.actor"),
    ("roleml.core.actor.default", "ActorBuilder", "roleml.core.builders.actor"),
    ("roleml.core.actor.default.bootstrap", "ActorBuilder", "roleml.core.builders.actor"),
    ("roleml.core.actor.default.native", "NativeRole", "roleml.core.actor.native"),
    ("roleml.core.actor.default.managers.task", "Promise", "roleml.core.actor.promise"),
    ("roleml.core.actor.manager.helpers", "parse_conditions", "roleml.core.actor.conditions"),
    ("roleml.core.actor.manager.helpers", "parse_condition", "roleml.core.actor.conditions"),
    ("roleml.core.actor.manager.helpers", "check_conditions", "roleml.core.actor.conditions"),
    ("roleml.core.messaging.types", "Tags", "roleml.core.role.types"),
    ("roleml.core.messaging.types", "MessageHandler", "roleml.core.role.types"),
    ("roleml.core.messaging.types", "MessagePart", "roleml.core.role.types"),
    ("roleml.core.messaging.exceptions", "MessagingError", "roleml.messaging.exceptions"),
    ("roleml.core.messaging.exceptions", "HandwaveError", "roleml.messaging.exceptions"),
    ("roleml.actor.group.helpers", "ErrorHandlingStrategy", "roleml.core.actor.group.helpers"),
    ("roleml.actor.group.makers", "Relationship", "roleml.core.actor.group.makers"),
]


@pytest.mark.parametrize(("old", "name", "home"), DOCUMENTED)
def test_a_documented_name_is_the_one_that_is_used_today(old: str, name: str, home: str) -> None:
    assert getattr(importlib.import_module(old), name) is getattr(importlib.import_module(home), name)


def test_the_default_package_offers_the_actor_and_its_builder() -> None:
    from roleml.core.actor import default  # type: ignore[attr-defined]
    from roleml.core.actor.actor import Actor
    from roleml.core.builders.actor import ActorBuilder

    assert default.Actor is Actor
    assert default.ActorBuilder is ActorBuilder


@pytest.mark.parametrize("old", sorted({*MOVED, *COMPONENTS}))
def test_every_path_of_the_tables_can_be_imported(old: str) -> None:
    module = importlib.import_module(old)
    assert module.__name__ == old
    for class_name, _, _ in COMPONENTS.get(old, ()):
        assert issubclass(getattr(module, class_name), LegacyComponent)


@pytest.mark.parametrize("home", sorted(set(MOVED.values()) - set(COMPONENTS)))
def test_every_home_is_a_real_module(home: str) -> None:
    assert importlib.import_module(home).__file__


def test_a_component_takes_any_arguments_and_says_what_it_was() -> None:
    from roleml.extensions.messaging.invokers.requests import RequestsProcedureInvoker

    component = RequestsProcedureInvoker("127.0.0.1", timeout=3)
    assert component.options == {"timeout": 3}
    assert component.kind == "invoker"
    assert component.legacy_name == "RequestsProcedureInvoker"
    assert component.mode is None


@pytest.mark.parametrize(
    ("path", "class_name", "mode"),
    [
        ("roleml.core.actor.group.impl.threaded", "ThreadedCollectiveImplementor", "parallel"),
        ("roleml.core.actor.group.impl.sequential", "SequentialCollectiveImplementor", "sequential"),
        ("roleml.core.actor.group.impl.null", "CollectiveImplementorDisabled", "disabled"),
        ("roleml.actor.group.impl.threaded", "ThreadedCollectiveImplementor", "parallel"),
        ("roleml.actor.group.impl.sequential", "SequentialCollectiveImplementor", "sequential"),
        ("roleml.actor.group.impl.null", "CollectiveImplementorDisabled", "disabled"),
    ],
)
def test_group_implementors_are_modes_under_both_of_their_paths(
    path: str, class_name: str, mode: str
) -> None:
    cls = getattr(importlib.import_module(path), class_name)
    assert (cls.kind, cls.mode) == ("collective", mode)


def test_a_path_that_never_was_is_not_found() -> None:
    for path in ("roleml.core.nothing", "roleml.actor.nothing", "roleml.extensions.messaging.comb.nothing"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(path)


def test_installing_again_changes_nothing() -> None:
    before = list(sys.meta_path)
    legacy.install()
    assert sys.meta_path == before


def test_the_names_are_there_in_a_fresh_process_and_cost_it_nothing_before() -> None:
    program = (
        "import sys, roleml\n"
        "assert not any('legacy_name' in vars(m) for m in list(sys.modules.values()) if m), 'eager'\n"
        "assert 'roleml.core.messaging' not in sys.modules\n"
        "from roleml.core.messaging.types import Tags\n"
        "from roleml.extensions.messaging.providers.flask import FlaskProcedureProvider\n"
        "print(FlaskProcedureProvider.kind)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("provider\n", "")

"""The arrows of docs/architecture.md: what may import what, and what a light import must not drag in."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module may import its own layer and the layers above it in this list.
LAYERS = ["shared", "messaging", "core", "library", "cli"]
CORE_LAYERS = ["context", "role", "actor", "builders"]

CORE_LAYER_OF_MODULE = {
    "context": "context",
    "status": "context",
    "executions": "context",
    "logs": "context",
    "role": "role",
    "actor": "actor",
    "builders": "builders",
}

# Facades and the table of legacy names look down on all but the command line; nothing below imports them.
FACADES = {"roleml.essentials": "library", "roleml.kits": "library", "roleml.legacy": "library"}

# beside the library, not above it
EQUAL_TO = {**FACADES, "roleml.extensions": "library", "roleml.simulation": "library"}

# package -> where it may be imported, as path prefixes below the root of the repository
HEAVY = {
    "torch": ("roleml/library/", "roleml/messaging/codec_torch.py"),
    "torchvision": ("roleml/library/",),
    "pika": ("roleml/messaging/rabbitmq/",),
    "sklearn": ("roleml/library/",),
    "matplotlib": ("roleml/cli/",),
    "rich": ("roleml/cli/",),
    "prometheus_client": ("roleml/cli/",),
    "opentelemetry": ("roleml/core/actor/tracing.py",),
    "mlflow": ("roleml/library/",),
    "tensorboardX": ("roleml/library/",),
    "cloudpickle": ("roleml/messaging/",),
    "numpy": ("roleml/library/", "roleml/messaging/codec", "roleml/cli/"),
}


# where the time of day is asked for, to write it down or to sign a pickle; nobody waits by it
TIME_OF_DAY = {
    "roleml/cli/observe/tail.py",
    "roleml/core/context.py",
    "roleml/core/role/metrics.py",
    "roleml/library/roles/recorder/recording.py",
    "roleml/messaging/signing.py",
    "roleml/scripts/runner/recipes/measurement/base.py",
}


def source_files() -> list[Path]:
    return sorted((ROOT / "roleml").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.If) -> bool:
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees; imports inside of functions count."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and is_type_checking(child):
            for other in child.orelse:
                yield other
                yield from runtime_nodes(other)
            continue
        yield child
        yield from runtime_nodes(child)


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of each import; `from a import b` counts as `a.b`."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package[: len(package) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def layer(module: str) -> int | None:
    """Position in LAYERS; None for the package itself, whose few constants everyone may read."""
    for package, equal_to in EQUAL_TO.items():
        if module == package or module.startswith(package + "."):
            return LAYERS.index(equal_to)
    parts = module.split(".")
    if len(parts) < 2 or parts[1] not in LAYERS:
        return None
    return LAYERS.index(parts[1])


def core_layer(module: str) -> int | None:
    parts = module.split(".")
    if parts[:2] != ["roleml", "core"] or len(parts) < 3:
        return None
    name = CORE_LAYER_OF_MODULE.get(parts[2])
    return None if name is None else CORE_LAYERS.index(name)


def is_facade(module: str) -> bool:
    return any(module == facade or module.startswith(facade + ".") for facade in FACADES)


def test_every_module_of_the_core_has_a_place_in_the_order() -> None:
    found = {path.stem if path.is_file() else path.name for path in (ROOT / "roleml" / "core").iterdir()}
    assert found - {"__init__", "__pycache__"} <= set(CORE_LAYER_OF_MODULE)


def test_arrows_between_packages_point_one_way() -> None:
    wrong = []
    for path in source_files():
        here = module_name(path)
        own = layer(here)
        for line, target in imported_modules(path):
            if not target.startswith("roleml."):
                continue
            theirs = layer(target)
            if own is not None and theirs is not None and theirs > own:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here} must not import {target}")
            if is_facade(target) and own is not None and own < LAYERS.index("cli") and not is_facade(here):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here} must import the home, not {target}")
    assert not wrong, "\n".join(wrong)


def test_arrows_inside_the_core_point_one_way() -> None:
    wrong = []
    for path in source_files():
        own = core_layer(module_name(path))
        for line, target in imported_modules(path):
            theirs = core_layer(target)
            if own is not None and theirs is not None and theirs > own:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {module_name(path)} must not import {target}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", sorted(HEAVY))
def test_a_heavy_package_is_imported_only_where_it_is_the_subject(package: str) -> None:
    wrong = []
    for path in source_files():
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(HEAVY[package]):
            continue
        for line, target in imported_modules(path):
            if target.split(".")[0] == package:
                wrong.append(f"{relative}:{line}")
    assert not wrong, "\n".join(wrong)


def test_nobody_waits_by_the_time_of_day() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in source_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "time.time_ns")
    }
    assert found == TIME_OF_DAY


@pytest.mark.parametrize("module", ["roleml.essentials", "roleml.kits.interfaces", "roleml.cli.main"])
def test_a_light_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({sorted(HEAVY)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []

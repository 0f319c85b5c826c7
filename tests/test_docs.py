"""The parts of the manual that the code writes, and the parts that can be run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import jsonschema
import pytest

import roleml.essentials as rml
from roleml.core.builders.spec import json_schema
from roleml.library.roles.conductor.types import validate_run_spec_template
from roleml.shared.yml import load_yaml
from tests.programs import Program

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def load_generator() -> object:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_up_to_date() -> None:
    for path, text in load_generator().files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make schema"


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_configurations_in_the_manual_are_valid(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(code_blocks(page, "yaml")):
        if "!include" in block:
            continue  # the files it includes are not there
        file = tmp_path / f"{number}.yaml"
        file.write_text(block, encoding="utf-8")
        content = load_yaml(str(file))
        if "profiles" in content:
            validate_run_spec_template(content)
        else:  # an actor, or some of its roles
            jsonschema.validate(
                content if "name" in content else {"name": "a", "roles": content}, json_schema()
            )


def test_the_broken_configuration_in_the_manual_is_refused_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = DOCS / "configuration.md"
    (broken,) = code_blocks(page, "yml")
    shown = code_blocks(page, "text")[-1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.yaml").write_text(broken, encoding="utf-8")
    with pytest.raises(ValueError) as raised:
        rml.ActorBuilder().load_file("server.yaml")
    assert str(raised.value).split() == shown.split()


def test_the_quickstart_does_what_it_says(tmp_path: Path) -> None:
    code = "\n".join(code_blocks(DOCS / "quickstart.md", "python"))
    (tmp_path / "quickstart.py").write_text(f"{code}\nthreading.Event().wait()\n", encoding="utf-8")
    with Program(tmp_path, "quickstart", PYTHONWARNINGS="error") as program:
        program.line_with("Hello Ada, I am house/greeter, and street/visitor asked me.")


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [*DOCS.glob("*.md"), ROOT / "README.md", *ROOT.glob("examples/*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_tests_that_the_manual_names_exist() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tests += (ROOT / "tests" / "messaging" / "transport_contract.py").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", (DOCS / "promises.md").read_text(encoding="utf-8"))
    missing = [name for name in named if f"def {name}(" not in tests]
    assert named
    assert not missing

"""The parts of the manual that the code writes, and the parts that can be run."""

from __future__ import annotations

import importlib.util
import random
import re
import shlex
import textwrap
from pathlib import Path

import jsonschema
import pytest

import roleml.essentials as rml
from roleml.cli.main import parser
from roleml.core.builders.spec import json_schema
from roleml.library.roles.conductor.types import validate_run_spec_template
from roleml.shared.yml import load_yaml
from roleml.simulation import Experiment
from roleml.simulation.devices import check_devices
from tests.programs import Program, run_program

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


#: Examples that are part of something: what stands around their code when it runs.
SURROUNDINGS = {
    ("README.md", 0): "Model = Dataset = object\n{code}",
    ("README.md", 1): """
        from roleml.core.actor.group.util.collections import TaskResultCollector
        from roleml.shared.collections.merger import ListValueMerger

        class Answering(rml.Role):
            @rml.Task(expand=True)
            def train(self, caller, num_epochs=1):
                return num_epochs

        def both(self):
            members = self.ctx.relationships.get_relationship("trainer")
            collector = TaskResultCollector(members, merger=ListValueMerger())
            {code}
            return collector.result()

        builder = rml.ActorBuilder()
        builder.load_config({{
            "name": "desk",
            "roles": {{"one": Answering, "two": Answering}},
            "relationships": {{"trainer": ["/one", "/two"]}},
        }})
        desk = builder.build()
        desk.start()
        assert both(desk.roles["one"]) == [2, 2]
        desk.stop()
    """,
}
#: What comes after the code of a page.
AFTERWARDS = {"quickstart.md": "threading.Event().wait()"}
#: Pages whose code does not end by itself, with what it says when it is through.
SAYS = {
    "quickstart.md": "Hello Ada, I am house/greeter, and street/visitor asked me.",
    "configuration.md": "role instance (coordinator) is READY",
}
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
WITH_CODE = [page for page in PAGES if code_blocks(page, "python")]


def program_of(page: Path) -> str:
    """All Python of a page, one after the other."""
    parts = []
    for number, code in enumerate(code_blocks(page, "python")):
        around = textwrap.dedent(SURROUNDINGS.get((page.name, number), "{code}"))
        (indent,) = re.findall(r"^( *)\{code\}", around, re.MULTILINE)
        parts.append(around.format(code=textwrap.indent(code, indent).lstrip(" ")))
    program = "\n".join([*parts, AFTERWARDS.get(page.name, "")])
    return program.replace("amqp://user:password@host/app", "embedded://manual")  # the reader's broker


@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fedavg"  # where pages think that they are, with the examples beside them
    folder.mkdir()
    for each in (ROOT / "examples" / "fedavg").iterdir():
        (folder / each.name).symlink_to(each)
    (folder / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "digits.yaml").symlink_to(ROOT / "examples" / "digits.yaml")
    if page.name == "configuration.md":
        (folder / "server.yaml").unlink()
        (folder / "server.yaml").write_text(code_blocks(page, "yaml")[0], encoding="utf-8")
    (folder / "page.py").write_text(program_of(page), encoding="utf-8")
    with Program(folder, "page", PYTHONWARNINGS="error") as program:
        if page.name in SAYS:
            program.line_with(SAYS[page.name])
        else:
            assert program.end() == 0, program.text


def commands_of(page: Path) -> list[list[str]]:
    """The words of each command that a page shows, without where its output goes."""
    lines = [line for block in code_blocks(page, "console") for line in block.splitlines()]
    shown = [line[2:] for line in lines if line.startswith("$ ")]
    shown += [line for block in code_blocks(page, "bash") for line in block.splitlines() if line]
    plain = [re.sub(r'eval "\$\((.*)\)"', r"\1", line) for line in shown]
    parts = [part for line in plain for part in line.split(" && ")]
    return [shlex.split(re.sub(r" [<>] .*", "", part), comments=True) for part in parts]


def test_every_command_in_the_manual_could_be_given() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    extras = tomllib_extras()
    seen = 0
    for page in PAGES:
        for words in commands_of(page):
            program, *arguments = words
            if program.endswith("roleml"):
                parser().parse_args(arguments)  # ends the test with what is wrong
                seen += 1
            elif program == "make":
                assert arguments[0] in targets, f"{page.name}: make {arguments[0]}"
            elif program == "pip":
                for extra in re.findall(r"\[(\w+)\]", " ".join(arguments)):
                    assert extra in extras, f"{page.name}: there is no extra {extra}"
            elif "/" in program:
                assert (ROOT / program).exists(), f"{page.name}: {program}"
    assert seen > 50


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(test_\w+)`", (DOCS / "security.md").read_text(encoding="utf-8"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert not set(named) - set(re.findall(r"def (test_\w+)", text))
    assert len(set(named)) > 40


def tomllib_extras() -> set[str]:
    """The extras of pyproject.toml; tomllib is not in Python 3.10."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = ", section, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_parts_of_configurations_in_the_manual_are_yaml(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(code_blocks(page, "yml")):
        file = tmp_path / f"{number}.yml"
        file.write_text(block, encoding="utf-8")
        content = load_yaml(str(file))
        assert isinstance(content, dict)
        if "experiment" in content:
            continue  # a run configuration: its keys are not those of an actor
        if "profiles" in content:
            assert not Experiment.load(file).conducted  # a list of actors
            continue
        known = set(json_schema()["properties"])
        of_devices = all(isinstance(value, dict) for value in content.values())
        if of_devices:
            check_devices(content)
        elif page.name != "configuration.md":  # whose part is wrong on purpose, see below
            assert set(content) <= known


def test_every_language_of_a_block_is_one_that_is_tested() -> None:
    tested = {"python", "yaml", "yml", "console", "bash", "text", "ini", "{toctree}", "{eval-rst}"}
    for page in [*PAGES, *DOCS.glob("api/*.md"), *DOCS.glob("errors/*.md")]:
        languages = re.findall(r"^```([^\s`]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(languages) <= tested, page.name


@pytest.mark.parametrize("page", sorted(DOCS.glob("api/*.md")), ids=lambda page: page.stem)
def test_the_reference_is_of_modules_that_are_there(page: Path) -> None:
    modules = re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert modules
    for module in modules:
        assert importlib.import_module(module).__doc__, f"{module} says nothing of itself"
        assert importlib.import_module(module).__all__


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = {
        f"{line.strip()}.md"
        for page in PAGES
        for block in code_blocks(page, "{toctree}")
        for line in block.splitlines()
    }
    pages = {path.relative_to(DOCS).as_posix() for path in [*DOCS.glob("*.md"), *DOCS.glob("api/*.md")]}
    assert pages - {"index.md"} == {page for page in listed if (DOCS / page).exists()}


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


@pytest.mark.timeout(60)
def test_the_peers_of_the_guide_to_architectures_run_and_are_tested_as_it_says(tmp_path: Path) -> None:
    page = DOCS / "howto-architecture.md"
    python, (config,) = code_blocks(page, "python"), code_blocks(page, "yml")
    (peers,) = [block for block in python if "class Peer(" in block]
    (test,) = [block for block in python if "def test_" in block]
    (tmp_path / "my_peers.py").write_text(peers, encoding="utf-8")
    (tmp_path / "peers.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "test_peers.py").write_text(test, encoding="utf-8")
    code, text = run_program(tmp_path, "pytest", "-q", "test_peers.py", "-p", "no:cacheprovider")
    assert code == 0, text


@pytest.mark.timeout(120)
def test_the_model_in_pytorch_on_a_file_of_ones_own_learns(tmp_path: Path) -> None:
    page = DOCS / "library.md"
    (module,) = code_blocks(page, "python")
    (config,) = [block for block in code_blocks(page, "yaml") if block.startswith("profiles:")]
    (tmp_path / "my_data.py").write_text(module, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    draw = random.Random(1)
    rows = [[draw.gauss(3 * (label == i), 0.5) for i in range(4)] + [label] for label in [0, 1, 2] * 100]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    command = shlex.split(code_blocks(page, "console")[-1].splitlines()[0].removeprefix("$ "), comments=True)
    code, said = run_program(tmp_path, *command)
    assert code == 0, said
    (accuracy,) = re.findall(r"accuracy (0\.\d+|1\.0+)", said)
    assert float(accuracy) > 0.95
    assert (tmp_path / "runs" / "1" / "report.html").exists()
    assert (tmp_path / "saved" / "server.checkpoint").exists()

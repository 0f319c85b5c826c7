"""Typed proxies: method calls that are calls of channels."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

import roleml.essentials as rml
from roleml.core.role.proxies import Payload
from tests.actors import Actors


class TrainerAPI(Protocol):
    def get_size(self, unit: str = "samples") -> str:
        """How much there is to train on."""

    def train(
        self, weights: Payload[list[float]], num_epochs: int = 1, **options: Any
    ) -> rml.TaskInvocation: ...


class Trainer(rml.Role):
    @rml.Service(expand=True)
    def get_size(self, caller: rml.RoleInstanceID, unit: str = "rows") -> str:
        return f"100 {unit}"

    @rml.Task()
    def train(self, caller: rml.RoleInstanceID, args: rml.Args, payloads: rml.Payloads) -> Any:
        return dict(args), dict(payloads)


class User(rml.Role):
    pass


@pytest.fixture
def trainer(actors: Actors) -> TrainerAPI:
    actors.start("client1", {"trainer": Trainer()})
    server = actors.start("server", {"user": User()}, relationships={"trainer": ["client1/trainer"]})
    proxy: TrainerAPI = server.roles["user"].proxy(TrainerAPI, "trainer")
    return proxy


def test_a_method_calls_the_service_of_its_name_with_what_was_given(trainer: TrainerAPI) -> None:
    assert trainer.get_size("batches") == "100 batches"
    assert trainer.get_size() == "100 rows"  # the default is the handler's own


def test_one_that_returns_an_invocation_is_a_task_and_large_parameters_are_payloads(
    trainer: TrainerAPI,
) -> None:
    task = trainer.train([0.5], 2, lr=0.1)
    assert task.result(5) == ({"num_epochs": 2, "lr": 0.1}, {"weights": [0.5]})


def test_what_the_interface_does_not_have_is_told_before_anything_is_sent(trainer: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'uint'"):
        trainer.get_size(uint="rows")
    with pytest.raises(AttributeError, match=r"TrainerAPI at trainer has no method 'get_siz'; did you mean"):
        trainer.get_siz()


def test_it_shows_itself_to_notebooks_and_editors(trainer: Any) -> None:
    assert dir(trainer) == ["get_size", "train"]
    assert "unit" in inspect.signature(trainer.get_size).parameters
    assert trainer.get_size.__doc__ == "How much there is to train on."


def test_an_interface_without_methods_is_refused() -> None:
    class Empty(Protocol):
        pass

    with pytest.raises(TypeError, match="an interface has a method for each channel"):
        User().proxy(Empty, "trainer")


def test_annotations_that_only_a_type_checker_can_read_are_told() -> None:
    class Unreadable(Protocol):
        def train(self, weights: NotImported) -> int: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="is read at run time"):
        User().proxy(Unreadable, "trainer")


def test_a_type_checker_reads_the_interface(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(
        "from typing import Protocol\n"
        "import roleml.essentials as rml\n"
        "class API(Protocol):\n"
        "    def get_size(self, unit: str = 'rows') -> str: ...\n"
        "class User(rml.Role):\n"
        "    def use(self) -> str:\n"
        "        good: str = self.proxy(API, 'trainer').get_size('rows')\n"
        "        self.proxy(API, 'trainer').get_size(7)\n"
        "        self.proxy(API, 'trainer').get_siz()\n"
        "        return good\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(file)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    wrong = [line.partition("error: ")[2] for line in done.stdout.splitlines() if ": error: " in line]
    assert len(wrong) == 2, done.stdout
    assert "incompatible type" in wrong[0]
    assert 'has no attribute "get_siz"' in wrong[1]

"""What an actor saves, and what one that resumes gets back."""

from __future__ import annotations

import io
import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from roleml.core.actor import once, randomness
from roleml.core.actor.checkpoints import CheckpointError, Checkpoints
from roleml.core.actor.elements import Elements
from roleml.core.actor.once import TaskName
from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import Service, Task
from roleml.core.role.elements import Element, ElementImplementation, Factory
from roleml.core.role.exceptions import HandlerError
from roleml.core.role.types import Stateful
from roleml.core.status import StatusTransferCallbackError
from roleml.messaging.codec import Body, Codec
from tests.actors import DEADLINE_S, Actors, Gate, Probe, at, in_thread


class Tally:
    """An object with a state."""

    def __init__(self) -> None:
        self.n = 0

    def state_dict(self) -> dict[str, int]:
        return {"n": self.n}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        self.n = state_dict["n"]


class Counting(Role):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.count = 0
        self.ran: Counter[str] = Counter()
        self.gate = Gate()
        self.fails = False

    tally: Element[Any] = Element(Tally, default_constructor=Tally)

    def quiescent(self) -> AbstractContextManager[Any]:
        return self.lock

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "array": np.arange(3.0)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        assert state_dict["array"].tolist() == [0.0, 1.0, 2.0]
        self.count = state_dict["count"]

    def _up(self) -> int:
        with self.lock:
            self.count += 1
            self.tally().n += 10
            return self.count

    @Service(expand=True)
    def bump(self, _: RoleInstanceID) -> int:
        return self._up()

    @Service(expand=True, checkpoint=True)
    def bump_and_save(self, _: RoleInstanceID) -> int:
        return self._up()

    @Task(expand=True, checkpoint=True)
    def work(self, _: RoleInstanceID) -> int:
        self.ran["work"] += 1
        if self.fails:
            raise ValueError("not today")
        return self._up()

    @Task(expand=True)
    def wait(self, _: RoleInstanceID) -> int:
        self.ran["wait"] += 1
        self.gate.pass_through()
        return self._up()


class Silent(Role):
    """Has a state, and no channels."""

    def __init__(self, word: str = "") -> None:
        super().__init__()
        self.word = word

    def state_dict(self) -> str:
        return self.word

    def load_state_dict(self, state_dict: str) -> None:
        self.word = state_dict


@pytest.fixture
def probe(actors: Actors) -> Probe:
    probe = Probe()
    actors.start("P", {"probe": probe})
    return probe


def start(actors: Actors, folder: Path, role: Role | None = None, **more: Any) -> Any:
    """An actor ``A`` that goes on from what there is."""
    options = {"checkpoint": folder, "resume": True, **more}
    return actors.start("A", {"role": role or Counting()}, **options)


def content(folder: Path, actor: str = "A") -> Any:
    return Codec().decode(Body.from_frame((folder / f"{actor}.checkpoint").read_bytes()))


# what is saved, and when


def test_an_actor_goes_on_where_the_last_checkpoint_was_made(
    actors: Actors, probe: Probe, tmp_path: Path
) -> None:
    first = start(actors, tmp_path)
    assert probe.call(at("A/role"), "bump-and-save") == 1
    assert probe.call(at("A/role"), "bump") == 2  # nobody saved it
    first.stop()

    second = Counting()
    start(actors, tmp_path, second)
    assert (second.count, second.tally().n) == (1, 10)
    assert probe.call_task(at("A/role"), "work").result(DEADLINE_S) == 2
    assert content(tmp_path)["roles"]["role"]["state"]["count"] == 2


def test_without_a_folder_nothing_is_saved(actors: Actors, probe: Probe, tmp_path: Path) -> None:
    role = Counting()
    actors.start("A", {"role": role})
    assert probe.call(at("A/role"), "bump-and-save") == 1
    role.save_checkpoint()
    assert not role.keeps_checkpoints
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_one_role_keeps_what_was_saved_of_the_others(
    actors: Actors, probe: Probe, tmp_path: Path
) -> None:
    first = actors.make("A", {"role": Counting(), "silent": Silent("a")}, checkpoint=tmp_path)
    first.start()
    first.roles["role"].save_checkpoint()
    first.roles["silent"].word = "b"  # changed, and not saved
    probe.call(at("A/role"), "bump-and-save")
    assert content(tmp_path)["roles"]["silent"]["state"] == "a"
    first.stop()

    second = start(actors, tmp_path)  # the other role is deployed later
    probe.call(at("A/role"), "bump-and-save")
    late = Silent()
    second.add_role("silent", late)
    assert late.word == ""
    second.start_role("silent")
    assert late.word == "a"
    assert second.roles["role"].count == 2


def test_elements_are_saved_by_their_serialisers_else_by_themselves(actors: Actors, tmp_path: Path) -> None:
    def write(obj: Any, file: IO[str]) -> None:
        json.dump(obj, file)

    class Worker(Role):
        table: Element[Any] = Element(
            dict,
            default_constructor=dict,
            default_serializer=write,
            default_serializer_mode="text",
            default_deserializer=json.load,
            default_deserializer_mode="text",
        )
        blob: Element[Any] = Element(
            bytes,
            default_constructor=bytes,
            default_serializer=lambda obj, file: file.write(obj),
            default_deserializer=lambda file: file.read(),
        )
        merger: Factory[Any] = Factory(object)
        unused: Element[Any] = Element(Tally, default_constructor=Tally)
        plain: Element[Any] = Element(list, default_constructor=list)

    class Maker(Tally):
        def __call__(self) -> list[int]:
            self.n += 1
            return [self.n]

    def actor() -> Any:
        made = actors.make("A", {"role": Worker()}, checkpoint=tmp_path, resume=True)
        made.implement_element("role", "merger", ElementImplementation(constructor=Maker()))
        made.start()
        return made

    first = actor()
    role = first.roles["role"]
    role.table()["x"] = 1
    assert role.blob() == b""
    role.blob.deserialize(io.BytesIO(b"\0\1"))
    role.plain().append(1)
    assert [role.merger(), role.merger()] == [[1], [2]]
    role.save_checkpoint()
    first.stop()
    assert set(content(tmp_path)["roles"]["role"]["elements"]) == {"table", "blob", "merger"}

    role = actor().roles["role"]
    assert (role.table(), role.blob(), role.merger(), role.plain()) == ({"x": 1}, b"\0\1", [3], [])


def test_nothing_comes_between_a_handler_and_its_checkpoint(
    actors: Actors, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, gate = Counting(), Gate()
    start(actors, tmp_path, role)
    save = Checkpoints.save

    def slowly(self: Checkpoints, name: str | None = None) -> None:
        gate.pass_through()
        save(self, name)

    monkeypatch.setattr(Checkpoints, "save", slowly)
    saving = in_thread(probe.call, at("A/role"), "bump-and-save")
    gate.entered()
    other = in_thread(probe.call, at("A/role"), "bump")
    gate.open()
    assert saving.result(DEADLINE_S) == 1
    assert other.result(DEADLINE_S) == 2
    assert content(tmp_path)["roles"]["role"]["state"]["count"] == 1


def test_saving_all_roles_waits_for_a_handler_that_saves_its_own(
    actors: Actors, probe: Probe, tmp_path: Path
) -> None:
    class Held(Counting):
        @Task(expand=True, checkpoint=True)
        def hold(self, _: RoleInstanceID) -> int:
            self.gate.pass_through()
            return self._up()

    role = Held()
    actor = actors.start("A", {"role": role, "silent": Silent("a")}, checkpoint=tmp_path)
    task = probe.call_task(at("A/role"), "hold", key="a")
    role.gate.entered()
    saving = in_thread(actor.roles["silent"].save_checkpoint)
    role.gate.open()
    assert task.result(DEADLINE_S) == 1
    saving.result(DEADLINE_S)
    assert content(tmp_path)["roles"]["role"]["state"]["count"] == 1
    assert content(tmp_path)["roles"]["silent"]["state"] == "a"


def test_an_older_state_does_not_replace_a_newer_one(
    actors: Actors, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, gate, part = Counting(), Gate(), Checkpoints._part

    def slowly(self: Checkpoints, name: str) -> Any:
        taken = part(self, name)
        if name == "silent":
            gate.pass_through()
        return taken

    monkeypatch.setattr(Checkpoints, "_part", slowly)
    actor = actors.start("A", {"role": role, "silent": Silent("a")}, checkpoint=tmp_path)
    saving = in_thread(actor.roles["silent"].save_checkpoint)
    gate.entered()  # it has the older state of the other role already
    assert probe.call_task(at("A/role"), "work", key="a").result(DEADLINE_S) == 1
    gate.open()
    saving.result(DEADLINE_S)
    assert content(tmp_path)["roles"]["role"]["state"]["count"] == 1
    assert len(content(tmp_path)["roles"]["role"]["answers"]) == 1


def test_the_generators_of_the_process_go_on(actors: Actors, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = randomness.capture()
    try:
        first = start(actors, tmp_path, Silent())
        first.roles["role"].save_checkpoint()
        wanted = random.random(), np.random.random(), torch.rand(1).item()
        first.stop()
        start(actors, tmp_path, Silent())
        assert (random.random(), np.random.random(), torch.rand(1).item()) == wanted
    finally:
        randomness.restore(state)


def test_who_has_both_methods_is_stateful() -> None:
    assert isinstance(Counting(), Stateful)
    assert not isinstance(Probe(), Stateful)


# tasks that come again


def test_a_task_of_the_same_key_is_the_same_task(actors: Actors, probe: Probe, tmp_path: Path) -> None:
    first = Counting()
    actor = start(actors, tmp_path, first)
    call = lambda key: probe.call_task(at("A/role"), "work", key=key).result(DEADLINE_S)  # noqa: E731
    assert [call("a"), call("a"), call("b"), call("b")] == [1, 1, 2, 2]
    assert first.ran["work"] == 2
    actor.stop()

    second = Counting()
    start(actors, tmp_path, second)
    assert call("b") == 2
    assert second.ran["work"] == 0
    assert call("a") == 3  # only the last one is remembered
    assert call("") == 4
    assert call("") == 5


def test_a_task_that_runs_is_joined_without_checkpoints_too(actors: Actors, probe: Probe) -> None:
    role = Counting()
    actors.start("A", {"role": role})
    one = probe.call_task(at("A/role"), "wait", key="a")
    role.gate.entered()
    same = probe.call_task(at("A/role"), "wait", key="a")
    other = probe.call_task(at("A/role"), "wait", key="b")
    role.gate.entered()
    role.gate.open()
    assert one.result(DEADLINE_S) == same.result(DEADLINE_S)
    assert other.result(DEADLINE_S) != one.result(DEADLINE_S)
    assert role.ran["wait"] == 2
    assert probe.call_task(at("A/role"), "wait", key="a").result(DEADLINE_S) == 3


def test_a_task_that_failed_runs_again(actors: Actors, probe: Probe, tmp_path: Path) -> None:
    role = Counting()
    start(actors, tmp_path, role)
    role.fails = True
    with pytest.raises(HandlerError, match="not today"):
        probe.call_task(at("A/role"), "work", key="a").result(DEADLINE_S)
    role.fails = False
    assert probe.call_task(at("A/role"), "work", key="a").result(DEADLINE_S) == 1


def test_the_members_of_a_group_have_the_key_each(actors: Actors, probe: Probe, tmp_path: Path) -> None:
    roles = {name: Counting() for name in ("A", "B", "C")}
    for name, role in roles.items():
        actors.start(name, {"role": role}, checkpoint=tmp_path)
    group = [at(f"{name}/role") for name in roles]
    for _ in range(2):
        done: list[int] = []
        ended = threading.Semaphore(0)

        def take(_: RoleInstanceID, task: Any, done: list[int] = done, ended: Any = ended) -> None:
            done.append(task.result())
            ended.release()

        probe.call_task_group(group, "work", key="round 1", on_result=take)
        assert all(ended.acquire(timeout=DEADLINE_S) for _ in group)
        assert done == [1, 1, 1]
    assert [role.ran["work"] for role in roles.values()] == [1, 1, 1]


def test_a_key_that_is_too_long_is_refused_at_the_call(actors: Actors, probe: Probe) -> None:
    actors.start("A", {"role": Counting()})
    assert probe.call_task(at("A/role"), "work", key="k" * 200).result(DEADLINE_S) == 1
    with pytest.raises(ValueError, match="at most 200 bytes, not 202"):
        probe.call_task(at("A/role"), "work", key="é" * 101)
    with pytest.raises(ValueError, match="at most 200 bytes"):
        probe.call_task_group([at("A/role")], "work", key="k" * 201)


def test_an_answer_that_cannot_travel_is_not_kept(
    actors: Actors, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Local(Role):
        @Task(expand=True, checkpoint=True)
        def make(self, _: RoleInstanceID) -> object:
            return object()

    actor = actors.start("A", {"role": Local()}, checkpoint=tmp_path)
    call = lambda: actor.call_task("role", "role", "make", ({}, {}), "a").result(DEADLINE_S)  # noqa: E731
    assert call() is not call()
    assert "the answer of role.make cannot be kept" in caplog.text


def serve(checkpoints: Checkpoints, task_id: str, work: Any) -> Any:
    task = TaskName(("P", "probe"), "role", "work", task_id)
    return checkpoints.serve("role", work, save=True, task=task, task_id=task_id)


def checkpoints_of(folder: Path, role: Role) -> Checkpoints:
    return Checkpoints(folder, "A", {"role": role}, Elements(), resume=True)


def test_a_task_that_the_broker_delivers_again_is_answered_from_the_checkpoint(tmp_path: Path) -> None:
    assert serve(checkpoints_of(tmp_path, Silent()), "17", lambda: {"x": np.ones(2)})["x"].tolist() == [1, 1]
    again = serve(checkpoints_of(tmp_path, Silent()), "17", lambda: pytest.fail("it ran again"))
    assert again["x"].tolist() == [1, 1]


def test_the_answers_that_are_kept_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MOST_ANSWERS", 2)
    checkpoints = checkpoints_of(tmp_path, Silent())
    ran: list[str] = []
    for role in "abac":
        task = TaskName(("P", role), "role", "work", f"{role}{len(ran)}")
        checkpoints.serve("role", partial(ran.append, role), save=True, task=task)
    assert [place[0][1] for place in content(tmp_path)["roles"]["role"]["answers"]] == ["a", "c"]


def test_a_task_that_made_progress_is_forgiven_one_death(tmp_path: Path) -> None:
    first = checkpoints_of(tmp_path, Silent())
    assert first.survived == []
    seen = []

    def run() -> None:
        first.save()
        seen.append(checkpoints_of(tmp_path, Silent()).survived)

    serve(first, "17", run)
    assert seen == [[("P", "17")]]

    def die() -> None:
        first.save()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(first, "18", die)
    second = checkpoints_of(tmp_path, Silent())
    assert second.survived == [("P", "18")]
    second.start()
    assert checkpoints_of(tmp_path, Silent()).survived == []  # if it ends this process, too


# what goes wrong


def test_a_checkpoint_is_not_overwritten_by_an_actor_that_begins_anew(actors: Actors, tmp_path: Path) -> None:
    first = actors.start("A", {"role": Silent("a")}, checkpoint=tmp_path)
    first.roles["role"].save_checkpoint()
    first.stop()
    with pytest.raises(CheckpointError, match=r"A\.checkpoint: resume to go on from it \(--resume"):
        actors.make("A", checkpoint=tmp_path)
    actors.make("A", checkpoint=tmp_path / "elsewhere")


def test_resuming_needs_a_folder(actors: Actors) -> None:
    with pytest.raises(CheckpointError, match="name the folder"):
        actors.make("A", resume=True)


def test_what_is_no_checkpoint_of_this_actor_is_refused(actors: Actors, tmp_path: Path) -> None:
    first = actors.start("A", {"role": Silent("a")}, checkpoint=tmp_path)
    first.roles["role"].save_checkpoint()
    file = tmp_path / "A.checkpoint"
    (tmp_path / "B.checkpoint").write_bytes(file.read_bytes())
    (tmp_path / "C.checkpoint").write_bytes(file.read_bytes()[:-1])
    (tmp_path / "D.checkpoint").write_bytes(Codec().encode({"format": 99}).to_frame())
    (tmp_path / "E.checkpoint").mkdir()
    for name, text in (
        ("B", "is a checkpoint of actor A, not B"),
        ("C", "is no checkpoint: the frame"),
        ("D", "no checkpoint that this version"),
        ("E", "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=text):
            actors.make(name, checkpoint=tmp_path, resume=True)


def test_a_state_that_cannot_be_saved_fails_the_call_and_leaves_the_last_checkpoint(
    actors: Actors, probe: Probe, tmp_path: Path
) -> None:
    role = Counting()
    start(actors, tmp_path, role)
    assert probe.call_task(at("A/role"), "work", key="a").result(DEADLINE_S) == 1
    role.state_dict = lambda: {"count": object()}  # type: ignore[method-assign]
    with pytest.raises(HandlerError, match=r"state of actor A cannot be saved: .*count.*object"):
        probe.call(at("A/role"), "bump-and-save")
    with pytest.raises(HandlerError, match="cannot be saved"):
        probe.call_task(at("A/role"), "work", key="b").result(DEADLINE_S)
    assert content(tmp_path)["roles"]["role"]["state"]["count"] == 1
    del role.state_dict
    assert probe.call_task(at("A/role"), "work", key="a").result(DEADLINE_S) == 1
    assert probe.call_task(at("A/role"), "work", key="b").result(DEADLINE_S) == 4  # it was not done


def test_a_folder_that_cannot_be_written_to_is_named(actors: Actors, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    actor = actors.start("A", {"role": Silent("a")}, checkpoint=tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"checkpoint of actor A cannot be written: .*file"):
        actor.roles["role"].save_checkpoint()


@pytest.mark.parametrize(
    ("role", "text"),
    [(Probe(), "Probe has no state_dict"), (Silent(), r"element role\.tally, which is not implemented")],
)
def test_a_role_that_cannot_take_its_state_does_not_start(
    actors: Actors, probe: Probe, tmp_path: Path, role: Role, text: str
) -> None:
    first = start(actors, tmp_path, Silent("a") if isinstance(role, Probe) else Counting())
    if not isinstance(role, Probe):
        probe.call(at("A/role"), "bump")
    first.roles["role"].save_checkpoint()
    first.stop()
    actor = actors.make("A", {"role": role}, checkpoint=tmp_path, resume=True)
    with pytest.raises(StatusTransferCallbackError) as caught:
        actor.start()
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert caught.match("role")
    with pytest.raises(CheckpointError, match=text):
        raise caught.value.__cause__

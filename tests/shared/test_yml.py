from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from roleml.shared.yml import (
    BrokenFileError,
    Loader,
    Mark,
    ObjectFromYAML,
    YAMLError,
    load_yaml,
    load_yaml_with_marks,
    save_yaml,
)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files given as `name=text` (`__` in a name is a folder) and returns the path of the first."""

    def write_files(**files: str) -> Path:
        paths = []
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        return paths[0]

    return write_files


# -- plain files ------------------------------------------------


def test_ordinary_yaml_and_json_are_read(write: Write, tmp_path: Path) -> None:
    path = write(a="a: 1\nb: [x, 2.5, true, null]\nc: 2026-11-24\nd: &x {e: 1}\nf: {<<: *x, e: 2, g: 3}\n")
    assert load_yaml(path) == {
        "a": 1,
        "b": ["x", 2.5, True, None],
        "c": datetime.date(2026, 11, 24),
        "d": {"e": 1},
        "f": {"e": 2, "g": 3},
    }
    (tmp_path / "a.json").write_text(json.dumps({"a": [1, {"b": "ü\n"}]}, indent=2))
    assert ObjectFromYAML(str(tmp_path / "a.json")) == {"a": [1, {"b": "ü\n"}]}


def test_the_values_are_of_plain_types(write: Write) -> None:
    loaded = load_yaml(write(a="a: {b: [1]}\nc: !include b.yaml\n", b="d: [e]"))
    assert [type(loaded), type(loaded["a"]), type(loaded["a"]["b"]), type(loaded["c"])] == [
        dict,
        dict,
        list,
        dict,
    ]


def test_an_empty_file_is_none(write: Write) -> None:
    path = write(a="# nothing\n")
    assert load_yaml(path) is None
    assert load_yaml_with_marks(path)[1].value(("x",)) == Mark(str(path), 1, 1)


def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_yaml(tmp_path / "none.yaml")


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(value=plain_values)
@example(value={"a\x85b": "\x85"})
def test_what_was_saved_is_read_back(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("saved") / "a.yaml"
    save_yaml(path, value)
    assert load_yaml(path) == value


def test_saving_keeps_the_order_and_refuses_other_objects_without_touching_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    save_yaml(path, {"b": 1, "a": "ü"})
    assert path.read_text(encoding="utf-8") == "b: 1\na: ü\n"
    with pytest.raises(YAMLError):
        save_yaml(path, {"b": 1, "a": object()})
    assert load_yaml(path) == {"b": 1, "a": "ü"}


def test_numbers_are_those_of_yaml_1_2_and_json(write: Write, tmp_path: Path) -> None:
    text = "[1e-3, 1E5, -1.5e3, .5e+2, 1.e1, 1e-07, 0x1e3, 'e1', '1e5', e5, 1e, 1e5x]"
    expected = [0.001, 1e5, -1500.0, 50.0, 10.0, 1e-7, 0x1E3, "e1", "1e5", "e5", "1e", "1e5x"]
    assert load_yaml(write(a=text)) == expected
    save_yaml(tmp_path / "b.yaml", expected)
    assert load_yaml(tmp_path / "b.yaml") == expected


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_all_json_is_read(tmp_path: Path, indent: Any) -> None:
    value = {"a\tb": [1e-7, 1e22, -0.5, None, "\U0001f600\t\\", "1e5"], "c": {"d": {}, "e": []}}
    (tmp_path / "a.json").write_text(json.dumps(value, indent=indent))
    assert load_yaml(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    ("content", "place", "text"),
    [
        (b"a: 1\nb: caf\xe9\n", "2:7", "the byte 0xe9 is no UTF-8; save the file as UTF-8 text"),
        ("é: 1\nb: x\x07\n".encode(), "2:5", "the character U+0007 cannot stand here; remove it"),
        ("a: 1\n".encode("utf-16-le"), "1:2", "save the file as UTF-8 text"),
    ],
)
def test_what_is_no_text_is_told_with_its_place(
    tmp_path: Path, content: bytes, place: str, text: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(BrokenFileError) as info:
        load_yaml(path)
    assert str(info.value).startswith(f"{path}:{place}: ")
    assert text in str(info.value)


@pytest.mark.parametrize("merged", ["file.yaml", "[1]"])
def test_a_merge_of_something_else_says_what_can_be_merged(write: Write, merged: str) -> None:
    with pytest.raises(BrokenFileError, match=r"write '<<: \*anchor', or '<<: !include file.yaml'"):
        load_yaml(write(a=f"<<: {merged}\n"))


def test_a_repeated_key_is_reported(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write(a="a: 1\nb: 2\na: 3\n")
    assert load_yaml(path) == {"a": 3, "b": 2}
    assert f"{path}:3:1: 'a' is given again, the one at {path}:1:1 is ignored" in caplog.text


# -- includes ------------------------------------------------


def test_an_include_gives_the_document_of_the_file(write: Write) -> None:
    assert load_yaml(write(a="x: !include b.yaml\n", b="[1, 2]")) == {"x": [1, 2]}
    assert load_yaml(write(a="!include b.yaml", b="[1, 2]")) == [1, 2]
    assert load_yaml(write(a="- !include b.yaml\n- {y: !include b.yaml}\n", b="z: 1")) == [
        {"z": 1},
        {"y": {"z": 1}},
    ]


def test_an_include_gives_the_value_at_a_key_path(write: Write) -> None:
    path = write(a="x: !include b.yaml a.b.1\n", b="a: {b: [p, {q: r}]}\n")
    assert load_yaml(path) == {"x": {"q": "r"}}


def test_a_key_path_may_lead_through_merged_entries(write: Write) -> None:
    path = write(
        a="x: !include b.yaml a.k\ny: !include b.yaml c.k\n",
        b="base: &b {k: 1}\na: {<<: *b}\nc: {<<: !include d.yaml}\n",
        d="k: 2",
    )
    assert load_yaml(path) == {"x": 1, "y": 2}


def test_paths_start_at_the_including_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        a="x: !include sub/b.yaml\n", sub__b="y: !include c.yaml\n", sub__c="z: !include ../d.yaml\n", d="1"
    )
    assert load_yaml(path) == {"x": {"y": {"z": 1}}}
    monkeypatch.chdir(path.parent / "sub")
    assert load_yaml("../a.yaml") == {"x": {"y": {"z": 1}}}


def test_absolute_paths_are_accepted(write: Write) -> None:
    other = write(b="1")
    assert load_yaml(write(a=f"x: !include {other}\n")) == {"x": 1}


def test_included_twice_means_two_independent_objects(write: Write) -> None:
    loaded = load_yaml(write(a="x: !include b.yaml\ny: !include b.yaml\n", b="z: [1]"))
    assert loaded["x"] == loaded["y"]
    assert loaded["x"]["z"] is not loaded["y"]["z"]


def test_the_loader_class_can_be_used_directly(write: Write) -> None:
    with write(a="x: !include b.yaml\n", b="1").open() as stream:
        assert yaml.load(stream, Loader) == {"x": 1}


@pytest.mark.parametrize("words", ["", "b.yaml a b", "[b.yaml]"])
def test_an_include_needs_one_or_two_words(words: str, write: Write) -> None:
    path = write(a=f"x:\n  y: !include {words}\n", b="a: 1")
    with pytest.raises(YAMLError, match=re.escape(f"{path}:2:6: !include needs a path")):
        load_yaml(path)


def test_a_key_path_that_leads_nowhere_is_named_with_the_nearest_key(write: Write) -> None:
    path = write(a="x: !include b.yaml roles.trainre\n", b="roles:\n  trainer: 1\n")
    with pytest.raises(
        YAMLError, match=r"a.yaml:1:4: .*no 'trainre' in .*b.yaml:2:3; did you mean 'trainer'\?"
    ):
        load_yaml(path)
    for key_path in ("l.2", "l.x", "s.x"):
        with pytest.raises(YAMLError, match="no '"):
            load_yaml(write(a=f"x: !include b.yaml {key_path}\n", b="l: [1, 2]\ns: text\n"))


def test_a_missing_included_file_is_named_with_its_place(write: Write) -> None:
    path = write(a="x:\n- !include none.yaml\n")
    with pytest.raises(FileNotFoundError, match=re.escape(f"{path}:2:3: there is no file")) as info:
        load_yaml(path)
    assert info.value.filename == str(path.parent / "none.yaml")
    assert isinstance(info.value, BrokenFileError)


def test_files_that_include_each_other_are_refused(write: Write) -> None:
    path = write(a="x: !include b.yaml\n", b="y: !include a.yaml\n")
    with pytest.raises(YAMLError, match="include each other"):
        load_yaml(path)


# -- merges ------------------------------------------------


def test_merged_entries_replace_those_written_here_and_later_merges_win(write: Write) -> None:
    path = write(
        a="own: 1\n<<: !include b.yaml\nboth: here\n<<: !include c.yaml p\nlast: 1\n",
        b="both: b\nbc: b\n",
        c="p: {bc: c, deep: {x: 1}}\n",
    )
    loaded = load_yaml(path)
    assert loaded == {"own": 1, "both": "b", "bc": "c", "deep": {"x": 1}, "last": 1}
    assert list(loaded) == ["own", "both", "bc", "deep", "last"]


def test_merging_is_shallow(write: Write) -> None:
    assert load_yaml(write(a="<<: !include b.yaml\nx: {a: 1}\n", b="x: {b: 2}\n")) == {"x": {"b": 2}}


def test_merges_work_at_any_depth_and_beside_ordinary_ones(write: Write) -> None:
    path = write(
        a="base: &base {k: base, l: base}\nx:\n- <<: *base\n  <<: !include b.yaml\n  l: own\n",
        b="m: b\nk: b\n",
    )
    assert load_yaml(path)["x"] == [{"k": "b", "l": "own", "m": "b"}]


def test_an_ordinary_merge_inside_an_included_mapping_keeps_its_meaning(write: Write) -> None:
    path = write(a="<<: !include b.yaml x\n", b="base: &base {k: base, l: base}\nx: {<<: *base, l: own}\n")
    assert load_yaml(path) == {"k": "base", "l": "own"}


@pytest.mark.parametrize("content", ["[1]", "text"])
def test_only_mappings_can_be_merged(content: str, write: Write) -> None:
    with pytest.raises(TypeError, match=r"a.yaml:1:5: only a mapping can be merged"):
        load_yaml(write(a="<<: !include b.yaml\n", b=content))


# -- anchors ------------------------------------------------


def test_anchors_share_their_object_also_if_it_is_included(write: Write) -> None:
    loaded = load_yaml(write(a="x: &x !include b.yaml\ny: *x\n", b="z: 1"))
    assert loaded["x"] is loaded["y"]


def test_an_anchor_that_contains_itself_is_read(write: Write) -> None:
    loaded = load_yaml(write(a="x: &x\n  y: *x\n"))
    assert loaded["x"]["y"] is loaded["x"]


# -- marks ------------------------------------------------


def test_marks_say_where_keys_and_values_stand(write: Write) -> None:
    path = write(a="a: 1\nroles:\n  trainer:\n    class: x\n  list:\n  - p\n  - q: 2\n")
    _, marks = load_yaml_with_marks(path)
    file = str(path)
    assert marks.key(("a",)) == Mark(file, 1, 1)
    assert marks.value(("a",)) == Mark(file, 1, 4)
    assert marks[("roles", "trainer", "class")] == Mark(file, 4, 5)
    assert marks.value(("roles", "trainer", "class")) == Mark(file, 4, 12)
    assert marks.key(("roles", "list", 1)) == Mark(file, 7, 5)
    assert marks.key(("roles", "list", 1, "q")) == Mark(file, 7, 5)
    assert marks.value(()) == Mark(file, 1, 1)
    assert str(marks.key(("a",))) == f"{file}:1:1"


def test_marks_of_what_is_not_there_are_those_of_the_nearest_value_above(write: Write) -> None:
    _, marks = load_yaml_with_marks(write(a="roles:\n  trainer: {}\n"))
    assert marks.key(("roles", "trainer", "class"))[1:] == (2, 12)
    assert marks.value(("other", "x"))[1:] == (1, 1)
    assert ("roles", "trainer") in marks
    assert ("roles", "trainer", "class") not in marks
    with pytest.raises(KeyError):
        marks[("roles", "trainer", "class")]


def test_marks_lead_into_included_files_and_anchors(write: Write) -> None:
    path = write(
        a="x: !include b.yaml p\nbase: &base\n  k: 1\ny:\n  <<: *base\n  <<: !include c.yaml\n",
        b="p:\n  q: 1\n",
        c="\n\nr: 1\n",
    )
    _, marks = load_yaml_with_marks(path)
    folder = path.parent
    assert marks.key(("x",)) == Mark(str(path), 1, 1)
    assert marks.value(("x",)) == Mark(str(folder / "b.yaml"), 2, 3)
    assert marks.key(("x", "q")) == Mark(str(folder / "b.yaml"), 2, 3)
    assert marks.key(("y", "k")) == Mark(str(path), 3, 3)
    assert marks.key(("y", "r")) == Mark(str(folder / "c.yaml"), 3, 1)


# -- broken files ------------------------------------------------

BROKEN = {
    "a: 1\n\tb: 2\n": (2, 1, "blanks instead of tabs"),
    "a: b: c\n": (1, 5, "in quotes"),
    "a: 1\nbroken line\nb: 2\n": (3, 1, "put ': '"),
    "a:\n  - 1\n b: 2\n": (3, 2, "align this line"),
    "a: [1, 2\nb: 3\n": (2, 2, "close the bracket"),
    "a: 'text\nb: 2\n": (3, 1, "close the quote"),
    "a: *nowhere\n": (1, 4, "define it with '&'"),
    "a: !!python/object:os.system {}\n": (1, 4, "remove the tag"),
    "a: !other x\n": (1, 4, "remove the tag"),
    'a: "C:\\dir"\n': (1, 8, "single quotes"),
    "a: @x\n": (1, 4, "in quotes"),
    "a: 1\n---\nb: 2\n": (2, 1, "one document per file"),
    "{[a]: 1}\n": (1, 2, "in quotes"),
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_one_error_with_place_and_remedy(text: str, write: Write) -> None:
    line, column, remedy = BROKEN[text]
    path = write(a=text)
    with pytest.raises(BrokenFileError) as info:
        load_yaml(path)
    message = str(info.value)
    assert message.startswith(f"{path}:{line}:{column}: ")
    assert remedy in message
    assert "\n" not in message
    assert info.value.__cause__ is None
    assert info.value.__suppress_context__


def test_a_broken_included_file_is_named_itself(write: Write) -> None:
    path = write(a="x: !include b.yaml\n", b="c: 1\n\td: 2\n")
    with pytest.raises(BrokenFileError, match=re.escape(f"{path.parent / 'b.yaml'}:2:1: ")):
        load_yaml(path)


def test_a_file_that_is_not_text_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\xfe\x00")
    with pytest.raises(BrokenFileError, match="UTF-8"):
        load_yaml(tmp_path / "a.yaml")


def test_bottomless_nesting_is_one_clear_error(write: Write) -> None:
    with pytest.raises(BrokenFileError, match="nested too deeply"):
        load_yaml(write(a="[" * 5000))

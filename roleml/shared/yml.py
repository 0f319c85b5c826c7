"""YAML files that may include others, and that remember where each of their values stands.

JSON files are read as well. Numbers are those of YAML 1.2 and JSON, so that `1e-3` is one; the rest is YAML
1.1, limited to its safe types. Beyond that:

- `key: !include path` (or a list item): the document of another file. Its path starts at the folder of the
  including file and contains no blanks.
- `key: !include path a.b.0`: the value at that key path; a number is a position in a list.
- `<<: !include path a.b`, any number of times in one mapping: the entries of that mapping. They replace
  entries of the same key, whether written here or included before; nothing within them is merged.
  (`<<: *anchor`, where what is written here wins, keeps its usual meaning.)
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError

from roleml.shared.errors import RoleMLError
from roleml.shared.suggestions import did_you_mean, nearest

__all__ = [
    "BrokenFileError",
    "KeyPath",
    "Loader",
    "Mark",
    "Marks",
    "ObjectFromYAML",
    "Repeated",
    "YAMLError",
    "load_yaml",
    "load_yaml_with_marks",
    "save_yaml",
    "similar_file",
]

logger = logging.getLogger("roleml.yml")

#: how to get from the document to one of its values: mapping keys and list positions
KeyPath = tuple[Any, ...]

_INCLUDE = "!include"
_MERGE = "tag:yaml.org,2002:merge"

# part of PyYAML's description of a problem -> what to do about it
_REMEDIES = {
    "found character '\\t'": "indent with blanks instead of tabs",
    "mapping values are not allowed": "put a value that contains ': ' in quotes, or correct the indentation",
    "could not find expected ':'": "put ': ' (with the blank) after the key, here or on the line above",
    "expected <block end>": "align this line with the others of its mapping or list",
    "expected the node content": "put a value here, or the text in quotes",
    "found undefined alias": "define it with '&' further up, or put a text that starts with '*' in quotes",
    "could not determine a constructor": "remove the tag: only plain data and !include can be used",
    "unexpected end of stream": "close the quote or bracket that was opened above",
    "expected ',' or": "close the bracket, or put a comma between its items",
    "found unknown escape": "use single quotes, in which a backslash means itself",
    "that cannot start any token": "put the text in quotes",
    "expected a single document": "keep one document per file: remove the line '---'",
    "unhashable key": "put a key that contains braces or brackets in quotes",
    "for merging": "write '<<: *anchor', or '<<: !include file.yaml'",
}
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Mark(NamedTuple):
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class BrokenFileError(RoleMLError, YAMLError):
    """A file that is no valid YAML, or includes what it cannot.

    The message begins with `file:line:column` and ends with a remedy; `mark` is the place, `text` the rest.
    """

    code = "RML-C010"

    def __init__(self, text: str, mark: Mark | None = None, file: str = "") -> None:
        place = str(mark) if mark is not None else file
        super().__init__(text, mark, file)
        self.text = text
        self._shown = f"{place}: {text}" if place else text
        self.mark = mark

    def __str__(self) -> str:  # not OSError's, which one of its subclasses is
        return self._shown


class _WrongMergeError(BrokenFileError, TypeError):
    """What is merged is no mapping."""


class _MissingIncludeError(BrokenFileError, FileNotFoundError):
    """What is included is not there."""


class Repeated(NamedTuple):
    """A key that a mapping has twice: the first one, which is at `ignored`, has no effect."""

    key: str
    mark: Mark
    ignored: Mark

    def __str__(self) -> str:
        return f"{self.key!r} is given again, the one at {self.ignored} is ignored"


class Marks:
    """Where the keys and values of a loaded document stand, also those that came from included files."""

    def __init__(self, root: Node, repeated: Sequence[Repeated] = ()) -> None:
        self._root = root
        self.repeated = repeated

    def key(self, path: KeyPath) -> Mark:
        """Where the last key of `path` stands; for a list item, or what is in no file, the nearest value."""
        nodes = list(self._walk(path))
        key, value = nodes[-1]
        return _mark(key if key is not None and len(nodes) == len(path) + 1 else value)

    def value(self, path: KeyPath) -> Mark:
        """Where the value at `path` begins, or the nearest value above it that is in a file."""
        return _mark(list(self._walk(path))[-1][1])

    def below(self, path: KeyPath) -> Marks:
        """Those of the value at `path`, or the nearest one above it that is in a file, as a document."""
        return Marks(list(self._walk(path))[-1][1])

    def overlaid(self, other: Marks) -> Marks:
        """Those of this mapping with the entries of another one over its own: `{**this, **other}`."""
        if not isinstance(self._root, MappingNode) or not isinstance(other._root, MappingNode):
            return self
        entries = [*self._root.value, *other._root.value]
        return Marks(MappingNode(self._root.tag, entries, self._root.start_mark))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, tuple) and len(list(self._walk(path))) == len(path) + 1

    def __getitem__(self, path: KeyPath) -> Mark:
        """Like `key`, for what is in a file. Raises KeyError for the rest."""
        if path not in self:
            raise KeyError(path)
        return self.key(path)

    def _walk(self, path: KeyPath) -> Iterator[tuple[Node | None, Node]]:
        """The key and value nodes on the way, starting at the document, as far as the path leads."""
        node = self._root
        yield None, node
        for part in path:
            entry = _entry(node, part)
            if entry is None:
                return
            yield entry
            node = entry[1]


class Loader(yaml.SafeLoader):
    """For `yaml.load(stream, Loader)`. Includes start at the folder of `stream.name`, if it has one."""

    def __init__(
        self, stream: Any, *, including: tuple[Path, ...] = (), repeated: list[Repeated] | None = None
    ) -> None:
        super().__init__(stream)
        self.repeated = [] if repeated is None else repeated
        name = getattr(stream, "name", None)
        self._file = Path(name) if isinstance(name, str | os.PathLike) else None
        self._including = including if self._file is None else (*including, self._file.absolute())

    def get_single_node(self) -> Node | None:
        node = super().get_single_node()
        return None if node is None else _Inclusion(self).expand(node)

    def include(self, node: Node) -> Node:
        """The node that an `!include` node stands for."""
        words = node.value.split() if isinstance(node, ScalarNode) else []
        if len(words) not in (1, 2):
            raise BrokenFileError(
                "!include needs a path without blanks, then at most a key path", _mark(node)
            )
        folder = Path() if self._file is None else self._file.parent
        path = folder / words[0]
        if path.absolute() in self._including:
            chain = " includes ".join(str(file) for file in (*self._including, path.absolute()))
            raise BrokenFileError(f"files include each other: {chain}", _mark(node))
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            text = f"there is no file {path} to include{similar_file(path)}"
            missing = _MissingIncludeError(text, _mark(node))
            missing.errno, missing.filename = errno.ENOENT, str(path)
            raise missing from None
        except OSError as error:
            text = f"{path} cannot be included: {(error.strerror or '').lower()}"
            raise BrokenFileError(text, _mark(node)) from None
        with stream:
            included = _compose(stream, self._including, self.repeated)
        if included is None:
            raise BrokenFileError(f"the included file {path} is empty", _mark(node))
        for part in words[1].split(".") if len(words) == 2 else ():
            included = _child(included, part, node)
        return included


class _Inclusion:
    """Puts the content of other files in the place of the `!include` nodes of one document."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._done: dict[int, Node] = {}  # also ends at anchors that contain themselves

    def expand(self, node: Node) -> Node:
        known = self._done.get(id(node))
        if known is not None:
            return known
        if node.tag == _INCLUDE:
            self._done[id(node)] = included = self._loader.include(node)
            return included
        self._done[id(node)] = node
        if isinstance(node, SequenceNode):
            node.value = [self.expand(item) for item in node.value]
        elif isinstance(node, MappingNode):
            self._expand_mapping(node)
        return node

    def _expand_mapping(self, node: MappingNode) -> None:
        own: dict[Any, tuple[Node, Node]] = {}
        included: dict[Any, tuple[Node, Node]] = {}
        order: dict[Any, None] = {}
        for key, value in node.value:
            if key.tag == _MERGE and value.tag == _INCLUDE:
                merged = self.expand(value)
                if not isinstance(merged, MappingNode):
                    found = "list" if isinstance(merged, SequenceNode) else "scalar"
                    text = (
                        f"only a mapping can be merged, but {value.value!r} is a {found} (at {_mark(merged)})"
                    )
                    raise _WrongMergeError(text, _mark(value))
                self._loader.flatten_mapping(merged)
                entries, target = merged.value, included
            else:
                entries, target = [(key, self.expand(value))], own
                if _identity(key) in own:
                    before = _mark(own[_identity(key)][0])
                    self._loader.repeated.append(Repeated(key.value, _mark(key), before))
            for entry in entries:
                identity = _identity(entry[0])
                target[identity] = entry
                order[identity] = None
        node.value = [included.get(identity) or own[identity] for identity in order]


def load_yaml(filename: str | os.PathLike[str]) -> Any:
    """The content of a YAML (or JSON) file: mappings, lists, strings, numbers, booleans, dates, bytes, None.

    Raises:
        FileNotFoundError: the file, or one it includes.
        BrokenFileError, a YAMLError: it is no YAML, or has an include that is malformed, circular, or whose
            key path leads nowhere.
        TypeError: merging something that is no mapping.
    """
    return load_yaml_with_marks(filename)[0]


ObjectFromYAML = load_yaml


def load_yaml_with_marks(filename: str | os.PathLike[str], *, log: bool = True) -> tuple[Any, Marks]:
    """Like `load_yaml`, together with the places of all keys and values, for error messages.

    Keys that are given twice are logged, or with `log=False` only noted in the marks.
    """
    repeated: list[Repeated] = []
    with Path(filename).open("rb") as stream:
        try:
            root = _compose(stream, (), repeated)
            found = None if root is None else _construct(root)
        except RecursionError:
            raise BrokenFileError("nested too deeply", file=str(filename)) from None
    for key in repeated if log else ():
        logger.warning("%s: %s", key.mark, key)
    return found, Marks(_empty_document(str(filename)) if root is None else root, repeated)


def similar_file(path: Path) -> str:
    """The end of an error message about a configuration file that is not there: which may have been meant."""
    try:
        names = [each for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml", ".json")]
    except OSError:
        return ""
    near = nearest(path.stem, [each.stem for each in names])
    return next((f"; did you mean {each.name!r}?" for each in sorted(names) if each.stem == near), "")


def save_yaml(filename: str | os.PathLike[str], obj: Any) -> None:
    """Write plain data to a file, mappings in their own order.

    Raises YAMLError for other objects, and writes nothing then.
    """
    text = yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if "\x85" in text:  # PyYAML writes this one as it is, and reads it as a line break
        text = yaml.dump(obj, Dumper=_Dumper, sort_keys=False)
    Path(filename).write_text(text, encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Puts texts in quotes that `Loader` would take for numbers."""


class _Constructor(yaml.SafeLoader):
    """Makes the values of nodes."""

    def construct_yaml_str(self, node: Any) -> str:
        text = str(self.construct_scalar(node))
        # JSON writes characters beyond U+FFFF as two
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_Constructor.add_constructor("tag:yaml.org,2002:str", _Constructor.construct_yaml_str)
for _kind in (Loader, _Dumper):
    _kind.add_implicit_resolver(  # those of YAML 1.1 need a dot, and a sign after the e
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


class _JSON(io.BytesIO):
    """The content of a JSON file, in which tabs are blanks: within texts there are none."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream.read().replace(b"\t", b" "))
        self.name = stream.name


def _compose(stream: IO[bytes], including: tuple[Path, ...], repeated: list[Repeated]) -> Node | None:
    content = _JSON(stream) if Path(stream.name).suffix == ".json" else stream
    try:
        loader = Loader(content, including=including, repeated=repeated)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        raise _unreadable(stream, error) from None
    except yaml.MarkedYAMLError as error:
        raise _explained(error, stream.name) from None


def _construct(root: Node) -> Any:
    loader = _Constructor("")
    try:
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _explained(error, _mark(root).file) from None
    finally:
        loader.dispose()


def _explained(error: yaml.MarkedYAMLError, filename: str) -> BrokenFileError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "malformed"
    if error.context and error.context_mark is not None and error.context_mark is not mark:
        problem += f" ({error.context} that began in line {error.context_mark.line + 1})"
    remedy = next((text for part, text in _REMEDIES.items() if part in problem), None)
    text = problem + (f"; {remedy}" if remedy else "")
    place = None if mark is None else Mark(mark.name, mark.line + 1, mark.column + 1)
    return BrokenFileError(text, place, filename)


def _unreadable(stream: IO[bytes], error: yaml.reader.ReaderError) -> BrokenFileError:
    """Which character cannot be read: PyYAML counts from the beginning of the file, and bytes."""
    stream.seek(0)
    data = stream.read()
    try:
        before, found, _ = re.split(f"({_UNREADABLE.pattern})", data.decode(), maxsplit=1)
        text = (
            f"the character U+{ord(found):04X} cannot stand here; remove it, or save the file as UTF-8 text"
        )
    except UnicodeDecodeError as undecodable:
        before = data[: undecodable.start].decode()
        text = f"the byte 0x{data[undecodable.start]:02x} is no UTF-8; save the file as UTF-8 text"
    except ValueError:  # another encoding, which begins with a mark of its own
        return BrokenFileError(
            f"{' '.join(str(error).split())}; save the file as UTF-8 text", file=stream.name
        )
    lines = before.removeprefix("\ufeff").split("\n")
    return BrokenFileError(text, Mark(stream.name, len(lines), len(lines[-1]) + 1))


def _mark(node: Node) -> Mark:
    mark = node.start_mark
    return Mark("", 1, 1) if mark is None else Mark(mark.name, mark.line + 1, mark.column + 1)


def _identity(key: Node) -> Any:
    # merge keys may be repeated, and others that are no scalars are told apart when they are constructed
    return (key.tag, key.value) if isinstance(key, ScalarNode) and key.tag != _MERGE else id(key)


def _entry(node: Node, part: Any) -> tuple[Node | None, Node] | None:
    """Key and value of the entry `part` of a mapping or list node."""
    if isinstance(node, SequenceNode):
        if isinstance(part, int) and 0 <= part < len(node.value):
            return None, node.value[part]
    elif isinstance(node, MappingNode):
        constructor = yaml.constructor.SafeConstructor()
        for key, value in reversed(node.value):
            if isinstance(key, ScalarNode) and constructor.construct_object(key) == part:
                return key, value
    return None


def _child(node: Node, part: str, include: Node) -> Node:
    """The child that one part of an include's key path names."""
    if isinstance(node, MappingNode):
        constructor = yaml.SafeLoader("")
        constructor.flatten_mapping(node)
        for key, value in reversed(node.value):
            if key.value == part:
                return value  # type: ignore[no-any-return]  # PyYAML's node values are untyped
        known = [str(key.value) for key, _ in node.value]
    elif isinstance(node, SequenceNode):
        if part.isdecimal() and int(part) < len(node.value):
            return node.value[int(part)]  # type: ignore[no-any-return]  # PyYAML's node values are untyped
        known = [f"0 to {len(node.value) - 1}"] if node.value else []
    else:
        known = []
    text = f"!include {include.value}: no {part!r} in the value at {_mark(node)}{did_you_mean(part, known)}"
    raise BrokenFileError(text, _mark(include))


def _empty_document(filename: str) -> Node:
    mark = yaml.Mark(filename, 0, 0, 0, None, 0)
    return ScalarNode("tag:yaml.org,2002:null", "", mark, mark)

"""YAML files that may include others, and that remember where each of their values stands.

Beyond YAML, limited to its safe types:

- `key: !include path` (or a list item): the document of another file. Its path starts at the folder of the
  including file and contains no blanks.
- `key: !include path a.b.0`: the value at that key path; a number is a position in a list.
- `<<: !include path a.b`, any number of times in one mapping: the entries of that mapping. They replace
  entries of the same key, whether written here or included before; nothing within them is merged.
  (`<<: *anchor`, where what is written here wins, keeps its usual meaning.)
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError

from roleml.shared.errors import RoleMLError
from roleml.shared.suggestions import did_you_mean

__all__ = [
    "BrokenFileError",
    "KeyPath",
    "Loader",
    "Mark",
    "Marks",
    "ObjectFromYAML",
    "YAMLError",
    "load_yaml",
    "load_yaml_with_marks",
    "save_yaml",
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
    "unacceptable character": "save the file as UTF-8 text",
    "invalid start byte": "save the file as UTF-8 text",
    "unhashable key": "put a key that contains braces or brackets in quotes",
}


class BrokenFileError(RoleMLError, YAMLError):
    """A file that is no valid YAML. The message begins with `file:line:column` and ends with a remedy."""

    code = "RML-C010"


class Mark(NamedTuple):
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Marks:
    """Where the keys and values of a loaded document stand, also those that came from included files."""

    def __init__(self, root: Node) -> None:
        self._root = root

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

    def __init__(self, stream: Any, *, including: tuple[Path, ...] = ()) -> None:
        super().__init__(stream)
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
            raise YAMLError(f"{_mark(node)}: !include needs a path without blanks, then at most a key path")
        folder = Path() if self._file is None else self._file.parent
        path = folder / words[0]
        if path.absolute() in self._including:
            chain = " includes ".join(str(file) for file in (*self._including, path.absolute()))
            raise YAMLError(f"{_mark(node)}: files include each other: {chain}")
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            raise FileNotFoundError(
                errno.ENOENT, f"no such file, included at {_mark(node)}", str(path)
            ) from None
        with stream:
            included = _compose(stream, self._including)
        if included is None:
            raise YAMLError(f"{_mark(node)}: the included file {path} is empty")
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
                    raise TypeError(
                        f"{_mark(value)}: only a mapping can be merged, but {value.value!r} is a "
                        f"{'list' if isinstance(merged, SequenceNode) else 'scalar'} (at {_mark(merged)})"
                    )
                self._loader.flatten_mapping(merged)
                entries, target = merged.value, included
            else:
                entries, target = [(key, self.expand(value))], own
                if _identity(key) in own:
                    logger.warning(
                        "%s: %r is given again, the one at %s is ignored",
                        _mark(key),
                        key.value,
                        _mark(own[_identity(key)][0]),
                    )
            for entry in entries:
                identity = _identity(entry[0])
                target[identity] = entry
                order[identity] = None
        node.value = [included.get(identity) or own[identity] for identity in order]


def load_yaml(filename: str | os.PathLike[str]) -> Any:
    """The content of a YAML (or JSON) file: mappings, lists, strings, numbers, booleans, dates, bytes, None.

    Raises:
        FileNotFoundError: the file, or one it includes.
        BrokenFileError: it is no YAML.
        YAMLError: an include that is malformed, circular, or whose key path leads nowhere.
        TypeError: merging something that is no mapping.
    """
    return load_yaml_with_marks(filename)[0]


ObjectFromYAML = load_yaml


def load_yaml_with_marks(filename: str | os.PathLike[str]) -> tuple[Any, Marks]:
    """Like `load_yaml`, together with the places of all keys and values, for error messages."""
    with Path(filename).open("rb") as stream:
        try:
            root = _compose(stream, ())
            if root is None:
                return None, Marks(_empty_document(str(filename)))
            return _construct(root), Marks(root)
        except RecursionError:
            raise BrokenFileError(f"{filename}: nested too deeply") from None


def save_yaml(filename: str | os.PathLike[str], obj: Any) -> None:
    """Write plain data to a file, mappings in their own order.

    Raises YAMLError for other objects, and writes nothing then.
    """
    text = yaml.safe_dump(obj, sort_keys=False, allow_unicode=True)
    if "\x85" in text:  # PyYAML writes this one as it is, and reads it as a line break
        text = yaml.safe_dump(obj, sort_keys=False)
    Path(filename).write_text(text, encoding="utf-8")


def _compose(stream: IO[bytes], including: tuple[Path, ...]) -> Node | None:
    try:
        loader = Loader(stream, including=including)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        raise _explained(error, stream.name) from None


def _construct(root: Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _explained(error, _mark(root).file) from None
    finally:
        loader.dispose()


def _explained(error: YAMLError, filename: str) -> BrokenFileError:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f"{mark.name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else filename
        problem = error.problem or error.context or "malformed"
        if error.context and error.context_mark is not None and error.context_mark is not mark:
            problem += f" ({error.context} that began in line {error.context_mark.line + 1})"
    else:
        place, problem = filename, " ".join(str(error).split())
    remedy = next((text for part, text in _REMEDIES.items() if part in problem), None)
    return BrokenFileError(f"{place}: {problem}" + (f"; {remedy}" if remedy else ""))


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
    raise YAMLError(
        f"{_mark(include)}: !include {include.value}: no {part!r} in the value at {_mark(node)}"
        f"{did_you_mean(part, known)}"
    )


def _empty_document(filename: str) -> Node:
    mark = yaml.Mark(filename, 0, 0, 0, None, 0)
    return ScalarNode("tag:yaml.org,2002:null", "", mark, mark)

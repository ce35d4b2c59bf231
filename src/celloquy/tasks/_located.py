"""YAML with the place of every value, so that a message can say where to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST = 2_000_000
"""The most characters of a file: a task is a page of text."""
_SCALARS = {"str", "int", "bool", "null", "float"}


@dataclass(frozen=True, eq=False)
class Located:
    """A value of a YAML file, and where it stands."""

    file: str
    """The file, as messages name it."""
    source: str
    """The text of the file."""
    node: yaml.Node
    """What the YAML parser found."""
    key: yaml.Node | None = None
    """The key that it stands under, if it stands under one."""

    def refusal(
        self, message: str, *, hint: str, place: tuple[int, int] | None = None
    ) -> InputError:
        """Make the error that says where the value stands: line and column, from 1."""
        start = self.node.start_mark
        line, column = place or (start.line + 1, start.column + 1)
        return InputError(f"{self.file}:{line}:{column}: {message}", hint=hint)

    def key_refusal(self, message: str, *, hint: str) -> InputError:
        """Make the error that says where the key stands."""
        start = (self.key or self.node).start_mark
        return self.refusal(message, hint=hint, place=(start.line + 1, start.column + 1))

    def table(self, what: str) -> dict[str, Located]:
        """Read it as a mapping from words to values.

        Raises
        ------
        InputError
            If it is no mapping, a key is no word, or a key repeats.
        """
        if not isinstance(self.node, yaml.MappingNode):
            msg = f"{what} is a mapping (`key: value`), not {self.kind}."
            raise self.refusal(msg, hint="write one `key: value` a line.")
        found: dict[str, Located] = {}
        for key_node, value_node in self.node.value:
            key = self._at(key_node).text(f"A key of {what[:1].lower() + what[1:]}")
            if key in found:
                msg = f"The key {key!r} repeats."
                raise self._at(key_node).refusal(msg, hint="keep one of the two.")
            found[key] = Located(self.file, self.source, value_node, key_node)
        return found

    def entries(self, what: str) -> list[Located]:
        """Read it as a list.

        Raises
        ------
        InputError
            If it is no list.
        """
        if not isinstance(self.node, yaml.SequenceNode):
            msg = f"{what} is a list (`- entry`), not {self.kind}."
            raise self.refusal(msg, hint="write one `- entry` a line.")
        return [self._at(node) for node in self.node.value]

    def text(self, what: str) -> str:
        """Read it as text, as written: ``Yes`` and ``1`` stay what they are.

        Raises
        ------
        InputError
            If it is no text, or empty.
        """
        if not isinstance(self.node, yaml.ScalarNode):
            msg = f"{what} is a text, not {self.kind}."
            hint = "put it in quotes: a `{` that begins a value begins a mapping in YAML."
            raise self.refusal(msg, hint=hint)
        if not self.node.value.strip():
            msg = f"{what} is empty."
            raise self.refusal(msg, hint="write it, or leave the key out.")
        return str(self.node.value)

    def one_of(self, known: Iterable[str], what: str) -> str:
        """Read it as one of some words.

        Raises
        ------
        InputError
            If it is another.
        """
        word, known = self.text(what), list(known)
        if word not in known:
            msg = f"There is no {what[:1].lower() + what[1:]} {word!r}{closest(word, known)}."
            raise self.refusal(msg, hint=f"choose of: {', '.join(known)}.")
        return word

    def plain(self) -> Any:  # noqa: ANN401 (whatever the file says)
        """Read it as what YAML says that it is: text, numbers, lists, mappings."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, value in self.table("It").items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [entry.plain() for entry in self.entries("It")]
        return yaml.safe_load(yaml.serialize(self.node, Dumper=yaml.SafeDumper))

    def whole_number(self, what: str) -> int:
        """Read it as a whole number.

        Raises
        ------
        InputError
            If it is none.
        """
        word = self.text(what)
        if not word.isascii() or not word.isdigit():
            msg = f"{what} is a whole number, not {word!r}."
            raise self.refusal(msg, hint="write digits only.")
        return int(word)

    def place_of(self, words: str) -> tuple[int, int] | None:
        """Find line and column of some words inside of this value, from 1."""
        at = self.source.find(words, self.node.start_mark.index, self.node.end_mark.index)
        if at < 0:
            return None
        return self.source.count("\n", 0, at) + 1, at - self.source.rfind("\n", 0, at)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else f"{self.node.value!r}"

    def _at(self, node: yaml.Node) -> Located:
        return Located(self.file, self.source, node)


def refuse_other_keys(table: Mapping[str, Located], known: Iterable[str], *, what: str) -> None:
    """Refuse a key that means nothing, so that a slip of the pen is not passed over.

    Raises
    ------
    InputError
        If there is one.
    """
    known = list(known)
    for key, value in table.items():
        if key not in known:
            msg = f"{what} has no key {key!r}{closest(key, known)}."
            raise value.key_refusal(msg, hint=f"the keys are: {', '.join(known)}.")


def read_located(source: str, *, file: str) -> Located:
    """Read YAML text; only text, numbers, lists and mappings, without references.

    Raises
    ------
    InputError
        If it is no YAML, too large, empty, or holds references or tags.
    """
    if len(source) > LARGEST:
        msg = f"{file} has {len(source):,} characters; a task has at most {LARGEST:,}."
        raise InputError(msg, hint="is it a task? `celloquy tasks show cell_type` shows one.")
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        msg = f"{file}{place}: this is no YAML: {error.problem}."
        raise InputError(msg, hint="check indentation, quotes and colons there.") from error
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"{file}: this is no YAML: {str(error) or 'it is nested too deep'}."
        raise InputError(msg, hint="save it as UTF-8 text.") from error
    if node is None:
        msg = f"{file} is empty."
        raise InputError(msg, hint="`celloquy tasks show cell_type` shows what a task looks like.")
    root = Located(file, source, node)
    _refuse_references(root)
    return root


def _refuse_references(root: Located) -> None:
    """Refuse what YAML can do beyond data: references make files that grow without end.

    Raises
    ------
    InputError
        If a value is referred to twice, or carries a tag of its own.
    """
    seen: set[int] = set()
    waiting = [root.node]
    while waiting:
        node = waiting.pop()
        here = Located(root.file, root.source, node)
        if id(node) in seen:
            msg = "A task has no references (`&name`, `*name`)."
            raise here.refusal(msg, hint="write the value out where it is needed.")
        seen.add(id(node))
        tag = str(node.tag).rpartition(":")[2]
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
            tag = "str" if tag == "map" else tag
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
            tag = "str" if tag == "seq" else tag
        if tag not in _SCALARS | {"timestamp", "merge"} or not str(node.tag).startswith("tag:yaml"):
            msg = f"A task has no tags, such as {node.tag!r}."
            raise here.refusal(msg, hint="write plain text, numbers, lists and mappings.")

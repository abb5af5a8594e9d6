"""YAML text -> positioned nodes, within limits. Untrusted text in, `RecipeError` or a tree out.

Refused here: what is not YAML, tags of programming languages, duplicate keys, keys that are not text, and
documents (aliases expanded) beyond the limits below. Knows no schema.
"""

from __future__ import annotations

import yaml
from yaml.reader import ReaderError

from mixmerge.errors import Problem, RecipeError
from mixmerge.recipe.nodes import Listing, Node, Scalar, Table, below
from mixmerge.recipe.report import Report

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_KEY = 250

_TAG = "tag:yaml.org,2002:"
_WORDS = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")
_PLAIN = {_TAG + name for name in _WORDS}
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS = {yaml.ScalarNode: "scalar", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}


class _Loader(yaml.SafeLoader):
    """Composes nodes only, and gives up beyond the limits instead of recursing without bound."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.file = file
        self.depth = 0
        self.count = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self.count += 1
        self.depth += 1
        if self.count > MAX_NODES or self.depth > MAX_DEPTH:
            raise _too_large(f"{self.file}:{self.get_mark().line + 1}")
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]
        self.depth -= 1
        return node


def _too_large(place: str) -> RecipeError:
    rule = f"a recipe has at most {MAX_NODES} values, aliases written out, and {MAX_DEPTH} levels"
    return RecipeError(Problem(rule, "more", place, "is this a recipe? then write fewer or flatter values"))


def compose(text: str, file: str, report: Report) -> Table:
    """The mapping a recipe's text holds. Duplicate keys, foreign tags and such are added to the report."""
    if len(text) > MAX_BYTES:
        rule, cure = f"a recipe is at most {MAX_BYTES} bytes", "is this a recipe?"
        raise RecipeError(Problem(rule, f"{len(text)} characters", file, cure))
    root = _root(text, file)
    tree = _Builder(file, report).build(root, "", 0) if root is not None else None
    if isinstance(tree, Table):
        return tree
    found = tree.excerpt() if tree else "nothing"
    cure = "start with `merge_method: ...` and `models:`"
    raise RecipeError(Problem("a recipe must be a mapping of keys", found, f"{file}:1", cure))


def _root(text: str, file: str) -> yaml.Node | None:
    try:
        root: yaml.Node | None = _Loader(text, file).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_syntax(error, file)) from None
    except RecipeError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML lets numbers in escapes overflow
        raise RecipeError(_no_text(error, text, file)) from None
    return root


def _no_text(error: Exception, text: str, file: str) -> Problem:
    """What PyYAML says of a character, with its line, or of an escape."""
    rule, found = "a recipe must be YAML text", str(error).partition("\n")[0]
    if not isinstance(error, ReaderError):
        return Problem(rule, found, file, "write characters as they are, without such escapes")
    return Problem(rule, found, f"{file}:{text.count(chr(10), 0, error.position) + 1}", "remove that character")


def _syntax(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = f"{file}:{mark.line + 1}" if mark else file
    found = ", ".join(part for part in (error.context, error.problem) if part)
    return Problem("a recipe must be valid YAML", found, place, "check indentation, colons and brackets here")


class _Builder:
    """Copies composed nodes into positioned ones, aliases expanded and counted."""

    def __init__(self, file: str, report: Report) -> None:
        self.file = file
        self.report = report
        self.count = 0

    def build(self, node: yaml.Node, path: str, depth: int, key: yaml.Node | None = None) -> Node:
        """A positioned copy; a value stands where its key does."""
        place = self._place(key or node)
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise _too_large(place)
        if node.tag not in _PLAIN:
            self._refuse(place, path, "a recipe holds plain values only", node.tag, "remove the tag")
        if isinstance(node, yaml.MappingNode):
            return Table(place, path, self._entries(node, path, depth))
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self.build(item, below(path, i), depth + 1) for i, item in enumerate(node.value))
            return Listing(place, path, items)
        return _scalar(node, place, path)

    def _entries(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key_node.tag == _TAG + "merge":
                merged = {**self._merged(value_node, path, depth), **merged}
            elif key in entries:
                rule = f"key {key!r} must be given once"
                cure = f"keep one of the two (the first is at {entries[key].place})"
                self._refuse(self._place(key_node), below(path, key), rule, key, cure)
            else:
                entries[key] = self.build(value_node, below(path, key), depth + 1, key_node)
        return {**{key: value for key, value in merged.items() if key not in entries}, **entries}

    def _merged(self, node: yaml.Node, path: str, depth: int) -> dict[str, Node]:
        """What a merge key of YAML (`<<: *name`, or a list of them) brings in; a key's first mention wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Node] = {}
        for part in parts:
            tree = self.build(part, path, depth + 1)
            if isinstance(tree, Table):
                found = {**tree.entries, **found}
            else:
                self._refuse(tree.place, path, "<< takes a mapping", tree.excerpt(), "point it at a mapping")
        return found

    def _key(self, node: yaml.Node, path: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN and _is_key(node.value):
            return str(node.value)
        found = f"a {_KINDS.get(type(node), 'node')} tagged {node.tag}"
        rule = f"a key must be text of at most {MAX_KEY} whole characters"
        self._refuse(self._place(node), path, rule, found, "rename it")
        return None

    def _place(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"

    def _refuse(self, place: str, path: str, rule: str, found: str, cure: str) -> None:
        self.report.wrong(Scalar(place, path, found), rule, cure, found)


def _is_key(text: str) -> bool:
    """Whether the text is short enough, and no half of a surrogate pair is in it."""
    return len(text) <= MAX_KEY and text.encode("utf-8", "replace").decode() == text


def _scalar(node: yaml.Node, place: str, path: str) -> Scalar:
    text = str(node.value)
    flag = _FLAGS.get(text.lower()) if node.tag == _TAG + "bool" else None
    return Scalar(place, path, text, null=node.tag == _TAG + "null", flag=flag)

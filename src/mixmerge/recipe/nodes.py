"""A recipe's raw material: scalars, lists and mappings that know where they stand.

Built from YAML text (`mixmerge.recipe.text`) or from Python values, such as options of the command line.
Knows no schema.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import final

EXCERPT = 72
NOWHERE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Node(ABC):
    """place: `file:line`, or the option's name. path: key path inside the recipe, such as models[1].model."""

    place: str
    path: str

    def where(self) -> str:
        """The place as messages print it."""
        return f"{self.place} ({self.path})" if self.path else self.place

    def name(self) -> str:
        """The last part of the key path."""
        return (self.path.rpartition(".")[2] or "''") if self.path else "the recipe"

    @abstractmethod
    def text_of(self) -> str:
        """The value in one line, YAML style."""

    def excerpt(self) -> str:
        """`key: value`, cut to one readable line."""
        text = " ".join(self.text_of().split())
        text = text if len(text) <= EXCERPT else text[: EXCERPT - 3] + "..."
        return f"{self.name()}: {text}" if self.path and not self.path.endswith("]") else text

    def children(self) -> Iterator[Node]:
        """The nodes directly below."""
        return iter(())


@final
@dataclass(frozen=True, slots=True)
class Scalar(Node):
    """text: as written. null, flag: what YAML makes of the plain text, where it is one."""

    text: str
    null: bool = False
    flag: bool | None = None

    def text_of(self) -> str:
        return "(nothing)" if self.null else self.text


@final
@dataclass(frozen=True, slots=True)
class Listing(Node):
    """A list."""

    items: tuple[Node, ...] = ()

    def text_of(self) -> str:
        return "[" + ", ".join(item.text_of() for item in self.items[:EXCERPT]) + "]"

    def children(self) -> Iterator[Node]:
        return iter(self.items)


@final
@dataclass(frozen=True, slots=True)
class Table(Node):
    """A mapping with text keys, in the order written."""

    entries: Mapping[str, Node] = field(default_factory=dict)

    def text_of(self) -> str:
        few = list(self.entries.items())[:EXCERPT]
        return "{" + ", ".join(f"{key}: {node.text_of()}" for key, node in few) + "}"

    def children(self) -> Iterator[Node]:
        return iter(self.entries.values())


def below(path: str, key: str | int) -> str:
    """The key path one step further down."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def places_of(root: Node) -> dict[str, str]:
    """Key path -> place, of every node."""
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        found[node.path] = node.place
        waiting.extend(node.children())
    return found


def from_python(value: object, place: str, path: str, places: Mapping[str, str] = NOWHERE) -> Node:
    """The nodes of Python values. Each stands at `places[its key path]`, else where its parent stands."""
    here = places.get(path, place)

    def inside(item: object, key: str | int) -> Node:
        return from_python(item, here, below(path, key), places)

    if value is None:
        return Scalar(here, path, "", null=True)
    if isinstance(value, bool):
        return Scalar(here, path, str(value).lower(), flag=value)
    if isinstance(value, Mapping):
        return Table(here, path, {str(key): inside(item, str(key)) for key, item in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Listing(here, path, tuple(inside(item, i) for i, item in enumerate(value)))
    return Scalar(here, path, str(value))


def planted(root: Table, path: str, node: Node) -> Table:
    """`root` with `node` at a dotted key path. What is no mapping on the way stays, to be refused later."""
    head, _, rest = path.partition(".")
    if not rest:
        return replace(root, entries={**root.entries, head: node})
    inner = root.entries.get(head, Table(node.place, below(root.path, head)))
    if isinstance(inner, Scalar) and inner.null:
        inner = Table(node.place, inner.path)
    if not isinstance(inner, Table):
        return root
    return replace(root, entries={**root.entries, head: planted(inner, rest, node)})


def pruned(root: Table, path: str) -> Table:
    """`root` without what stands at a dotted key path."""
    head, _, rest = path.partition(".")
    if not rest:
        return replace(root, entries={key: node for key, node in root.entries.items() if key != head})
    inner = root.entries.get(head)
    if not isinstance(inner, Table):
        return root
    return replace(root, entries={**root.entries, head: pruned(inner, rest)})

"""Collects everything that is wrong with a recipe, so that it is told at once.

A reader of one value raises `RefusedError` with the bare fact; `Report` goes on with a stand-in.
Knows no schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mixmerge.errors import Problem, RecipeError
from mixmerge.recipe.nodes import Node

MAX_PROBLEMS = 100
T = TypeVar("T")


class RefusedError(Exception):
    """A node breaks a rule. Only ever raised by readers and caught by `Report.read`."""

    def __init__(self, node: Node, rule: str, cure: str = "", found: str | None = None) -> None:
        super().__init__(rule)
        value = node.excerpt() if found is None else found
        self.problem = Problem(rule, value, node.where(), cure)


class Report:
    """The problems and notes of one recipe, in the order they were met."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def add(self, problem: Problem) -> None:
        """Record a problem; after `MAX_PROBLEMS` the rest of the recipe is not looked at."""
        self.problems.append(problem)
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(Problem(f"stopped after {MAX_PROBLEMS} problems"))
            self.raise_if_any()

    def wrong(self, node: Node, rule: str, cure: str = "", found: str | None = None) -> None:
        """Record that `node` breaks `rule`."""
        self.add(RefusedError(node, rule, cure, found).problem)

    def note(self, node: Node, text: str) -> None:
        """Record something accepted without effect."""
        self.notes.append(f"{node.where()}: {text}")

    def read(self, node: Node, reader: Callable[[Node], T], stand_in: T) -> T:
        """What `reader` makes of the node; `stand_in` where it is wrong (no recipe is handed out then)."""
        try:
            return reader(node)
        except RefusedError as wrong:
            self.add(wrong.problem)
            return stand_in

    def raise_if_any(self) -> None:
        """Raise one RecipeError with everything recorded."""
        if self.problems:
            raise RecipeError(self.problems)

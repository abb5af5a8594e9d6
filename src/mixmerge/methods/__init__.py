"""The merge methods: one literal table. To add one, write its function and declaration and add a line here."""

from __future__ import annotations

from collections.abc import Mapping

from mixmerge.methods import linear, task_vectors
from mixmerge.methods._method import Coefficients, Dialect, Method, Number, Parameter, Values

METHODS: Mapping[tuple[Dialect, str], Method] = {
    ("paper", "linear"): linear.PAPER,
    ("paper", "task_arithmetic"): task_vectors.PAPER_TASK_ARITHMETIC,
    ("paper", "ties"): task_vectors.PAPER_TIES,
    ("mergekit", "linear"): linear.MERGEKIT,
    ("mergekit", "task_arithmetic"): task_vectors.TASK_ARITHMETIC,
    ("mergekit", "ties"): task_vectors.TIES,
    ("mergekit", "dare_linear"): task_vectors.DARE_LINEAR,
    ("mergekit", "dare_ties"): task_vectors.DARE_TIES,
}


def method_names() -> tuple[str, ...]:
    """Every name a recipe may use as `merge_method`, each once, in the order of the table."""
    return tuple(dict.fromkeys(name for _, name in METHODS))


__all__ = ["METHODS", "Coefficients", "Dialect", "Method", "Number", "Parameter", "Values", "method_names"]

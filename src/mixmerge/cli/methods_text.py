"""Merge methods explained from their declarations: for the terminal, and as the page docs/methods.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from mixmerge.methods import METHODS, Method, Parameter, method_names

_BASE: Final = {
    "required": "required",
    "optional": "optional; it is a source like any other",
    "donor": "optional; only its files are used (config, tokenizer)",
}
_SPARSIFY: Final = {
    "none": "",
    "trim": "the largest changes are kept (exact)",
    "bernoulli": "elements are dropped at random (addressed by seed, tensor, source, element)",
}
PREAMBLE: Final = """# Merge methods

This page is printed by `mixmerge methods --markdown` from the declarations in `src/mixmerge/methods/`; a test keeps the
two alike. On the command line, `mixmerge methods NAME` shows one method.

Notation: base b, sources x_i (i = 1..n), task vectors d_i = x_i - b, weights w_i, ratio r_i (sums to 1), scale s,
N elements of a whole model, n elements of a tensor. All arithmetic is float32 on widened inputs, with one rounding to
the output's dtype at the end.

A method means what its dialect says. `paper` is the M³ paper (arXiv 2502.15434) and the papers it builds on;
`mergekit` is what a mergekit YAML means. Where the recipe does not say, linear, task_arithmetic and ties are `paper`
with `mixup` or `dare`, and `mergekit` otherwise. `mixmerge plan` prints which one was chosen.
"""


def listing() -> str:
    """One line a method: name, dialects, summary."""
    rows = [(name, ", ".join(m.dialect for m in _forms(name)), _forms(name)[0].summary) for name in method_names()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:<{widths[0]}}  {dialects:<{widths[1]}}  {summary}" for name, dialects, summary in rows]
    return "\n".join([*lines, "", "mixmerge methods NAME explains one."])


def explained(name: str) -> str:
    """One method in every dialect it has."""
    return "\n\n".join("\n".join(_block(method)) for method in _forms(name))


def page() -> str:
    """All methods as Markdown."""
    parts = [PREAMBLE]
    for name in method_names():
        parts.append(f"## {name}\n")
        parts += ["\n".join(_section(method)) + "\n" for method in _forms(name)]
    return "\n".join(parts)


def _forms(name: str) -> Sequence[Method]:
    return [method for (_, known), method in METHODS.items() if known == name]


def _facts(method: Method) -> Iterator[tuple[str, str]]:
    yield "formula", method.formula
    yield "source", method.citation
    yield "base", _BASE[method.base]
    if _SPARSIFY[method.sparsify]:
        yield "before", _SPARSIFY[method.sparsify]


def _block(method: Method) -> Iterator[str]:
    yield f"{method.name}, dialect {method.dialect}"
    yield f"  {method.summary}"
    for head, text in _facts(method):
        yield f"  {head:<9}{text}"
    if not method.parameters:
        yield "  no parameters"
    for parameter in method.parameters:
        yield f"  {parameter.name}: {_kind(parameter)}, {_default(parameter)}; {_level(parameter)}"
        yield f"    {_meaning(parameter)}"


def _section(method: Method) -> Iterator[str]:
    yield f"### {method.name}, dialect {method.dialect}\n"
    yield f"{method.summary}\n"
    yield from (f"- {head}: {text}" for head, text in _facts(method))
    if not method.parameters:
        yield "- no parameters"
        return
    yield "\n| parameter | value | default | where | meaning |\n|---|---|---|---|---|"
    for one in method.parameters:
        default = "required" if one.default is None else _word(one.default)
        yield f"| `{one.name}` | {_kind(one)} | {default} | {_level(one)} | {_meaning(one)} |"


def _kind(parameter: Parameter) -> str:
    if parameter.kind == "flag":
        return "true or false"
    if parameter.kind == "choice":
        return " or ".join(parameter.choices)
    kind = "a number"
    low, high = parameter.low, parameter.high
    if math.isfinite(low) and math.isfinite(high):
        return f"{kind} from {low:g} to {high:g}"
    if math.isfinite(low) or math.isfinite(high):
        return f"{kind}, at least {low:g}" if math.isfinite(low) else f"{kind}, at most {high:g}"
    return kind


def _default(parameter: Parameter) -> str:
    return "required" if parameter.default is None else f"default {_word(parameter.default)}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _level(parameter: Parameter) -> str:
    if not parameter.varies:
        return "one value for the whole merge"
    return "per source, slice or recipe" if parameter.per_source else "per slice or recipe"


def _meaning(parameter: Parameter) -> str:
    also = f" (also called {', '.join(parameter.aliases)})" if parameter.aliases else ""
    mixed = "; supplied by the ratio where the recipe has `mixup`" if parameter.name == "weight" else ""
    return parameter.meaning + also + mixed

"""mixmerge methods: every merge method, from its declaration."""

from __future__ import annotations

from typing import Annotated

from mixmerge.cli.failures import UsageError
from mixmerge.cli.options import argument, option
from mixmerge.errors import Problem, nearest


def methods(
    name: Annotated[str | None, argument("[NAME]", "One method; all where left out.")] = None,
    markdown: Annotated[bool, option("--markdown", help="Print the page docs/methods.md.")] = False,
) -> None:
    """List the merge methods, or explain one: its formula and parameters in every dialect it has."""
    from mixmerge.cli import methods_text
    from mixmerge.methods import method_names
    from mixmerge.recipe.parameters import MERGEKIT_METHODS, STACKING

    if markdown:
        print(methods_text.page(), end="")
    elif name is None:
        print(methods_text.listing())
    elif name in method_names():
        print(methods_text.explained(name))
    elif name in MERGEKIT_METHODS:
        cure = STACKING if name == "passthrough" else f"this version has: {', '.join(method_names())}"
        raise UsageError(Problem(f"method {name} is known to mergekit but not in this version", "", "", cure))
    else:
        raise UsageError(Problem(f"there is no method {name!r}", "", "", nearest(name, method_names())))

"""Options that several commands share, as dataclasses: one field an option, read by name.

`spread` turns a function that takes such dataclasses into one that takes their fields, which is what typer needs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

Words = list[str]


def option(*names: str, metavar: str | None = None, help: str) -> Any:
    """One option; values are text, so that the library checks them and names the option in its message."""
    return typer.Option(*names, metavar=metavar, help=help, show_default=False)


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeOptions:
    """What is merged: a recipe file, or `--method` with models; and what is said beside it."""

    paths: Annotated[Words | None, typer.Argument(metavar="RECIPE OUT | MODEL", show_default=False,
        help="A recipe file (and the output folder); with --method, the models.")] = None
    out: Annotated[str | None, option("--out", "-o", metavar="DIR", help="Output folder.")] = None
    method: Annotated[str | None, option("--method", metavar="NAME", help="Merge without a recipe file.")] = None
    base: Annotated[str | None, option("--base", metavar="MODEL", help="Base model. With --method.")] = None
    weight: Annotated[Words | None, option("--weight", metavar="W[,W...]",
        help="One for all models, or one each. With --method.")] = None
    density: Annotated[str | None, option("--density", metavar="X",
        help="Fraction of each task vector kept. With --method.")] = None
    scale: Annotated[str | None, option("--scale", metavar="X", help="Factor of task vectors. With --method.")] = None
    parameter: Annotated[Words | None, option("--parameter", "-p", metavar="NAME=VALUE",
        help="Any other parameter, as trim=tensor; may be repeated. With --method.")] = None
    alpha: Annotated[str | None, option("--alpha", metavar="A[,A...]",
        help="Draw the ratio from Beta(A, A), or Dirichlet for more than two models.")] = None
    ratio: Annotated[str | None, option("--ratio", metavar="R[,R...]",
        help="Fix the ratio: that of the first of two models, or one number a model.")] = None
    scope: Annotated[str | None, option("--scope", metavar="WHAT",
        help="One ratio per model, layer, block or tensor.")] = None
    filter: Annotated[Words | None, option("--filter", metavar="TEXT[,TEXT...]",
        help="Mix only tensors whose name contains one of these; the rest at equal ratio.")] = None
    seed: Annotated[str | None, option("--seed", metavar="N", help="Seed of the ratio and of DARE.")] = None
    dare: Annotated[str | None, option("--dare", metavar="P", help="Drop this share of each task vector first.")] = None
    dare_rescale: Annotated[bool | None, typer.Option("--dare-rescale/--no-dare-rescale", show_default=False,
        help="Divide what DARE keeps by 1 - P.")] = None
    dare_strategy: Annotated[str | None, option("--dare-strategy", metavar="random|magnitude",
        help="What DARE drops.")] = None
    dare_of: Annotated[str | None, option("--dare-of", metavar="delta|weight", help="What DARE masks.")] = None
    dialect: Annotated[str | None, option("--dialect", metavar="paper|mergekit",
        help="Whose formulas; the plan shows what is chosen.")] = None
    dtype: Annotated[str | None, option("--dtype", metavar="NAME", help="Of the output, as bfloat16.")] = None
    on_mismatch: Annotated[str | None, option("--on-mismatch", metavar="error|base",
        help="Tensors whose shapes differ: refuse, or copy the base's.")] = None
    tokenizer_source: Annotated[str | None, option("--tokenizer-source", metavar="MODEL",
        help="The model whose tokenizer files are kept.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """How the work is done; none of it changes the merged bytes, but for how they are divided into files."""

    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Bound of the whole process.")] = "1GiB"
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", min=1, show_default="one a core",
        help="Threads that compute.")] = None
    shard_size: Annotated[str, typer.Option("--shard-size", metavar="SIZE", help="Bytes of weights a file.")] = "5GB"
    allow_nonfinite: Annotated[bool, typer.Option("--allow-nonfinite",
        help="Go on where a source holds NaN or infinity.")] = False
# fmt: on


def spread(function: Callable[..., None]) -> Callable[..., None]:
    """The function with every dataclass among its parameters replaced by that dataclass's fields.

    A function without such parameters is returned as it is.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    if not groups:
        return function

    def called(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})  # type: ignore[operator]
            for name, group in groups.items()
        }
        function(**made, **values)

    own = inspect.signature(function).parameters.values()
    parameters = [_parameter(p.name, hints[p.name], p.default) for p in own if p.name not in groups]
    shared = [one for group in groups.values() for one in _parameters(group)]
    called.__signature__ = inspect.Signature([*shared, *parameters])  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in (*shared, *parameters)}
    called.__doc__ = function.__doc__
    return called


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        _parameter(field.name, hints[field.name], field.default if field.default is not MISSING else inspect._empty)
        for field in fields(group)
    ]


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

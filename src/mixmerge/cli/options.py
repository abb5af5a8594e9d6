"""How options are declared, and the groups of them that several commands share: one field an option, read by name.

A declaration is the annotation of a parameter of a command's function, or of a field of a dataclass among them;
`parser` makes commands of it. Annotations are values here, not text: it would be compiled piece by piece at each start.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from mixmerge.cli.failures import UsageError
from mixmerge.cli.sizes import parse_size
from mixmerge.errors import Problem

Words = list[str]
GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Declared:
    """One option, or an argument where it has no names.

    names: as they are typed; `--on/--off` can be said either way. metavar: what stands for the value. low: the least
    number. default: what holds where nothing is said, in words, if the parameter's own default does not tell it. read:
    makes a value of one word and the option's name, or raises UsageError; without it the parameter's type says how.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    low: float | None = None
    default: str = ""
    read: Callable[[str, str], Any] | None = None


def option(
    *names: str,
    help: str,
    metavar: str = "",
    low: float | None = None,
    default: str = "",
    read: Callable[[str, str], Any] | None = None,
) -> Any:
    """An option. Text that is not read here is checked by the library, which names the option in its message."""
    return Declared(names, help, metavar, low, default, read)


def size(name: str, help: str, default: str) -> Any:
    """An option that takes a number of bytes."""
    return option(name, metavar="SIZE", help=help, default=default, read=parse_size)


def numbers(text: str, option: str) -> Sequence[int]:
    """N,N words as whole numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(Problem("seeds are whole numbers", text, option, f"write them as {option} 0,1,2")) from None


def argument(metavar: str, help: str) -> Any:
    """A word without a name. metavar: as in the line of usage, `[WORD]...` for any number."""
    return Declared((), help, metavar)


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeOptions:
    """What is merged: a recipe file, or `--method` with models; and what is said beside it."""

    paths: Annotated[Words | None, argument("RECIPE [OUT] | MODEL...",
        "A recipe file and the output folder; with --method, the models.")] = None
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
    dare_rescale: Annotated[bool | None, option("--dare-rescale/--no-dare-rescale",
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

    memory: Annotated[int, size("--memory", "Bound of the whole process.", "1GiB")] = GIB
    threads: Annotated[int | None, option("--threads", metavar="N", low=1, default="one a core",
        help="Threads that compute.")] = None
    shard_size: Annotated[int, size("--shard-size", "Bytes of weights a file.", "5GB")] = 5 * 10**9
    allow_nonfinite: Annotated[bool, option("--allow-nonfinite",
        help="Go on where a source holds NaN or infinity.")] = False
# fmt: on

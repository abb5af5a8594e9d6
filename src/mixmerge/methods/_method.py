"""What a merge method declares. Knows no checkpoint, no plan and no compiled code.

A method is one function that lowers resolved parameters of one tensor to `Coefficients`, plus this declaration.
The recipe's checks, the plan's rounds, `mixmerge methods NAME` and the contract tests all read the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["paper", "mergekit"]
Number = float | int | bool | str
REQUIRED = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method.

    kind: number, flag (true or false), or choice (one of `choices`). default: REQUIRED when there is none.
    per_source: looked up at the source first, else only at the output slice and the top level. low, high: the
    inclusive range. varies: may be a gradient or a list of filters (differ between tensors).
    ignored: accepted because mergekit has it, without effect here. aliases: other names it is known by.
    """

    name: str
    kind: Literal["number", "flag", "choice"]
    meaning: str
    default: Number | None = REQUIRED
    per_source: bool = False
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    varies: bool = True
    ignored: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Values:
    """Resolved parameters of one output tensor.

    sources: for each source the values of its per-source parameters. shared: the others. ratio: one number per
    source, summing to 1, where `mixup` supplies it, else None.
    """

    sources: tuple[Mapping[str, Number], ...]
    shared: Mapping[str, Number]
    ratio: tuple[float, ...] | None

    def numbers(self, name: str) -> tuple[float, ...]:
        """The value of a per-source parameter at each source; the ratio stands in for `weight`."""
        if name == "weight" and self.ratio is not None:
            return self.ratio
        return tuple(float(source[name]) for source in self.sources)

    def number(self, name: str) -> float:
        """The value of a number that is the same for all sources. Raises KeyError for a name not declared so."""
        return float(self.shared[name])

    def flag(self, name: str) -> bool:
        """The value of a flag, as `number`."""
        return bool(self.shared[name])


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What the compiled loops need for one tensor, all float32 when used.

    rule: the row of `RULES` that combines the sources. weights: one per source. divisor: the weighted sum is divided
    by it (1 leaves it alone). scale: factor of the combined task vector.
    """

    rule: str
    weights: tuple[float, ...]
    divisor: float = 1.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Method:
    """The declaration of one method in one dialect.

    base: required, optional (a source like any other when it is listed), or donor (only files are taken from it).
    space: the combining rule sees weights x_i or task vectors d_i = x_i - b. sparsify: how task vectors are thinned
    before: `trim` keeps the largest (exact order statistics: int(density n) of each tensor, or, in a method with the
    parameter `trim`, everything at or above the threshold of what that says), `bernoulli` keeps each with probability
    density.
    lower: the method itself, from resolved values to coefficients; raises ValueError, with the rule as its text, where
    the values cannot be. formula: in the notation of the documentation.
    """

    name: str
    dialect: Dialect
    summary: str
    formula: str
    citation: str
    lower: Callable[[Values], Coefficients]
    parameters: tuple[Parameter, ...] = ()
    base: Literal["required", "optional", "donor"] = "optional"
    space: Literal["weight", "delta"] = "weight"
    sparsify: Literal["none", "trim", "bernoulli"] = "none"
    sources: tuple[int, int] = (1, 1000)

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name or alias, or None."""
        return next((p for p in self.parameters if name == p.name or name in p.aliases), None)


def normaliser(weights: tuple[float, ...], normalize: bool) -> float:
    """Sum of the weights where the method normalises, else 1; below 1e-8 in size it counts as 1 (mergekit's rule)."""
    total = sum(weights)
    return total if normalize and abs(total) >= 1e-8 else 1.0

"""Whether a method's numbers can be computed with: the loops take them as float32, where 1e39 is infinity.

It knows the numbers of planned tensors and where a recipe states them; nothing of weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from mixmerge.errors import Problem
from mixmerge.methods import Coefficients
from mixmerge.mixup import Ratio
from mixmerge.planning.types import Step
from mixmerge.recipe.types import Recipe

_LARGEST: Final = float(np.finfo(np.float32).max)


def number_problems(recipe: Recipe, steps: Sequence[Step], ratios: Mapping[str, Ratio]) -> Iterator[Problem]:
    """Weights, divisors and scales are float32 numbers: the first tensor that breaks the rule."""
    for step in steps:
        wild = [] if step.method is None else list(_wild(step.coefficients(ratios)))
        if wild:
            rule, found = "every number of a method fits float32", f"{', '.join(wild)} for {step.spec.name}"
            yield Problem(rule, found, recipe.place("parameters"), f"numbers up to {_LARGEST:.2g} in size")
            return


def _wild(numbers: Coefficients) -> Iterator[str]:
    named = [
        *(("weight", weight) for weight in numbers.weights),
        ("divisor", numbers.divisor),
        ("scale", numbers.scale),
    ]
    return (f"{name} {value:g}" for name, value in named if not abs(value) <= _LARGEST)

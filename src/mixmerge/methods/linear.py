"""Weighted averages of the sources themselves."""

from __future__ import annotations

from mixmerge.methods._method import Coefficients, Method, Parameter, Values


def average(values: Values) -> Coefficients:
    """Mean of the sources, or their sum weighted by the ratio (M3, arXiv 2502.15434, average merging)."""
    if values.ratio is not None:
        return Coefficients("sum", values.ratio)
    return Coefficients("sum", (1.0,) * len(values.sources), divisor=float(len(values.sources)))


def weighted(values: Values) -> Coefficients:
    """Sum of w x, divided by the sum of w when `normalize`. Raises ValueError where that sum is zero."""
    weights, normalize = values.numbers("weight"), values.flag("normalize")
    if normalize and abs(sum(weights)) < 1e-8:
        raise ValueError("the weights of a normalised average do not sum to zero")
    return Coefficients("sum", weights, sum(weights) if normalize else 1.0)


WEIGHT = Parameter("weight", "number", "contribution of this source", per_source=True)

PAPER = Method(
    name="linear",
    dialect="paper",
    summary="Average of the source models; with mixup, averaged in the drawn ratio.",
    formula="plain: mean of x_i        with mixup: sum of r_i x_i",
    citation="Model soups, arXiv 2203.05482; mixup of arXiv 2502.15434",
    lower=average,
    base="donor",
)

MERGEKIT = Method(
    name="linear",
    dialect="mergekit",
    summary="Weighted average of the source models.",
    formula="sum of w_i x_i, divided by sum of w_i if normalize",
    citation="Model soups, arXiv 2203.05482",
    lower=weighted,
    parameters=(WEIGHT, Parameter("normalize", "flag", "divide by the sum of the weights", True)),
)

"""Methods on task vectors d_i = x_i - b: task arithmetic, TIES, and DARE before either."""

from __future__ import annotations

from mixmerge.methods._method import Coefficients, Method, Parameter, Values, normaliser
from mixmerge.methods.linear import WEIGHT


def arithmetic(values: Values) -> Coefficients:
    """b + s sum d_i, or b + s sum r_i d_i with mixup: the total weight is then 1, not n."""
    weights = values.ratio if values.ratio is not None else (1.0,) * len(values.sources)
    return Coefficients("delta_sum", weights, scale=values.number("scale"))


def elected_mean(values: Values) -> Coefficients:
    """Disjoint mean of the trimmed task vectors that agree with the elected sign; mixed by the ratio with mixup."""
    scale = values.number("scale")
    if values.ratio is None:
        return Coefficients("elect_mean", (1.0,) * len(values.sources), scale=scale)
    rule = "elect_mix_pair" if len(values.ratio) == 2 else "elect_mix"
    return Coefficients(rule, values.ratio, scale=scale)


def weighted_arithmetic(values: Values) -> Coefficients:
    """b + lambda sum w d, the sum divided by the sum of w when `normalize`."""
    weights = values.numbers("weight")
    divisor = normaliser(weights, values.flag("normalize"))
    return Coefficients("delta_sum", weights, divisor, values.number("lambda"))


def weighted_consensus(values: Values) -> Coefficients:
    """Weighted task vectors that agree with the sign of their weighted sum, divided by their own weights."""
    rule = "consensus_normalized" if values.flag("normalize") else "consensus"
    return Coefficients(rule, values.numbers("weight"), scale=values.number("lambda"))


SCALE = Parameter("scale", "number", "factor s of the merged task vector", 1.0, aliases=("lambda",))
LAMBDA = Parameter("lambda", "number", "factor of the merged task vector", 1.0, aliases=("scale",))
TRIM_DENSITY = Parameter(
    "density",
    "number",
    "fraction of each task vector kept by magnitude",
    0.5,
    per_source=True,
    low=0.0,
    high=1.0,
)
DENSITY = Parameter(
    "density",
    "number",
    "fraction of each task vector's elements kept",
    1.0,
    per_source=True,
    low=0.0,
    high=1.0,
)
TRIM = Parameter(
    "trim",
    "choice",
    "what the magnitudes are ranked over: the whole model (the paper) or each tensor",
    "model",
    choices=("model", "tensor"),
    varies=False,
)
INT8_MASK = Parameter("int8_mask", "flag", "mergekit's storage of masks; no effect here", False, ignored=True)


def _normalize(default: bool) -> Parameter:
    return Parameter("normalize", "flag", "divide by the sum of the weights that took part", default)


def _rescale(default: bool) -> Parameter:
    return Parameter("rescale", "flag", "restore each tensor's L1 norm after sparsifying", default)


PAPER_TASK_ARITHMETIC = Method(
    name="task_arithmetic",
    dialect="paper",
    summary="Base plus the sum of the task vectors; with mixup, their mixture in the drawn ratio.",
    formula="plain: b + s sum of d_i        with mixup: b + s sum of r_i d_i",
    citation="arXiv 2212.04089; mixup of arXiv 2502.15434",
    lower=arithmetic,
    parameters=(SCALE,),
    base="required",
    space="delta",
)

PAPER_TIES = Method(
    name="ties",
    dialect="paper",
    summary="Trim small changes, elect a sign per element, merge what agrees; with mixup, in the drawn ratio.",
    formula=(
        "k = floor(N (1 - density)); keep |d_i| >= k-th smallest; sign of the unweighted sum "
        "(0: the majority sign of the whole model); p_i = agreeing d_i; plain: b + s sum p_i / count; "
        "with mixup: b + s (r_1 p_1 + r_2 p_2), a lone survivor keeps its size"
    ),
    citation="TIES, arXiv 2306.01708; mixup of arXiv 2502.15434",
    lower=elected_mean,
    parameters=(TRIM_DENSITY, SCALE, TRIM),
    base="required",
    space="delta",
    sparsify="trim",
)

TASK_ARITHMETIC = Method(
    name="task_arithmetic",
    dialect="mergekit",
    summary="Base plus the weighted sum of the task vectors.",
    formula="b + lambda sum of w_i d_i, the sum divided by sum of w_i if normalize",
    citation="arXiv 2212.04089",
    lower=weighted_arithmetic,
    parameters=(WEIGHT, _normalize(False), LAMBDA),
    base="required",
    space="delta",
)

TIES = Method(
    name="ties",
    dialect="mergekit",
    summary="Per tensor: keep the largest changes, agree on a sign, sum what agrees.",
    formula=(
        "keep exactly int(density n), one at least, of each tensor by |d_i| (equal: lowest index first); "
        "sign of sum w_i d_i (0 counts as +); b + lambda sum of agreeing w_i d_i, divided by the sum of their w_i if "
        "normalize"
    ),
    citation="TIES, arXiv 2306.01708",
    lower=weighted_consensus,
    parameters=(WEIGHT, DENSITY, _normalize(True), _rescale(False), LAMBDA, INT8_MASK),
    base="required",
    space="delta",
    sparsify="trim",
)

DARE_LINEAR = Method(
    name="dare_linear",
    dialect="mergekit",
    summary="Drop random elements of the task vectors, then sum them.",
    formula="m_i keeps each element with probability density; b + lambda sum of w_i (m_i d_i rescaled)",
    citation="DARE, arXiv 2311.03099",
    lower=weighted_arithmetic,
    parameters=(WEIGHT, DENSITY, _normalize(False), _rescale(True), LAMBDA, INT8_MASK),
    base="required",
    space="delta",
    sparsify="bernoulli",
)

DARE_TIES = Method(
    name="dare_ties",
    dialect="mergekit",
    summary="Drop random elements of the task vectors, then agree on a sign and sum what agrees.",
    formula="m_i keeps each element with probability density; then the consensus of ties on the rescaled m_i d_i",
    citation="DARE, arXiv 2311.03099; TIES, arXiv 2306.01708",
    lower=weighted_consensus,
    parameters=(WEIGHT, DENSITY, _normalize(False), _rescale(True), LAMBDA, INT8_MASK),
    base="required",
    space="delta",
    sparsify="bernoulli",
)

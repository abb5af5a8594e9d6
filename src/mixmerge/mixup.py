"""Ratio laws of M3 (arXiv 2502.15434): Beta for two sources, Dirichlet for more, or a fixed ratio. Knows no weights.

A ratio is the law's inverse distribution function at addressed uniform numbers, rounded to 6 decimals: that number is
used, printed and recorded, and rebuilds a merge without the law.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mixmerge.rng import uniform

Ratio = tuple[float, ...]
Scope = Literal["model", "layer", "block", "tensor"]

DECIMALS: Final = 6
MAX_ALPHA: Final = 1e12
"""Concentration beyond which a ratio is the equal one in all its decimals, but for single draws in millions."""

MIN_ALPHA: Final = 1e-300
"""Smallest concentration above 0 whose law can be computed; a ratio has been 0 and 1 in all decimals long before."""

OUTSIDE: Final = "outside"
"""Group, in scope `layer`, of the tensors that belong to no layer: embeddings, final norm, head."""

_ATTENTION: Final = re.compile(r"(^|[._])(self_attn|cross_attn|attn|attention|self_attention|mixer)([._]|$)")
_MLP: Final = re.compile(r"(^|[._])(mlp|ffn|feed_forward|block_sparse_moe|experts?|fc1|fc2)([._]|$)")


@dataclass(frozen=True, slots=True)
class RatioLaw:
    """How ratios of n sources are drawn. alpha: n numbers from MIN_ALPHA to MAX_ALPHA; Beta(alpha[0], alpha[1])
    for n = 2, else Dirichlet.

    All alpha zero: the first source alone (the paper's meaning of alpha = 0).
    """

    alpha: tuple[float, ...]

    @classmethod
    def symmetric(cls, alpha: Sequence[float], sources: int) -> RatioLaw:
        """From one number for all sources, or one each."""
        return cls(tuple(alpha) if len(alpha) == sources else (float(alpha[0]),) * sources)

    @property
    def dimensions(self) -> int:
        """Uniform numbers one ratio needs."""
        return len(self.alpha) - 1

    def ratio(self, coordinates: Sequence[float]) -> Ratio:
        """The ratio at coordinates u in (0, 1), `dimensions` of them; Dirichlet by breaking a stick with Betas."""
        if not any(self.alpha):
            return (1.0, *(0.0 for _ in self.alpha[1:]))
        left, parts = 1.0, []
        for index, u in enumerate(coordinates):
            share = _beta_quantile(self.alpha[index], sum(self.alpha[index + 1 :]), u)
            parts.append(left * share)
            left *= 1.0 - share
        return rounded((*parts, left))

    def __str__(self) -> str:
        numbers = ", ".join(f"{a:g}" for a in self.alpha)
        return f"{'Beta' if len(self.alpha) == 2 else 'Dirichlet'}({numbers})"


def _beta_quantile(a: float, b: float, u: float) -> float:
    """The number below which a share u of Beta(a, b) lies. The default law, the arcsine law, has a closed form."""
    if a == b == 0.5:
        return math.sin(0.5 * math.pi * u) ** 2
    from scipy.special import betaincinv  # as long to import as the rest of a plan takes

    return float(betaincinv(a, b, u))


def rounded(ratio: Sequence[float]) -> Ratio:
    """Rounded to 6 decimals so that the sum is 1: the largest part takes up the difference."""
    units = 10**DECIMALS
    parts = [round(part * units) for part in ratio]
    parts[max(range(len(parts)), key=parts.__getitem__)] += units - sum(parts)
    return tuple(part / units for part in parts)


def equal_ratio(sources: int) -> Ratio:
    """The centre: every source alike. Not rounded: it is not drawn."""
    return (1.0 / sources,) * sources


def draw(law: RatioLaw, seed: int, group: str) -> Ratio:
    """The ratio of one group, from uniform numbers addressed by (seed, group, dimension)."""
    return law.ratio([uniform(seed, "ratio", group, axis) for axis in range(law.dimensions)])


def draw_groups(law: RatioLaw, seed: int, groups: Sequence[str]) -> Mapping[str, Ratio]:
    """One ratio a group, in the order of the groups; a group's ratio does not depend on the others."""
    return {group: draw(law, seed, group) for group in groups}


def group_of(name: str, layer: int | None, scope: Scope) -> str:
    """The group a tensor's ratio is drawn for. layer: its layer number, None outside the layers."""
    if scope == "model":
        return "model"
    if scope == "tensor":
        return name
    if scope == "layer":
        return OUTSIDE if layer is None else f"layer {layer}"
    return "attention" if _ATTENTION.search(name) else "mlp" if _MLP.search(name) else "other"

"""Racing: evaluate draws on growing subsets of the same items, and drop those that are clearly not the best.

The rule. For draws a and b and item i let d_i = (score of a - score of b) in [-1, 1], scaled by the item's weight.
If b is the best draw, the mean of d is at most 0, so a bettor who starts with 1 and stakes a fraction lambda of its
capital on every d_i holds W(a, b) = prod(1 + lambda d_i), whose expectation never rises, whatever the items look like.
Capitals over a fixed grid of lambda, and over all rivals a, are averaged: an average of such capitals is one again,
however strongly the draws are correlated. Draw b is dropped when the average capital against it reaches 1 / alpha.
By Ville's inequality that happens at any time to the best draw, or to any of several equally good ones, with
probability at most alpha: no correction for the number of looks or of draws is needed (Waudby-Smith and Ramdas 2024,
"Estimating means of bounded random variables by betting"; Vovk and Wang 2021, "E-values").

It knows scores and item numbers; it knows no models and no tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

STAKES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Fractions of the capital that are staked; each gets an equal part of the capital at the start."""


@final
@dataclass(frozen=True, slots=True)
class Round:
    """What to evaluate next. items: item numbers, in the order scores are told. draws: who has not answered yet."""

    number: int
    items: Indices
    draws: tuple[int, ...]


@final
class Race:
    """Ask for a round, tell the scores of its draws, until `finished`.

    n_items: validation items. draws: their numbers, any distinct integers. alpha: the probability with which the best
    draw may be dropped. seed: of the order in which items are revealed. first: items of the first round.
    growth: by what the number of revealed items grows a round. weights: of the items in the mean (see `item_weights`).
    The same arguments and told scores give the same race, in whatever order draws answer within a round.
    """

    def __init__(
        self,
        n_items: int,
        draws: Sequence[int],
        *,
        alpha: float = 0.05,
        seed: int = 0,
        first: int = 16,
        growth: float = 2.0,
        weights: Sequence[float] | Floats | None = None,
    ) -> None: ...

    def ask(self) -> Round | None:
        """The current round with the draws that have still to answer it; None when the race is finished."""

    def tell(self, draw: int, scores: Sequence[float] | Floats) -> None:
        """The scores in [0, 1] of a draw on the items of the current round. The last answer ends the round."""

    def withdraw(self, draw: int) -> None:
        """A draw that failed takes no further part."""

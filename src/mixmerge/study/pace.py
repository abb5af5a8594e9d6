"""How long the draws that are left will take, from when those of this run ended. Knows no clock and no draws."""

from __future__ import annotations

from collections.abc import Sequence


def time_left(ended: Sequence[float], at_once: int, remaining: int) -> float | None:
    """Seconds until `remaining` more draws have ended; None before there is anything to tell it from.

    ended: when each draw of this run ended, in seconds, ascending. at_once: draws at work at a time, >= 1. The first of
    each worker is left out of the rate: it loads the model and compiles.
    """
    if not remaining:
        return 0.0
    if len(ended) <= at_once:
        return None
    return remaining * (ended[-1] - ended[at_once - 1]) / (len(ended) - at_once)

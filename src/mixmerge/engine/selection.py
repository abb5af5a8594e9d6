"""The exact k-th smallest of any number of float32 magnitudes, from histograms over their bit patterns.

Magnitudes order as their bit patterns do. Each round counts what lies below a window of patterns and bins what lies
inside; the window then shrinks to one bin, until a bin is one pattern. A window that a sample suggested and that
proves wrong costs a round, never the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

PATTERNS: Final = 2**31
"""Bit patterns of non-negative float32, NaN included."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The search for one order statistic. rank: from 1. low, width: the window in bit patterns.

    found: the pattern of the k-th smallest once it is known; then below: how many are smaller, equal: how many equal.
    """

    rank: int
    low: int = 0
    width: int = PATTERNS
    found: int | None = None
    below: int = 0
    equal: int = 0

    def shift(self, bins: int) -> int:
        """Right shift from offset in the window to bin, with at most `bins` bins (a power of two)."""
        return max(0, (self.width - 1).bit_length() - (bins.bit_length() - 1))

    def window(self, bins: int) -> tuple[int, int, int]:
        """What a histogram kernel is told: lowest pattern, number of patterns, shift."""
        return self.low, self.width, self.shift(bins)

    def narrowed(self, below: int, table: np.ndarray[Any, np.dtype[np.int64]]) -> Selection:
        """After a round over all elements with `window(len(table))`."""
        inside = int(table.sum())
        if self.rank <= below:
            return replace(self, low=0, width=self.low)
        if self.rank > below + inside:
            high = self.low + self.width
            return replace(self, low=high, width=PATTERNS - high)
        totals = below + np.cumsum(table)
        place = int(np.searchsorted(totals, self.rank))
        shift = self.shift(len(table))
        low = self.low + (place << shift)
        if shift:
            return replace(self, low=low, width=min(1 << shift, self.low + self.width - low))
        equal = int(table[place])
        return replace(self, found=low, below=int(totals[place]) - equal, equal=equal)

    @property
    def low_value(self) -> float:
        """The magnitude at the window's lower end: an estimate while the search goes on."""
        return float(np.uint32(self.low).view(np.float32))

    @property
    def value(self) -> float:
        """The magnitude found."""
        assert self.found is not None, "the search has not ended"
        return float(np.uint32(self.found).view(np.float32))


def guessed(rank: int, total: int, sample: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[Selection, float]:
    """A first window around the rank's place in a sample of the magnitudes, and the sample's own estimate.

    sample: (m,), spread evenly over the `total` magnitudes; reordered in place. The window is eight standard errors
    wide on each side, in case neighbours are alike.
    """
    size = sample.size
    share = rank / total
    middle = min(max(int(share * size), 0), size - 1)
    spread = 8 * (size * share * (1 - share)) ** 0.5 + 64
    left, right = max(int(middle - spread), 0), min(int(middle + spread), size - 1)
    sample.partition((left, middle, right))
    low = int(sample[left].view(np.uint32)) if left > 0 else 0
    high = int(sample[right].view(np.uint32)) + 1 if right < size - 1 else PATTERNS
    return Selection(rank, low, high - low), float(sample[middle])

"""Where a name stands beside its mark so that it hides the least. Knows boxes and lines, no chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

Point = tuple[float, float]

LETTER: Final = 7.0
"""Width of a letter; the font is unknown, so a wide one is assumed."""

ABOVE, BELOW = 9.5, 3.5  # what a line of letters needs from where it stands
STEP: Final = 3.0  # a line is looked at in pieces so long

PLACES: Final = (
    (9.0, 4.0, "start"), (-9.0, 4.0, "end"), (0.0, -11.0, "middle"), (0.0, 20.0, "middle"),
    (8.0, -7.0, "start"), (8.0, 16.0, "start"), (-8.0, -7.0, "end"), (-8.0, 16.0, "end"),
    (0.0, -23.0, "middle"), (0.0, 32.0, "middle"), (9.0, -19.0, "start"), (9.0, 28.0, "start"),
    (-9.0, -19.0, "end"), (-9.0, 28.0, "end"), (22.0, 4.0, "start"), (-22.0, 4.0, "end"),
)  # fmt: skip
"""From a mark to its name, and where the name is anchored; the first that hides nothing is taken."""


@dataclass(frozen=True, slots=True)
class Box:
    """What is drawn there; weight: how bad it is to hide a square pixel of it."""

    left: float
    top: float
    right: float
    bottom: float
    weight: float = 1.0

    def shared(self, other: Box) -> float:
        """Square pixels in both."""
        across = min(self.right, other.right) - max(self.left, other.left)
        up = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(up, 0.0)

    def holds(self, other: Box) -> bool:
        """Whether the other is wholly inside."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


def around(at: Point, reach: float, weight: float = 1.0) -> Box:
    """The box of a mark that reaches so far to every side."""
    return Box(at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach, weight)


def along(points: Sequence[Point], weight: float) -> list[Box]:
    """A line through points as little boxes."""
    boxes = []
    for (x, y), (u, v) in pairwise(points):
        pieces = max(1, round(math.hypot(u - x, v - y) / STEP))
        middles = ((index + 0.5) / pieces for index in range(pieces))
        boxes += [around((x + t * (u - x), y + t * (v - y)), STEP / 2, weight) for t in middles]
    return boxes


@dataclass(slots=True)
class Room:
    """The space for names. taken: what is drawn there; every placed name joins it."""

    bounds: Box
    taken: list[Box] = field(default_factory=list)

    def place(self, name: str, at: Point) -> tuple[float, float, str]:
        """Where a name goes: x, y and anchor of the text."""
        width = len(name) * LETTER
        boxes = [_letters(at[0] + dx, at[1] + dy, anchor, width) for dx, dy, anchor in PLACES]
        best = min(range(len(PLACES)), key=lambda index: self._hidden(boxes[index]))
        left, top, right, bottom = boxes[best].left, boxes[best].top, boxes[best].right, boxes[best].bottom
        self.taken.append(Box(left, top, right, bottom, 3.0))
        dx, dy, anchor = PLACES[best]
        return at[0] + dx, at[1] + dy, anchor

    def _hidden(self, box: Box) -> float:
        outside = 0.0 if self.bounds.holds(box) else 1e6
        return outside + math.fsum(thing.weight * thing.shared(box) for thing in self.taken)


def _letters(x: float, y: float, anchor: str, width: float) -> Box:
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return Box(left, y - ABOVE, left + width, y + BELOW)

"""SVG as text: elements that escape what they are given, scales and ticks. Knows no chart.

Only `Svg` is markup; any other text becomes escaped character data. Jinja takes `Svg` as it is (`__html__`).
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Svg(str):
    """Markup that is safe to put into a page."""

    __slots__ = ()

    def __html__(self) -> Svg:
        return self


def el(tag: str, *children: str, **attributes: str | float | None) -> Svg:
    """One element. `class_` is class, `data_tip` is data-tip; None leaves an attribute out; numbers are rounded."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = join(children)
    return Svg(f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>")


def join(children: Iterable[str]) -> Svg:
    """Children one after the other; text that is no Svg is escaped."""
    return Svg("".join(child if isinstance(child, Svg) else html.escape(child, quote=False) for child in children))


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def picture(width: float, height: float, label: str, *children: str, class_: str = "chart") -> Svg:
    """A drawing of this size in CSS pixels that shrinks with the page. label: what a screen reader says."""
    return el(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_=class_,
    )


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start", turn: float = 0.0) -> Svg:
    """Words at a point. turn: degrees, clockwise."""
    rotate = f"rotate({turn:g} {x:.1f} {y:.1f})" if turn else None
    return el("text", words, x=x, y=y, class_=class_ or None, text_anchor=anchor, transform=rotate)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Svg:
    """A straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False, tip: str | None = None) -> Svg:
    """Straight lines through points."""
    steps = " ".join(f"{'M' if index == 0 else 'L'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(points))
    return el("path", d=steps + (" Z" if closed else ""), class_=class_, data_tip=tip)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from low to high, laid onto pixels from start to end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def inside(self, value: float) -> float:
        """Like a call, but never beyond the ends."""
        return self(min(max(value, self.low), self.high))


def span(values: Iterable[float], *, least: float = 0.0, pad: float = 0.08) -> tuple[float, float]:
    """Bounds of values with some air; at least `least` apart. (0, 1) without values."""
    known = list(values)
    if not known:
        return (0.0, 1.0)
    low, high = min(known), max(known)
    missing = max(least - (high - low), 1e-9 if high == low else 0.0) / 2
    low, high = low - missing, high + missing
    return (low - pad * (high - low), high + pad * (high - low))


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers within bounds, about so many."""
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 2.5, 5, 10)), key=lambda size: abs(math.log(size / rough)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def clipped(words: str, room: float, size: float = 12.0) -> str:
    """Words cut to about `room` pixels; the font is unknown, so a wide one is assumed.

    The ellipsis stands within: names of models often differ at their end only.
    """
    fits = max(3, int(room / (size * 0.56)))
    if len(words) <= fits:
        return words
    end = (fits - 1) // 2
    return words[: fits - 1 - end] + "…" + words[len(words) - end :]

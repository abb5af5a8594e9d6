"""What measuring found out: all that applying needs beside the plan and the ratio. Does not depend on the ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FOREVER: Final = 2**62
"""A cut behind every element: all magnitudes equal to the limit stay."""


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """One number a source each; None where the method needs none.

    limits, cuts: magnitudes above a limit stay, those equal to it up to element `cut`. dare_limits: magnitudes at or
    below go. factors: what restores the L1 norm.
    """

    limits: tuple[float, ...] | None = None
    cuts: tuple[int, ...] | None = None
    dare_limits: tuple[float, ...] | None = None
    factors: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """tensors: by output name. limits: of the whole model. majority: sign of the sum of all elected signs.

    proven: whether the majority was counted rather than estimated.
    """

    tensors: Mapping[str, TensorStatistics] = field(default_factory=dict)
    limits: tuple[float, ...] | None = None
    majority: int = 0
    proven: bool = True

    def of(self, name: str) -> TensorStatistics:
        """The statistics of one tensor; limits of the whole model where it has none of its own."""
        own = self.tensors.get(name, TensorStatistics())
        if own.limits is None and self.limits is not None:
            return TensorStatistics(self.limits, (FOREVER,) * len(self.limits), own.dare_limits, own.factors)
        return own


def to_json(statistics: Statistics) -> dict[str, Any]:
    """Plain values; floats as exact hexadecimal text."""
    tensors = {
        name: {key: _plain(getattr(found, key)) for key in ("limits", "cuts", "dare_limits", "factors")}
        for name, found in statistics.tensors.items()
    }
    return {
        "tensors": tensors,
        "limits": _plain(statistics.limits),
        "majority": statistics.majority,
        "proven": statistics.proven,
    }


def from_json(content: Mapping[str, Any]) -> Statistics:
    """The inverse of `to_json`."""
    tensors = {
        name: TensorStatistics(
            _floats(found["limits"]),
            None if found["cuts"] is None else tuple(found["cuts"]),
            _floats(found["dare_limits"]),
            _floats(found["factors"]),
        )
        for name, found in content["tensors"].items()
    }
    return Statistics(tensors, _floats(content["limits"]), content["majority"], content["proven"])


def _plain(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else [v.hex() if isinstance(v, float) else v for v in values]


def _floats(values: list[str] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float.fromhex(value) for value in values)

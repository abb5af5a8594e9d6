"""What the engine tells its listeners. It prints nothing itself; bars, logs and journals listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

COMPILING: Final = "compiling, once on this machine"
"""Name of the pass that only compiles; it moves no bytes."""


@dataclass(frozen=True, slots=True)
class PassStarted:
    """A pass over the inputs begins. name: for people, as "measuring". total: bytes it will read and write."""

    name: str
    total: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes read and written since the last event."""

    nbytes: int


@dataclass(frozen=True, slots=True)
class TensorDone:
    """An output tensor is complete. fingerprints: xxh3-128 hex digests of the output and of each input, base last."""

    name: str
    output: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restarted:
    """What was written rested on a guess that measuring proved wrong; all of it is written again."""

    reason: str


Event = PassStarted | Progress | TensorDone | Restarted
Listener = Callable[[Event], None]

"""A model as far as its vocabulary goes, and tokens as messages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mixmerge.tokens.vocabulary import Vocabulary

SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Model:
    """rows: of its embedding. vocabulary: None where it is not known. unread: what is wrong with its file then."""

    label: str
    rows: int
    vocabulary: Vocabulary | None
    unread: str = ""


def shown(tokens: Sequence[Any]) -> str:
    """The first few of many tokens."""
    text = ", ".join(repr(token) for token in tokens[:SHOWN])
    return text + (f" and {len(tokens) - SHOWN} more" if len(tokens) > SHOWN else "")

"""What a recipe says of single tokens, as far as vocabularies go: rows they get, special tokens, rows in all.

Knows no vocabularies, and of the recipe only where things stand in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Ask:
    """A token the output is to have. model: position of the model whose row stands for it; None: the usual rule.

    zero: zeros stand for it instead. other, number: that model's token or row that is meant, else its row of the same
    token. force: in every model, not only in those that lack it. place: in the recipe.
    """

    token: str
    model: int | None = None
    zero: bool = False
    other: str | None = None
    number: int | None = None
    force: bool = False
    place: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is said of single tokens. special: (role, token, place). multiple: of rows in all.

    Positions of models in `asks` are those of a plan until `within` makes them those of the models put in step.
    """

    asks: tuple[Ask, ...] = ()
    special: tuple[tuple[str, str, str], ...] = ()
    multiple: int | None = None

    def __bool__(self) -> bool:
        return bool(self.asks or self.special or self.multiple)

    def models(self) -> list[int]:
        """Positions of the models whose rows stand for tokens."""
        return [ask.model for ask in self.asks if ask.model is not None]

    def within(self, members: Sequence[int]) -> Wanted:
        """With positions among `members`."""
        place = {model: k for k, model in enumerate(members)}
        return replace(self, asks=tuple(
            ask if ask.model is None else replace(ask, model=place[ask.model]) for ask in self.asks
        ))  # fmt: skip

    def tokens(self) -> frozenset[str]:
        """Every token that is named; each gets a row."""
        return frozenset([*(ask.token for ask in self.asks), *(token for _, token, _ in self.special)])


NOTHING: Final = Wanted()

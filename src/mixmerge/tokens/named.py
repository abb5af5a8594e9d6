"""What is asked of single tokens, resolved against the models' vocabularies: rows they get, special tokens.

Knows no weights, and of the recipe only where things stand in it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mixmerge.errors import Problem
from mixmerge.tokens.model import Model, shown
from mixmerge.tokens.vocabulary import AddedToken, Vocabulary
from mixmerge.tokens.wanted import Ask, Wanted

MAX_TRIED: Final = 20_000
"""Tokens that a misspelt one is compared with."""


@dataclass(frozen=True, slots=True)
class Special:
    """The token of a role (`pad`, `bos`, `eos`) and its id in the output."""

    role: str
    token: str
    id: int


@dataclass(frozen=True, slots=True)
class Named:
    """A token of the output with a row that is said: row `row` of `model` (a position), or zeros where that is None."""

    token: str
    id: int
    model: int | None
    row: int
    force: bool


def missing(home: Vocabulary, wanted: Wanted, extra: Mapping[str, int]) -> list[str]:
    """Tokens asked for that neither the home has nor the other models bring, in the order listed."""
    return [ask.token for ask in wanted.asks if ask.token not in home.ids and ask.token not in extra]


def entry(ask: Ask, known: Sequence[Vocabulary]) -> AddedToken:
    """How a token is matched in text: as in the model it comes from, else in any that has it, else as it stands."""
    first = [] if ask.model is None else [known[ask.model]]
    for vocabulary in (*first, *known):
        if ask.token in vocabulary.added:
            return vocabulary.added[ask.token]
    like = first[0].added.get(ask.other or "") if first else None
    return AddedToken(ask.token, special=like is not None and like.special)


def resolve(
    models: Sequence[Model], known: Sequence[Vocabulary], wanted: Wanted, out: Mapping[str, int],
    maps: Sequence[npt.NDArray[np.int64]],
) -> tuple[tuple[Named, ...], list[Problem]]:  # fmt: skip
    """The row of every token asked for. out: token -> id of the output. maps: as in `Alignment`."""
    named: list[Named] = []
    problems: list[Problem] = []
    for ask in wanted.asks:
        number = out[ask.token]
        if ask.zero:
            named.append(Named(ask.token, number, None, -1, ask.force))
        elif ask.model is not None:
            row = _row(ask, models[ask.model], known[ask.model])
            if isinstance(row, Problem):
                problems.append(row)
            else:
                named.append(Named(ask.token, number, ask.model, row, ask.force))
        elif all(own[number] < 0 for own in maps):
            rule = "a token that no model has gets the row of another, or zeros"
            cure = "add `source: {kind: zero}`, or `source: {kind: model_token, model: ..., token: ...}`"
            problems.append(Problem(rule, repr(ask.token), ask.place, cure))
    return tuple(named), problems


def _row(ask: Ask, model: Model, vocabulary: Vocabulary) -> int | Problem:
    if ask.number is not None:
        if ask.number < model.rows:
            return ask.number
        rule = f"token_id is a row of {model.label}"
        return Problem(rule, f"{ask.number}, of {model.rows:,} rows", ask.place, f"write 0 to {model.rows - 1}")
    token = ask.token if ask.other is None else ask.other
    row = vocabulary.ids.get(token)
    if row is None:
        rule = f"the row of {ask.token!r} is that of a token {model.label} has"
        return Problem(rule, repr(token), ask.place, suggest(token, vocabulary))
    if row >= model.rows:
        rule = f"the row of {ask.token!r} is one {model.label} has"
        found = f"{token!r} has id {row} there, behind the last of {model.rows:,} rows"
        return Problem(rule, found, ask.place, "name another token or model, or `{kind: zero}`")
    return row


def specials(wanted: Wanted, out: Mapping[str, int], home: Vocabulary) -> tuple[tuple[Special, ...], list[Problem]]:
    """Special tokens with their ids. home: of the model whose tokenizer is kept, for suggestions."""
    found, problems = [], []
    for role, token, place in wanted.special:
        if token in out:
            found.append(Special(role, token, out[token]))
            continue
        rule = f"{role}_token is a token of the output"
        close = suggest(token, home, [ask.token for ask in wanted.asks])
        cure = f"{close} Or add it: `tokens: {{{token!r}: {{source: ...}}}}` beside it"
        problems.append(Problem(rule, repr(token), place, cure))
    return tuple(found), problems


def suggest(token: str, vocabulary: Vocabulary, more: Sequence[str] = ()) -> str:
    """The token that may have been meant; else some of the added tokens. more: tokens that come first."""
    near = [one for one in (*more, *_candidates(token, vocabulary)) if abs(len(one) - len(token)) <= 2]
    close = difflib.get_close_matches(token, near[:MAX_TRIED], n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"its added tokens: {shown(tuple(vocabulary.added))}." if vocabulary.added else "it has no added tokens."


def _candidates(token: str, vocabulary: Vocabulary) -> Iterator[str]:
    """Added tokens, then learned ones that begin alike."""
    yield from vocabulary.added
    yield from (known for known in vocabulary.ids if known[:1] == token[:1] and known not in vocabulary.added)

"""Which row of each model is each row of the output: vocabularies put in step by token, not by row.

The output keeps the tokens of one model, its home, with their ids; tokens that other models add come behind them.
Pure arithmetic on vocabularies and numbers of rows; knows no files and no weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from mixmerge.errors import Problem
from mixmerge.tokens.model import Model, shown
from mixmerge.tokens.named import Named, Special, entry, missing, resolve, specials
from mixmerge.tokens.vocabulary import LEARNED, AddedToken, Vocabulary
from mixmerge.tokens.wanted import NOTHING, Wanted

Rows = npt.NDArray[np.int64]
_FILES: Final = ", ".join(LEARNED)


@dataclass(frozen=True, slots=True)
class Added:
    """A token the output has beyond those of its home. model: position of the first that has it; None: the recipe's."""

    token: AddedToken
    id: int
    model: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """home: position of the model whose tokenizer is kept. tokens: the output's, by id. rows: of its embedding.

    needed: rows before they were rounded up to a multiple.
    maps: for each model, the row of each of the output's rows, (rows,) int64, -1 where it has none. dropped: for each
    model its tokens that the output does not have. beyond: for each model its tokens with ids behind its last row.
    named: tokens with a row that is said. special: tokens of roles that are said.
    """

    home: int
    rows: int
    needed: int
    tokens: Mapping[int, str]
    added: tuple[Added, ...]
    maps: tuple[Rows, ...]
    dropped: tuple[tuple[str, ...], ...]
    beyond: tuple[tuple[str, ...], ...]
    named: tuple[Named, ...] = ()
    special: tuple[Special, ...] = ()

    def missing(self, model: int) -> tuple[str, ...]:
        """Tokens of the output for which a model has no row, in order of ids."""
        return tuple(self.tokens[row] for row in np.flatnonzero(self.maps[model] < 0).tolist() if row in self.tokens)

    def moved(self, model: int) -> int:
        """How many rows of a model go to another place."""
        own = self.maps[model]
        return int(((own >= 0) & (own != np.arange(len(own)))).sum())


def in_step(models: Sequence[Model]) -> bool:
    """Whether every known vocabulary and every number of rows is the same: then rows are merged as they stand.

    Models whose vocabulary is not known are taken on trust: their rows are all that is known of them.
    """
    known = [model.vocabulary.ids for model in models if model.vocabulary is not None]
    return len({model.rows for model in models}) == 1 and all(ids == known[0] for ids in known[1:])


def trusted(models: Sequence[Model]) -> list[Model]:
    """Models in step, those whose vocabulary is not known with that of the others."""
    known = next((model.vocabulary for model in models if model.vocabulary is not None), None)
    return [model if model.vocabulary is not None else replace(model, vocabulary=known) for model in models]


def align(models: Sequence[Model], home: int, *, only: bool, wanted: Wanted = NOTHING) -> Alignment | list[Problem]:
    """Put vocabularies in step, or say why that cannot be.

    home: the model whose tokens, ids and tokenizer the output keeps. only: tokens of other models are dropped; else
    they are added behind, which can be done with added tokens only: a learned token would change how all text is
    split, so it has to be named. Where one model's learned vocabulary holds all others, that model is the home. wanted:
    what is said of single tokens.
    """
    known = [model.vocabulary for model in models if model.vocabulary is not None]
    problems = list(_unlike(models, named=bool(wanted)))
    if problems or len(known) < len(models):
        return problems
    extra = {} if only else _extra(models, known, home)
    asked = {ask.token for ask in wanted.asks}
    learned = {t: model for t, model in extra.items() if t not in known[model].added and t not in asked}
    if learned:
        wider = _widest(models, known, home, extra)
        if wider is None:
            return [_learned(models, home, learned)]
        home, extra = wider, {}
    added = _added(models, known, home, extra, wanted)
    if added and _next_id(known[home]) is None:
        return [_holes(models[home])]
    ids, needed = _ids(models, known[home], home, added, only=only, wanted=wanted)
    found = _aligned(models, known, home, added, ids, needed, wanted.multiple)
    named, wrong = resolve(models, known, wanted, ids, found.maps)
    special, unknown = specials(wanted, ids, known[home])
    return [*wrong, *unknown] or replace(found, named=named, special=special)


def _unlike(models: Sequence[Model], *, named: bool) -> Iterator[Problem]:
    for model in models:
        if model.vocabulary is None:
            rule = "the tokens of every model are known where vocabularies differ"
            rule += ", or the recipe names tokens" if named else ""
            cure = "put the tokenizer files it was trained with beside its weights"
            cure = "mend that file, or put the one it was trained with in its place" if model.unread else cure
            yield Problem(rule, model.unread or f"none of {_FILES}", f"model {model.label}", cure)
    kinds = {m.vocabulary.kind: m.label for m in reversed(models) if m.vocabulary is not None and m.vocabulary.kind}
    if len(kinds) > 1:
        found = ", ".join(f"{kind} in {label}" for kind, label in sorted(kinds.items()))
        rule = "vocabularies that differ are of one kind, so that a token means the same text in all"
        yield Problem(rule, found, "tokenizers", "merge models of one family")


def _extra(models: Sequence[Model], known: Sequence[Vocabulary], home: int) -> dict[str, int]:
    """Tokens with a row in some model that the home lacks -> the first model that has them; by model, then id."""
    found: dict[str, int] = {}
    for position, (model, vocabulary) in enumerate(zip(models, known, strict=True)):
        new = [t for t, row in vocabulary.ids.items() if row < model.rows and t not in known[home].ids]
        found |= {t: position for t in sorted(new, key=vocabulary.ids.__getitem__) if t not in found}
    return found


def _widest(models: Sequence[Model], known: Sequence[Vocabulary], home: int, extra: Mapping[str, int]) -> int | None:
    """The first model that has every token of the home and every other one, each with a row."""
    for position, (model, vocabulary) in enumerate(zip(models, known, strict=True)):
        ids = vocabulary.ids
        if all(ids.get(t, model.rows) < model.rows for t in (*known[home].ids, *extra)):
            return position
    return None


def _learned(models: Sequence[Model], home: int, learned: Mapping[str, int]) -> Problem:
    owners = sorted({models[position].label for position in learned.values()})
    rule = "tokens of a learned vocabulary are those of one model's tokenizer: added to another, they split text anew"
    cure = "say whose tokens are kept, e.g. `tokenizer_source: base`; the others' own tokens are then dropped"
    found = f"{len(learned)} tokens that {models[home].label} lacks, e.g. {shown(tuple(learned))}"
    return Problem(rule, found, f"models {', '.join(owners)}, tokenizer", cure)


def _holes(model: Model) -> Problem:
    rule = "tokens are added to a tokenizer that numbers its own without gaps"
    cure = "name a model whose tokens are kept as they are: `tokenizer_source: ...`"
    return Problem(rule, "gaps between ids", f"model {model.label}, tokenizer", cure)


def _next_id(vocabulary: Vocabulary) -> int | None:
    """The id a tokenizer gives the next added token: their number. None where gaps make that uncertain."""
    numbers = set(vocabulary.ids.values())
    return len(numbers) if len(numbers) == max(numbers) + 1 else None


def _added(
    models: Sequence[Model], known: Sequence[Vocabulary], home: int, extra: Mapping[str, int], wanted: Wanted
) -> tuple[Added, ...]:
    """Tokens the home lacks, in order of their ids: those of other models, then those only the recipe asks for."""
    asks = {ask.token: ask for ask in wanted.asks}
    roles = {token for _, token, _ in wanted.special}
    own = {t: known[position].added.get(t, AddedToken(t)) for t, position in extra.items()}
    tokens = {t: entry(asks[t], known) if t in asks else own[t] for t in (*extra, *missing(known[home], wanted, extra))}
    start, found = _next_id(known[home]) or 0, []
    for number, (token, stated) in enumerate(tokens.items()):
        pairs = enumerate(zip(models, known, strict=True))
        first = next((k for k, (m, v) in pairs if v.ids.get(token, m.rows) < m.rows), None)
        special = stated.special or token in roles
        found.append(Added(replace(stated, special=special), start + number, first))
    return tuple(found)


def _ids(
    models: Sequence[Model], own: Vocabulary, home: int, added: Sequence[Added], *, only: bool, wanted: Wanted
) -> tuple[Mapping[str, int], int]:
    """Token -> id in the output, and the rows it needs. `only`: tokens behind the home's last row are none, unless
    the recipe names them."""
    out = {**own.ids, **{one.token.content: one.id for one in added}}
    if not only:
        return out, max(max(out.values()) + 1, *(model.rows for model in models))
    needed = max([models[home].rows, *(out[token] + 1 for token in wanted.tokens() & out.keys())])
    return {token: number for token, number in out.items() if number < needed}, needed


def _aligned(
    models: Sequence[Model], known: Sequence[Vocabulary], home: int, added: tuple[Added, ...],
    ids: Mapping[str, int], needed: int, multiple: int | None,
) -> Alignment:  # fmt: skip
    rows = needed if multiple is None else -(-needed // multiple) * multiple
    tokens: dict[int, str] = {}
    for token, number in ids.items():
        tokens.setdefault(number, token)
    pairs = list(zip(models, known, strict=True))
    return Alignment(
        home,
        rows,
        needed,
        tokens,
        added,
        tuple(_map(model, vocabulary, ids, rows) for model, vocabulary in pairs),
        tuple(tuple(t for t, row in v.ids.items() if row < m.rows and t not in ids) for m, v in pairs),
        tuple(tuple(t for t, row in v.ids.items() if row >= m.rows) for m, v in pairs),
    )


def _map(model: Model, vocabulary: Vocabulary, out: Mapping[str, int], rows: int) -> Rows:
    """A model's row for each of the output's rows. Rows without a token stay where they are in both."""
    found = np.full(rows, -1, np.int64)
    size = min(rows, model.rows)
    found[:size] = np.arange(size)
    for ids, last in ((vocabulary.ids, model.rows), (out, rows)):
        taken = np.fromiter(ids.values(), np.int64, len(ids))
        found[taken[taken < min(last, rows)]] = -1
    for token, number in out.items():
        row = vocabulary.ids.get(token, model.rows)
        if row < model.rows and found[number] < 0:
            found[number] = row
    return found

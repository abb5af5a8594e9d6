"""Vocabularies in the plan: which models are put in step, and which rows of which tensors are read for each.

Dialect paper fills the row of a token a model lacks with the mean of that model's own rows; dialect mergekit with the
base's row, else that of the only model that has one, else the mean of those that do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mixmerge import tokens
from mixmerge.checkpoint import OWN_MEAN, OWNERS_MEAN, SEEN_MEAN, ZEROS, Checkpoint, RowView, TensorSpan
from mixmerge.errors import Problem
from mixmerge.planning import names
from mixmerge.tokens import (
    MAX_TOKENS,
    NO_FILES,
    NOTHING,
    UnreadableError,
    Wanted,
    read_vocabulary,
    signature,
    surely_within,
)

if TYPE_CHECKING:
    from mixmerge.tokens import Added, Alignment, Model, Named, Special

PARSED: Final = 8
"""Bytes of memory that reading a tokenizer file takes, for each of its bytes, generously."""

PER_TOKEN: Final = 180
"""Bytes of Python objects a token of a vocabulary needs, generously."""

Rows = npt.NDArray[np.int64]
Views = Mapping[tuple[int, str], RowView]


@dataclass(frozen=True, slots=True)
class ModelTokens:
    """A model's part. rows: of its embedding. moved: rows that go to another place. The rest: number and first few.

    missing: tokens of the output it has no row for; dropped: its tokens that the output does not have; beyond: its
    tokens whose ids lie behind its last row.
    """

    model: int
    rows: int
    moved: int
    missing: tuple[int, tuple[str, ...]]
    dropped: tuple[int, tuple[str, ...]]
    beyond: tuple[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class VocabularyPlan:
    """Vocabularies put in step. home: position of the model whose tokenizer is kept. rows, tokens: of the output.

    needed: rows before they were rounded up to a multiple. added: tokens the output has beyond the home's. owners:
    whether rows a model lacks are another's, not its own mean. base: position of the base, whose rows come first then;
    None where there is none. maps: one a model of `models`, see `tokens.Alignment`. named: tokens whose row the recipe
    says, models as positions in the plan. special: tokens of roles. files: name -> content of the home's tokenizer
    files that differ. digest: of every row's place.
    """

    home: int
    rows: int
    needed: int
    tokens: int
    added: tuple[Added, ...]
    owners: bool
    base: int | None
    models: tuple[ModelTokens, ...]
    maps: tuple[Rows, ...] = field(repr=False, compare=False)
    named: tuple[Named, ...]
    special: tuple[Special, ...]
    files: Mapping[str, bytes] = field(repr=False, compare=False)
    digest: str

    @property
    def held(self) -> int:
        """Bytes kept in memory while merging, beside the views."""
        return sum(own.nbytes for own in self.maps)

    def id_of(self, model: int, number: int) -> int | None:
        """The output's id of a model's id; None where its token is dropped. A model with no part keeps its ids, and
        numbers that are no ids (-1 for none) stay."""
        position = next((k for k, one in enumerate(self.models) if one.model == model), None)
        if position is None or number < 0:
            return number
        found = np.flatnonzero(self.maps[position] == number)
        return int(found[0]) if len(found) else None


@dataclass(frozen=True, slots=True)
class Found:
    """vocabulary: None where rows are merged as they stand. parsing: bytes of memory that finding out took.

    notes: for the person.
    """

    vocabulary: VocabularyPlan | None = None
    problems: tuple[Problem, ...] = ()
    parsing: int = 0
    notes: tuple[str, ...] = ()


def find_vocabulary(
    models: Sequence[Checkpoint], members: Sequence[int], home: int, *,
    only: bool, owners: bool, base: int | None, lenient: bool, wanted: Wanted = NOTHING,
) -> Found:  # fmt: skip
    """Put the vocabularies of the models that take part in step, where they differ or single tokens are named.

    members: positions of those models. home: whose tokens are kept (`only`: and no others). owners, base: as in
    `VocabularyPlan`. lenient: vocabularies that are not known are left to be told from shapes. wanted: what is said of
    single tokens, models as positions.
    """
    rows = {position: _rows(models[position]) for position in members}
    digests = {signature(models[position].folder) for position in members} - {None}
    alike = len(digests) < 2 and len(set(rows.values())) < 2 and not wanted
    if alike and surely_within(models[home].folder, rows[home] or 0):
        return Found()
    sized = [_sized(models[p], rows[p]) for p in ([home] if alike else members)]
    parsing, stepped = _parsing(sized), tokens.in_step(sized)
    if stepped and not wanted:
        return Found(parsing=parsing, notes=tuple(_warnings(sized)))
    known = sum(model.vocabulary is not None for model in sized)
    if not wanted and (known == 0 or (lenient and known < len(sized))):
        return Found(parsing=parsing)
    problems = [_nameless(models[p]) for p in members if not rows[p]]
    endless = [_endless(models[p], number) for p, number in rows.items() if number and number > MAX_TOKENS]
    if endless:
        return Found(None, (*problems, *endless), parsing)
    told = tokens.trusted(sized) if stepped else sized
    found = tokens.align(told, list(members).index(home), only=only, wanted=wanted.within(members))
    if not isinstance(found, tokens.Alignment):
        return Found(None, (*problems, *found), parsing)
    if problems:
        return Found(None, tuple(problems), parsing)
    return _planned(found, sized, models, members, owners, base, parsing)


def _sized(model: Checkpoint, rows: int | None) -> Model:
    try:
        return tokens.Model(model.label, rows or 0, read_vocabulary(model.folder))
    except UnreadableError as error:
        return tokens.Model(model.label, rows or 0, None, str(error))


def _parsing(sized: Sequence[Model]) -> int:
    """Bytes of memory that reading their tokenizers took."""
    known = [model.vocabulary for model in sized if model.vocabulary is not None]
    return max((PARSED * own.nbytes for own in known), default=0) + sum(PER_TOKEN * len(own.ids) for own in known)


def _warnings(sized: Sequence[Model]) -> Iterator[str]:
    """What is wrong with tokenizers that are carried over as they are."""
    for model in sized:
        if model.unread:
            yield f"{model.unread} (model {model.label}): its rows are taken on trust"
        elif model.vocabulary is not None and model.rows:
            beyond = sorted((row, token) for token, row in model.vocabulary.ids.items() if row >= model.rows)
            if beyond:
                what = f"{len(beyond)} token{'s' * (len(beyond) != 1)} of {model.label}"
                first = tokens.shown([token for _, token in beyond])
                yield f"{what} ({first}) with ids behind its last row, {model.rows - 1}: text with them cannot be run"


def _rows(model: Checkpoint) -> int | None:
    """Rows of the embedding, else of the head; None where neither has a known name."""
    span = names.embedding(model.tensors) or names.head(model.tensors)
    return None if span is None or not span.shape else span.shape[0]


def _nameless(model: Checkpoint) -> Problem:
    rule = "where vocabularies differ or tokens are named, the table of token embeddings has a known name"
    cure = "merge models of one vocabulary"
    return Problem(rule, "no embed_tokens, wte, word_embeddings...", f"model {model.label}", cure)


def _endless(model: Checkpoint, rows: int) -> Problem:
    """What is put in step row by row is held in tables as long as all rows."""
    rule = f"where vocabularies differ or tokens are named, a table of embeddings has at most {MAX_TOKENS:,} rows"
    return Problem(rule, f"{rows:,}", f"model {model.label}", "repair the model; no vocabulary is so large")


def _planned(
    found: Alignment, sized: Sequence[Model], models: Sequence[Checkpoint], members: Sequence[int], owners: bool,
    base: int | None, parsing: int,
) -> Found:  # fmt: skip
    parts = []
    for k, position in enumerate(members):
        lists = (_few(found.missing(k)), _few(found.dropped[k]), _few(found.beyond[k]))
        parts.append(ModelTokens(position, sized[k].rows, found.moved(k), *lists))
    added = tuple(replace(one, model=None if one.model is None else members[one.model]) for one in found.added)
    named = tuple(replace(one, model=None if one.model is None else members[one.model]) for one in found.named)
    home, own = models[members[found.home]], sized[found.home].vocabulary
    files, outcome = NO_FILES, tokens.Checked()
    if own is not None and (added or found.special):
        files = tokens.tokenizer_files(home.folder, own, added, found.special)
        new = {one.token.content: one.id for one in added} | {one.token: one.id for one in found.special}
        outcome = tokens.checked(home.folder, home.label, files, own, new)
        parsing += (PARSED + tokens.MEMORY) * own.nbytes
    plan = VocabularyPlan(
        members[found.home], found.rows, found.needed, len(found.tokens), added, owners, base, tuple(parts), found.maps,
        named, found.special, files, _digest(found, named),
    )  # fmt: skip
    notes = [f"{one.unread} (model {one.label}): its rows are taken on trust" for one in sized if one.unread]
    return Found(plan, outcome.problems, parsing, (*notes, *outcome.notes))


def _digest(found: Alignment, named: Sequence[Named]) -> str:
    digest = hashlib.sha256(b"".join(own.tobytes() for own in found.maps))
    for one in named:
        digest.update(f"{one.id} {one.model} {one.row} {one.force};".encode())
    return digest.hexdigest()


def _few(found: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    return len(found), tuple(found[: tokens.SHOWN])


def row_views(
    vocabulary: VocabularyPlan, models: Sequence[Checkpoint], tables: Sequence[Mapping[str, TensorSpan]]
) -> Views:
    """(model, tensor name) -> its rows put in step, of every tensor over the vocabulary that is not so already."""
    members = [one.model for one in vocabulary.models]
    without = _unlent(vocabulary, tables)
    found: dict[tuple[int, str], RowView] = {}
    for name in dict.fromkeys(name for member in members for name in tables[member] if names.over_vocabulary(name)):
        present = [k for k, one in enumerate(vocabulary.models) if _has_rows(tables[one.model].get(name), one.rows)]
        own = [vocabulary.maps[k] for k in present]
        fallback = _fallback(vocabulary, own, [members[k] for k in present])
        lent = [(model, rows) for model, rows in _lent(vocabulary).items() if model not in without.get(name, ())]
        maps = [*own, *(rows for _, rows in lent)]
        tensors = [(models[m], tables[m][name]) for m in (*(members[k] for k in present), *(m for m, _ in lent))]
        sources = {model: len(present) + place for place, (model, _) in enumerate(lent)}
        for place, k in enumerate(present):
            choice = np.where(maps[place] >= 0, np.int16(place), fallback)
            for one in vocabulary.named:
                if one.force or maps[place][one.id] < 0:
                    choice[one.id] = ZEROS if one.model is None else sources.get(one.model, place)
            if not (_stays(maps[place], vocabulary.models[k].rows) and bool((choice == place).all())):
                found[members[k], name] = RowView(tensors, place, maps, choice, vocabulary.tokens)
    return found


def _lent(vocabulary: VocabularyPlan) -> dict[int, Rows]:
    """Model -> for each row of the output the row of that model that stands for a token there, as the recipe says."""
    found: dict[int, Rows] = {}
    for one in vocabulary.named:
        if one.model is not None:
            found.setdefault(one.model, np.full(vocabulary.rows, -1, np.int64))[one.id] = one.row
    return found


def _has_rows(span: TensorSpan | None, rows: int) -> bool:
    return span is not None and span.dtype.kind == "float" and span.shape[:1] == (rows,) and 0 not in span.shape


def _stays(own: Rows, rows: int) -> bool:
    return len(own) == rows and bool((own == np.arange(rows)).all())


def _fallback(vocabulary: VocabularyPlan, maps: Sequence[Rows], members: Sequence[int]) -> npt.NDArray[np.int16]:
    """For each row, what stands in a model that lacks it: a position, or a mean."""
    fallback = np.full(vocabulary.rows, OWN_MEAN, np.int16)
    if not vocabulary.owners:
        return fallback
    has = np.stack([own >= 0 for own in maps])
    owners = has.sum(axis=0)
    fallback[owners > 1] = OWNERS_MEAN
    fallback[owners == 1] = has.argmax(axis=0)[owners == 1].astype(np.int16)
    if vocabulary.base in members:
        base = members.index(vocabulary.base)
        fallback[maps[base] >= 0] = base
    fallback[vocabulary.needed :] = SEEN_MEAN
    return fallback


def _unlent(vocabulary: VocabularyPlan, tables: Sequence[Mapping[str, TensorSpan]]) -> dict[str, tuple[int, ...]]:
    """Table over the vocabulary -> models that lack it although their rows are to stand for tokens in others."""
    lend = dict.fromkeys(one.model for one in vocabulary.named if one.model is not None)
    rows = {one.model: one.rows for one in vocabulary.models}
    seen = dict.fromkeys(name for one in vocabulary.models for name in tables[one.model] if names.over_vocabulary(name))
    return {name: tuple(m for m in lend if not _has_rows(tables[m].get(name), rows[m])) for name in seen}


def unaligned(
    vocabulary: VocabularyPlan, models: Sequence[Checkpoint], tables: Sequence[Mapping[str, TensorSpan]]
) -> Iterator[Problem]:
    """Tensors outside the layers with as many rows or columns as the vocabulary, which nothing says how to align.

    And tables that rows are to be taken from but which are not there.
    """
    for name, lacking in _unlent(vocabulary, tables).items():
        for model in lacking:
            rule = "a model whose rows stand for tokens has every table over the vocabulary"
            place = f"model {models[model].label}, tensor {name}"
            yield Problem(rule, "it has not", place, "name another model as the source of its tokens")
    for one in vocabulary.models:
        for name, span in tables[one.model].items():
            outside = names.layer_of(name) is None and not names.over_vocabulary(name)
            if outside and len(span.shape) > 1 and one.rows in span.shape and one.rows > 1:
                rule = "where vocabularies differ, only embeddings and heads run over the vocabulary"
                place = f"model {models[one.model].label}, tensor {name}"
                yield Problem(rule, f"shape {list(span.shape)}", place, "merge models of one vocabulary")

"""Reads back the tokenizer files that were changed: every token under its id, and text split as it was before.

Ids are read by the room's own reader. Text is split by the `tokenizers` library, where that is installed, with the
files as they were and as they will be: both are data to it, no code of theirs runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from mixmerge.errors import Problem
from mixmerge.tokens.model import shown
from mixmerge.tokens.vocabulary import UnreadableError, Vocabulary, read_vocabulary

MEMORY: Final = 24
"""Bytes the library takes at most for each byte of a tokenizer file, twice loaded, generously."""

SAMPLES: Final = (
    "The quick brown fox jumps over the lazy dog.",
    "  Two spaces, a tab\tand\n\ntwo lines  ",
    "def f(x: int) -> int:\n    return x ** 2  # 1,024.5",
    "Größe, naïve, 東京, Привет, \N{GRINNING FACE}",
    "x_1 = \\frac{a+b}{2}; [1] <b> {c} 100%",
)
"""Short texts of several kinds: words, white space, code, other scripts, signs."""

_FILE: Final = "tokenizer.json"
_RULE: Final = "the tokenizer written reads text as that of its source does, and finds the tokens added to it"
_CURE: Final = "keep the tokenizer of another model: `tokenizer: {source: ...}`"


@dataclass(frozen=True, slots=True)
class Checked:
    """problems: what was read back otherwise. notes: what could not be tried."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def checked(folder: Path, label: str, files: Mapping[str, bytes], home: Vocabulary, new: Mapping[str, int]) -> Checked:
    """The outcome for the tokenizer in a folder whose `files` are replaced.

    home: its vocabulary so far; new: token -> id of those entered, learned ones that became special among them.
    """
    if not files:
        return Checked()
    place = f"model {label}, {', '.join(files)}"
    found = [Problem(_RULE, told, place, _CURE) for told in _ids(folder, files, {**home.ids, **new})]
    if found or _FILE not in files:
        return Checked(tuple(found))
    if find_spec("tokenizers") is None:
        return Checked(notes=(f"{_FILE} was not tried on text: the package tokenizers is not installed",))
    samples = [text for text in SAMPLES if not any(token.strip().casefold() in text.casefold() for token in new)]
    try:
        was = _readings((folder / _FILE).read_bytes(), samples)
    except _FailedError as error:
        return Checked(notes=(f"{_FILE} of {label} was not tried on text, the library cannot use it: {error}",))
    try:
        now = _readings(files[_FILE], [*samples, *new])
    except _FailedError as error:
        return Checked((Problem(_RULE, f"the library cannot use it: {error}", place, _CURE),))
    told = (*_added(now[len(samples) :], new), *_differing(samples, was, now))
    return Checked(tuple(Problem(_RULE, one, place, _CURE) for one in told))


def _ids(folder: Path, files: Mapping[str, bytes], expected: Mapping[str, int]) -> list[str]:
    try:
        written = read_vocabulary(folder, files)
    except UnreadableError as error:
        return [str(error)]
    ids: Mapping[str, int] = {} if written is None else written.ids
    wrong = [token for token in (*expected, *ids) if ids.get(token) != expected.get(token)]
    return [f"other ids for {shown(tuple(dict.fromkeys(wrong)))}"] if wrong else []


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text as ids, and what these are as text."""

    ids: tuple[int, ...]
    text: str


class _FailedError(Exception):
    """The library cannot load a tokenizer, or fails with it; the message says how."""


def _readings(data: bytes, texts: Sequence[str]) -> list[_Reading]:
    """Each text as a tokenizer reads it. Raises _FailedError."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(data)
        found = [tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
        return [_Reading(ids, tokenizer.decode(ids, skip_special_tokens=False)) for ids in found]
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # nothing narrower is raised, and a panic of its compiled code is no Exception
        raise _FailedError(f"{type(error).__name__}: {str(error)[:200]}") from error


def _added(read: Sequence[_Reading], new: Mapping[str, int]) -> Iterator[str]:
    """Tokens entered that are not found in text as themselves."""
    for reading, (token, number) in zip(read, new.items(), strict=True):
        if reading.ids != (number,):
            yield f"the token {token!r} is read as ids {list(reading.ids[:8])}, not {number}"


def _differing(samples: Sequence[str], was: Sequence[_Reading], now: Sequence[_Reading]) -> Iterator[str]:
    """Texts that hold none of the tokens entered, and are read otherwise than before."""
    for text, before, after in zip(samples, was, now, strict=False):
        if before != after:
            yield f"{text!r} is read as ids {shown(after.ids)}, not {shown(before.ids)}"

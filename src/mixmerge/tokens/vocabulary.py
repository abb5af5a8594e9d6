"""The tokens of a model and the rows they stand for, from the tokenizer files beside its weights.

Files are untrusted: sizes and numbers are bounded, nothing of them is run, and a file of no known form gives no
vocabulary. Knows no weights.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final

from mixmerge.checkpoint import MalformedJsonError, parse_json
from mixmerge.tokens.pieces import CONTROL, USER_DEFINED, read_pieces

MAX_FILE: Final = 100_000_000  # bytes
MAX_TOKENS: Final = 4_000_000
"""No vocabulary has so many, and no id is as large: tables of rows are as long as the largest id."""

LEARNED: Final = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Files that hold a learned vocabulary; the first that is there is read."""

NO_FILES: Final[Mapping[str, bytes]] = MappingProxyType({})

_ADDED: Final = "added_tokens.json"
_CONFIG: Final = "tokenizer_config.json"
_ODD_BESIDE: Final = f"{_CONFIG} or {_ADDED} states malformed tokens"
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token matched as it stands, before text is split into learned tokens. The flags are those of tokenizer.json."""

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = False

    def entry(self) -> dict[str, Any]:
        """As tokenizer files state it, without its id."""
        return {"content": self.content, **{flag: getattr(self, flag) for flag in _FLAGS}}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """ids: token -> row. added: those that are added tokens, not learned ones.

    kind: how text becomes tokens (byte-level, sentencepiece, wordpiece, words), empty where that is not certain: the
    same string means the same text only in one kind. nbytes: of the file it was read from.
    """

    ids: Mapping[str, int]
    added: Mapping[str, AddedToken]
    kind: str
    nbytes: int


def signature(folder: Path) -> bytes | None:
    """Digest of all that numbers the tokens; None where no file does. The same digest, the same vocabulary."""
    files = [folder / name for name in (*LEARNED, _ADDED) if (folder / name).is_file()]
    if not files:
        return None
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    stated = _decoder(_Files(folder, NO_FILES)).items()
    told = [(number, entry["content"]) for number, entry in stated if isinstance(entry, dict) and "content" in entry]
    found.update(repr(sorted((number, str(content)) for number, content in told)).encode())
    return found.digest()


class UnreadableError(ValueError):
    """A tokenizer file states no vocabulary. The message names the file and says what is wrong with it."""


@final
class _Files:
    """The files of a folder, some with other content than they have on disk."""

    def __init__(self, folder: Path, instead: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._instead = instead

    def size(self, name: str) -> int | None:
        """In bytes; None where there is no such file."""
        if name in self._instead:
            return len(self._instead[name])
        return (self._folder / name).stat().st_size if (self._folder / name).is_file() else None

    def read(self, name: str) -> bytes:
        return self._instead[name] if name in self._instead else (self._folder / name).read_bytes()

    def mapping(self, name: str) -> dict[str, Any]:
        """A JSON object, empty where there is none that can be read."""
        size = self.size(name)
        if size is None or size > MAX_FILE:
            return {}
        try:
            content = parse_json(self.read(name), lenient=True)
        except MalformedJsonError:
            return {}
        return content if isinstance(content, dict) else {}


def read_vocabulary(folder: Path, instead: Mapping[str, bytes] = NO_FILES) -> Vocabulary | None:
    """The vocabulary of the model in a folder; None where there is no file of a known form. instead: name -> content
    of files that are to be taken for those in the folder.

    Raises UnreadableError where there is one that cannot be read.
    """
    files = _Files(folder, instead)
    name = next((name for name in LEARNED if files.size(name) is not None), None)
    if name is None:
        return None
    size = files.size(name) or 0
    if size > MAX_FILE:
        raise UnreadableError(f"{name} is larger than {MAX_FILE // 1_000_000} MB")
    with _told(f"{name} {'is no SentencePiece model' if name.endswith('.model') else 'is malformed'}"):
        found = _checked(replace(_READERS[name](files.read(name)), nbytes=size))
    with _told(_ODD_BESIDE):
        beside = list(_added_beside(files))
        return _checked(_with_added(found, beside)) if beside else found


def added_beside(folder: Path) -> list[tuple[AddedToken, int]]:
    """Tokens that files beside the learned vocabulary state, with their ids. Raises UnreadableError."""
    with _told(_ODD_BESIDE):
        return list(_added_beside(_Files(folder, NO_FILES)))


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what reading a malformed file raises into an error that begins with `what`."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UnreadableError(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"an entry lacks {error}"
    return str(error) if isinstance(error, ValueError) else "it has not the form of a tokenizer"


def _checked(found: Vocabulary) -> Vocabulary:
    if len(found.ids) > MAX_TOKENS or not found.ids:
        raise ValueError("no vocabulary, or one without end")
    if any(type(number) is not int or not 0 <= number < MAX_TOKENS for number in found.ids.values()):
        raise ValueError("a token's id is a row")
    "".join(found.ids).encode()  # raises where a token is half a character
    return found


def _with_added(found: Vocabulary, beside: Sequence[tuple[AddedToken, int]]) -> Vocabulary:
    """With tokens that files beside the learned vocabulary state; what is known already stays as it is."""
    ids, added = dict(found.ids), dict(found.added)
    for token, number in beside:
        if token.content not in ids:
            ids[token.content] = number
            added[token.content] = token
    return replace(found, ids=ids, added=added)


def _from_json(data: bytes) -> Vocabulary:
    content: Any = parse_json(data, lenient=True)
    model = content["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: (token, score) in order of ids
        ids = {str(entry[0]): number for number, entry in enumerate(vocabulary)}
    else:
        ids = {str(token): number for token, number in vocabulary.items()}
    added = {}
    for entry in content.get("added_tokens") or []:
        token = _added_token(entry)
        if type(entry["id"]) is not int:  # also of one that a later entry takes the place of
            raise ValueError("a token's id is a row")
        added[token.content] = token
        ids[token.content] = entry["id"]
    return Vocabulary(ids, added, _kind(content, model), 0)


def _added_token(entry: Mapping[str, Any]) -> AddedToken:
    return AddedToken(str(entry["content"]), **{flag: bool(entry.get(flag, False)) for flag in _FLAGS})


def _kind(content: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    known = {"WordPiece": "wordpiece", "Unigram": "sentencepiece", "WordLevel": "words"}.get(str(model.get("type")))
    if known is not None:
        return known
    steps = set(_types([content.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")]))
    if "ByteLevel" in steps:
        return "byte-level"
    return "sentencepiece" if model.get("byte_fallback") or "Metaspace" in steps else ""


def _types(value: Any) -> Iterator[str]:
    """Every `type` in a nest of lists and mappings."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("type"), str):
                yield item["type"]
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _from_pieces(data: bytes) -> Vocabulary:
    ids: dict[str, int] = {}
    added: dict[str, AddedToken] = {}
    for number, (text, kind) in enumerate(read_pieces(data, MAX_TOKENS)):
        ids.setdefault(text, number)
        if kind in (CONTROL, USER_DEFINED):
            added[text] = AddedToken(text, special=kind == CONTROL)
    return Vocabulary(ids, added, "sentencepiece", 0)


def _from_mapping(data: bytes) -> Vocabulary:
    content: Any = parse_json(data, lenient=True)
    return Vocabulary(dict(content.items()), {}, "byte-level", 0)


def _from_lines(data: bytes) -> Vocabulary:
    lines = data.decode("utf-8").removesuffix("\n").split("\n")
    return Vocabulary({token: number for number, token in enumerate(lines)}, {}, "wordpiece", 0)


_READERS: Final = {
    "tokenizer.json": _from_json,
    "tokenizer.model": _from_pieces,
    "spiece.model": _from_pieces,
    "vocab.json": _from_mapping,
    "vocab.txt": _from_lines,
}


def _added_beside(files: _Files) -> Iterator[tuple[AddedToken, int]]:
    """Tokens of added_tokens.json and tokenizer_config.json, with their ids."""
    for number, entry in _decoder(files).items():
        yield _added_token(entry), int(number)
    settings = [files.mapping(name) for name in (_CONFIG, "special_tokens_map.json")]
    special = {text for content in settings for text in _texts(content)}
    for token, number in files.mapping(_ADDED).items():
        yield AddedToken(token, special=token in special), number


def _decoder(files: _Files) -> dict[str, Any]:
    """Id -> entry of the added tokens that tokenizer_config.json states."""
    decoder = files.mapping(_CONFIG).get("added_tokens_decoder")
    return decoder if isinstance(decoder, dict) else {}


def small_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object in a file of a folder, empty where there is none that can be read."""
    return _Files(folder, NO_FILES).mapping(name)


def _texts(content: Mapping[str, Any]) -> Iterator[str]:
    """The special tokens a tokenizer's settings name (`pad_token` and so on, as text or as an entry)."""
    for key, value in content.items():
        if key.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                yield text

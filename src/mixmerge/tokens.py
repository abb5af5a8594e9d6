"""Vocabularies: do the models mean the same token by the same row? Reads tokenizer.json, bounded; knows no weights.

Merging rows of different tokens gives garbled text, so models whose vocabularies differ are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mixmerge.checkpoint import Checkpoint
from mixmerge.errors import Problem

MAX_TOKENIZER: Final = 200_000_000  # bytes
_SHOWN: Final = 3


def vocabulary_problems(models: Sequence[Checkpoint]) -> list[Problem]:
    """One problem for each model whose tokens differ from those of the first model that has a tokenizer.json.

    Models without one are taken on trust: their rows are all that is known of them.
    """
    files = [(model, model.folder / "tokenizer.json") for model in models if model.is_local]
    known = [(model, file) for model, file in files if file.is_file()]
    if len({_digest(file) for _, file in known}) < 2:
        return []
    tables = [(model, _vocabulary(file)) for model, file in known]
    first, reference = tables[0]
    return [
        _problem(first, model, reference, table)
        for model, table in tables[1:]
        if reference is not None and table is not None and table != reference
    ]


def _digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _vocabulary(file: Path) -> Mapping[str, int] | None:
    """Token -> id, added tokens included; None where the file is no tokenizer of a known form."""
    if file.stat().st_size > MAX_TOKENIZER:
        return None
    try:
        content = json.loads(file.read_bytes())
        tokens = dict(_model_tokens(content["model"]["vocab"]))
        tokens.update({str(entry["content"]): int(entry["id"]) for entry in content.get("added_tokens") or []})
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
    return tokens


def _model_tokens(vocabulary: Any) -> Mapping[str, int]:
    """WordPiece, BPE and WordLevel keep a mapping; Unigram a list of (token, score) in order of ids."""
    if isinstance(vocabulary, list):
        return {str(entry[0]): number for number, entry in enumerate(vocabulary)}
    return {str(token): int(number) for token, number in vocabulary.items()}


def _problem(first: Checkpoint, other: Checkpoint, mine: Mapping[str, int], theirs: Mapping[str, int]) -> Problem:
    differing = sorted(token for token in mine.keys() | theirs.keys() if mine.get(token) != theirs.get(token))
    examples = ", ".join(f"{token!r} {mine.get(token, '-')}/{theirs.get(token, '-')}" for token in differing[:_SHOWN])
    return Problem(
        "the models' tokenizers give every token the same id",
        f"{len(differing)} tokens differ, e.g. {examples}",
        f"models {first.label} / {other.label}, tokenizer.json",
        "merge models of one vocabulary; resize or remap the other model's embeddings first",
    )

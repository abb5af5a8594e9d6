"""A masked language model from a folder: what it would write in the place of a word, and how alike two texts are to it.

It knows transformers and torch; it knows no attacks. Weights are read from safetensors only and no code of the folder
is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, final

from mixmerge.errors import Problem, extra_missing
from mixmerge.evaluation.problems import LiveModelError, shorten

_STARTS: Final = ("Ġ", "▁")  # a token that begins a word, in byte-level and in SentencePiece vocabularies
_GOES_ON: Final = "##"  # a token that goes on with one, in WordPiece vocabularies


@final
class MaskedLM:
    """model: of transformers, for masked language modelling, in eval mode. tokenizer: its own, with offsets."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._special = set(tokenizer.all_special_ids)

    @classmethod
    def load(cls, folder: str | Path) -> MaskedLM:
        """Raises LiveModelError where the folder has no masked language model, MissingExtraError without transformers.

        The tokenizer must be a fast one: others do not say which characters a token stands for.
        """
        model, tokenizer = _loaded(Path(folder), "AutoModelForMaskedLM")
        return cls(model, tokenizer)

    def likely(self, text: str, span: tuple[int, int], count: int) -> list[str]:
        """At most `count` texts for the characters span[0] .. span[1] of `text`, the likeliest first.

        As BERT-Attack reads the model (Li et al. 2020, section 3.2): the text is given as it is, nothing masked; the
        likeliest `count` pieces at each place are put together, and combinations are ordered by the sum of their
        logarithms, which orders them as perplexity does. A piece that begins a word, or goes on with one, is replaced
        by one that does. Nothing where the model's window ends before the word.
        """
        import torch

        encoded = self._tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = encoded.pop("offset_mapping")[0].tolist()
        places = [at for at, (start, end) in enumerate(offsets) if end > max(start, span[0]) and start < span[1]]
        if not places or len(offsets) > _window(self._model, self._tokenizer):
            return []
        with torch.inference_mode():
            scores = self._model(**encoded).logits[0, places].float().log_softmax(dim=-1)
        ids = encoded["input_ids"][0, places].tolist()
        kept = [self._like(token, row, count) for token, row in zip(ids, scores, strict=True)]
        return [self._text(ids) for ids in _best(kept, count)]

    def _like(self, token: int, scores: Any, count: int) -> list[tuple[float, int]]:
        """The `count` likeliest pieces that stand to their word as `token` does, with their logarithms."""
        kind = _kind(self._tokenizer.convert_ids_to_tokens(token))
        found: list[tuple[float, int]] = []
        for candidate in scores.argsort(descending=True, stable=True).tolist():
            if len(found) == count:
                break
            if candidate not in self._special and _kind(self._tokenizer.convert_ids_to_tokens(candidate)) == kind:
                found.append((float(scores[candidate]), candidate))
        return found

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip().removeprefix(_GOES_ON)


@final
class Encoder:
    """A model whose mean last hidden state stands for a text, as sentence-transformers' mean pooling."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer

    @classmethod
    def load(cls, folder: str | Path) -> Encoder:
        """Errors as `MaskedLM.load`."""
        return cls(*_loaded(Path(folder), "AutoModel"))

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the two texts' vectors, in [-1, 1]."""
        import torch

        with torch.inference_mode():
            first, second = (self._vector(text) for text in (a, b))
        return float(torch.nn.functional.cosine_similarity(first, second, dim=0))

    def _vector(self, text: str) -> Any:
        encoded = self._tokenizer(
            text, truncation=True, max_length=_window(self._model, self._tokenizer), return_tensors="pt"
        )
        return self._model(**encoded).last_hidden_state[0].float().mean(dim=0)


def _kind(token: str) -> tuple[bool, bool]:
    return token.startswith(_GOES_ON), token.startswith(_STARTS)


def _best(places: Sequence[Sequence[tuple[float, int]]], count: int) -> list[tuple[int, ...]]:
    """The `count` combinations of one piece a place with the largest sums, the largest first.

    Exact: sums of independent terms, so nothing outside the best of the first places can be in the best of all.
    """
    found: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for options in places:
        longer = [(total + score, (*ids, token)) for total, ids in found for score, token in options]
        found = sorted(longer, key=lambda one: (-one[0], one[1]))[:count]
    return [ids for _, ids in found]


def _window(model: Any, tokenizer: Any) -> int:
    """Tokens it can look at: RoBERTa and its kin have two positions that no token may take."""
    positions = int(getattr(model.config, "max_position_embeddings", None) or 2**31)
    return min(positions, int(tokenizer.model_max_length))


def _loaded(folder: Path, kind: str) -> tuple[Any, Any]:
    """A model of one of transformers' automatic classes, and its tokenizer."""
    try:
        transformers = import_module("transformers")
        import_module("torch")
    except ImportError as error:
        raise extra_missing("study", error.name or "transformers", "a masked language model") from error
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, info = getattr(transformers, kind).from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, dtype="auto", **local
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True, **local)
    except Exception as error:  # whatever transformers, tokenizers, safetensors and torch make of a folder
        rule, cure = "transformers can load the model", "a folder with config, tokenizer and safetensors weights"
        raise LiveModelError(Problem(rule, shorten(f"{type(error).__name__}: {error}"), str(folder), cure)) from error
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing:
        rule, cure = "a checkpoint stores every weight of its model", f"use a folder saved as {kind}"
        raise LiveModelError(Problem(rule, f"missing: {', '.join(missing[:5])}", str(folder), cure))
    if not tokenizer.is_fast:
        rule, cure = "the tokenizer tells where tokens stand in the text", "save the folder with a fast tokenizer"
        raise LiveModelError(Problem(rule, type(tokenizer).__name__, str(folder), cure))
    return model.eval(), tokenizer

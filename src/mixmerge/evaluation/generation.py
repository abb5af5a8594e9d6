"""Greedy continuations of a batch, judged against targets while they grow.

An own loop over the model's forward pass with its key-value cache: one step is one call. A row is decided as soon as
its text can no longer become the target, and decided rows leave the batch when they are half of it, so wrong answers
cost few steps. It knows tokens and one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from mixmerge.errors import Problem
from mixmerge.evaluation.codec import Codec
from mixmerge.evaluation.problems import TaskError


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """prompt: its ids. target: the right line. likely: ids of the target as the tokenizer would write it.

    limit: tokens after which the text is taken as it is.
    """

    prompt: tuple[int, ...]
    target: str
    likely: tuple[int, ...]
    limit: int


@final
@dataclass(slots=True)
class _Row:
    asked: Asked
    new: list[int] = field(default_factory=list)
    right: bool | None = None

    def take(self, token: int, codec: Codec) -> None:
        """Append one token; decide the row where that is possible."""
        if self.right is not None:
            return
        stopped = codec.is_stop(token)
        if not stopped:
            self.new.append(token)
        full = stopped or len(self.new) >= self.asked.limit
        if full or tuple(self.new) != self.asked.likely[: len(self.new)]:
            text = codec.continuation(self.asked.prompt, self.new)
            self.right = matches(text, self.asked.target) if full or "\n" in text else self._open(text)

    def _open(self, text: str) -> bool | None:
        """None while the line can still become the target; a character cut in half may."""
        target, whole = self.asked.target, text.rstrip("\N{REPLACEMENT CHARACTER}")
        if target.startswith(whole) or (whole.startswith(target) and not whole[len(target) :].strip()):
            return None
        return False


def matches(text: str, target: str) -> bool:
    """Whether the first line of a text, without spaces at its end, is the target."""
    return text.partition("\n")[0].rstrip() == target


def judge(model: Any, codec: Codec, batch: Sequence[Asked], accepts: frozenset[str]) -> list[bool]:
    """Whether each row's greedy continuation is its target. accepts: names of arguments of the model's forward."""
    rows = [_Row(asked) for asked in batch]
    feed = Feed(model, [asked.prompt for asked in batch], accepts)
    fed, tokens = rows, feed.start()
    while True:
        for row, token in zip(fed, tokens, strict=True):
            row.take(token, codec)
        open_rows = [number for number, row in enumerate(fed) if row.right is None]
        if not open_rows:
            return [bool(row.right) for row in rows]
        if 2 * len(open_rows) <= len(fed) and feed.keep(open_rows):
            fed, tokens = [fed[number] for number in open_rows], [tokens[number] for number in open_rows]
        tokens = feed.step(tokens)


@final
class Feed:
    """The model's side of the loop: padded on the left, masked only where something is padded.

    Raises TaskError for a model that keeps something else than keys and values of what it read, such as Mamba's state.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], accepts: frozenset[str]) -> None:
        if "past_key_values" not in accepts:
            rule = "a model that writes answers keeps keys and values of what it read"
            cure = "score it on choices, or behind a server (mixmerge explore --serve)"
            raise TaskError(Problem(rule, type(model).__name__, "model", cure))
        import torch

        self._torch, self._model, self._accepts = torch, model, accepts
        width = max(map(len, prompts))
        padded = [[0] * (width - len(ids)) + list(ids) for ids in prompts]
        self._ids = torch.tensor(padded, device=model.device)
        lengths = torch.tensor([len(ids) for ids in prompts], device=model.device)
        self._mask: Any = None
        if min(map(len, prompts)) < width:
            self._mask = (torch.arange(width, device=model.device) >= width - lengths[:, None]).long()
        self._lengths = lengths
        self._cache: Any = None

    def start(self) -> list[int]:
        """The first new token of every row."""
        positions = None if self._mask is None else (self._mask.cumsum(-1) - 1).clamp(min=0)
        return self._forward(self._ids, positions)

    def step(self, tokens: Sequence[int]) -> list[int]:
        """The next one, after these."""
        torch = self._torch
        ids = torch.tensor(tokens, device=self._ids.device)[:, None]
        positions = self._lengths[:, None]
        self._lengths = self._lengths + 1
        if self._mask is not None:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        return self._forward(ids, positions)

    def keep(self, rows: Sequence[int]) -> bool:
        """Go on with these rows only. False, and nothing done, where the model's cache cannot leave rows out."""
        from transformers import DynamicCache

        if type(self._cache) is not DynamicCache:
            return False
        chosen = self._torch.tensor(rows, device=self._ids.device)
        self._cache.batch_select_indices(chosen)
        self._lengths = self._lengths[chosen]
        if self._mask is not None:
            self._mask = self._mask[chosen]
        return True

    def _forward(self, ids: Any, positions: Any) -> list[int]:
        arguments = {"attention_mask": self._mask, "position_ids": positions, "logits_to_keep": 1}
        given = {name: value for name, value in arguments.items() if name in self._accepts and value is not None}
        with self._torch.inference_mode():
            out = self._model(ids, past_key_values=self._cache, use_cache=True, **given)
            self._cache = out.past_key_values
            return list(out.logits[:, -1].argmax(dim=-1).tolist())

"""Greedy answers of any length to many prompts, and lm-eval's model class that gives them.

An own loop over the model's forward pass with its key-value cache: rows of similar length go together, a row ends at
its own stop text or end-of-text token, and rows that ended leave the batch, so a batch costs what its open rows cost.
lm-eval's loop goes on until every row of a batch has met the same stop text. It knows tokens and one model.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, final

from mixmerge.errors import extra_missing
from mixmerge.evaluation.codec import Codec
from mixmerge.evaluation.generation import Feed
from mixmerge.evaluation.score import end_ids, window_of

LEAVING: Final = 8  # rows that ended leave a batch when they are this share of it: one in so many

DEFAULT_LIMIT: Final = 256
"""Tokens of an answer where a task says nothing: lm-eval's own number."""

Told = Callable[[int], None]
"""Called with the number of answers that ended since the last call."""


@final
@dataclass(frozen=True, slots=True)
class Ending:
    """Where answers end. stops: texts; the answer is what is before the first. limit: tokens at most, >= 1."""

    stops: tuple[str, ...]
    limit: int

    @property
    def reach(self) -> int:
        """So many tokens at an answer's end may hold a stop text: a token is a byte of it or more, or empty."""
        return max((len(stop.encode("utf-8")) for stop in self.stops), default=0) + 4

    def cut(self, text: str) -> str:
        """The text up to its first stop."""
        return text[: min((at for stop in self.stops if stop and (at := text.find(stop)) >= 0), default=len(text))]


@final
@dataclass(slots=True)
class _Row:
    prompt: tuple[int, ...]
    ending: Ending
    limit: int
    new: list[int] = field(default_factory=list)
    done: bool = False

    def take(self, token: int, codec: Codec) -> None:
        """Append one token; note where the answer ends with it."""
        if self.done:
            return
        if codec.is_stop(token):
            self.done = True
            return
        self.new.append(token)
        self.done = len(self.new) >= self.limit or self._stopped(codec)

    def _stopped(self, codec: Codec) -> bool:
        if not self.ending.stops:
            return False
        tail = codec.decode(self.new[-self.ending.reach :])
        return self.ending.cut(tail) != tail


def fitted(length: int, limit: int, window: int) -> tuple[int, int]:
    """How many tokens of a prompt are kept, and how many its answer may have.

    length: of the prompt. limit: tokens the answer may have. window: of the model. As lm-eval does, the answer keeps
    its room and a prompt that is too long loses its beginning; a window that is no wider than `limit` is halved.
    """
    room = window - limit if window > limit else max(1, window // 2)
    kept = min(length, room)
    return kept, min(limit, window - kept)


def answers(
    model: Any, codec: Codec, prompts: Sequence[Sequence[int]], ending: Ending, *, batch: int, window: int,
    accepts: frozenset[str], told: Told | None = None,
) -> list[str]:  # fmt: skip
    """The greedy continuation of every prompt, in the order of the prompts.

    prompts: token ids, none empty. batch: rows at once, >= 1. window: tokens the model can look at. accepts: names of
    arguments of the model's forward.
    """
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    found = [""] * len(prompts)
    for start in range(0, len(order), batch):
        numbers = order[start : start + batch]
        rows = [_row(prompts[number], ending, window) for number in numbers]
        _finish(model, codec, rows, accepts)
        for number, row in zip(numbers, rows, strict=True):
            found[number] = ending.cut(codec.continuation(row.prompt, row.new))
        if told is not None:
            told(len(numbers))
    return found


def _row(prompt: Sequence[int], ending: Ending, window: int) -> _Row:
    kept, limit = fitted(len(prompt), ending.limit, window)
    return _Row(tuple(prompt[-kept:]), ending, limit)


def _finish(model: Any, codec: Codec, rows: list[_Row], accepts: frozenset[str]) -> None:
    """Answer all rows of a batch."""
    feed = Feed(model, [row.prompt for row in rows], accepts)
    fed, tokens = rows, feed.start()
    while True:
        for row, token in zip(fed, tokens, strict=True):
            row.take(token, codec)
        open_rows = [number for number, row in enumerate(fed) if not row.done]
        if not open_rows:
            return
        if LEAVING * (len(fed) - len(open_rows)) >= len(fed) and feed.keep(open_rows):
            fed, tokens = [fed[number] for number in open_rows], [tokens[number] for number in open_rows]
        tokens = feed.step(tokens)


def wrap(model: Any, tokenizer: Any, *, batch: int) -> Any:
    """A transformers model in memory as lm-eval's own model class, with this loop; nothing is loaded again."""
    with contextlib.redirect_stderr(io.StringIO()):
        lm = _greedy_class()(pretrained=model, tokenizer=tokenizer, batch_size=batch)
    lm.codec = Codec(tokenizer, end_ids(model))
    lm.accepts = frozenset(inspect.signature(model.forward).parameters)
    lm.window = window_of(model)
    return lm


@functools.cache
def _greedy_class() -> type[Any]:
    """lm-eval's class for transformers models with this loop in place of its own, for greedy requests."""
    try:
        base: Any = import_module("lm_eval.models.huggingface").HFLM
    except ImportError as error:
        raise extra_missing("study", error.name or "lm_eval", "a task of lm-eval") from error

    class GreedyLM(base):  # type: ignore[misc]
        """As lm-eval's own. codec: of the model. accepts, window: see `answers`. told: told of progress.

        shortened: prompts that lost their beginning since it was last set to 0.
        """

        codec: Codec
        accepts: frozenset[str]
        window: int
        told: Told | None = None
        shortened: int = 0

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            endings = [ending_of(request.args[1]) for request in requests]
            if None in endings:  # sampling, beams, penalties: lm-eval's business
                return list(super().generate_until(requests, disable_tqdm))
            prompts = self.codec.prompts([request.args[0] for request in requests])
            found = [""] * len(requests)
            cuts = zip(prompts, endings, strict=True)
            self.shortened += sum(len(ids) > fitted(len(ids), end.limit, self.window)[0] for ids, end in cuts if end)
            for ending in dict.fromkeys(endings):
                numbers = [number for number, own in enumerate(endings) if own == ending]
                texts = answers(
                    self.model, self.codec, [prompts[number] for number in numbers], ending,  # type: ignore[arg-type]
                    batch=int(self.batch_size), window=self.window, accepts=self.accepts, told=self.told,
                )  # fmt: skip
                for number, text in zip(numbers, texts, strict=True):
                    found[number] = text
            return found

        def _loglikelihood_tokens(self, requests: Sequence[Any], *arguments: Any, **named: Any) -> Any:
            lost = {asked[0] for asked, context, more in requests if len(context) + len(more) > self.max_length + 1}
            self.shortened += len(lost)
            return super()._loglikelihood_tokens(requests, *arguments, **named)

    return GreedyLM


def ending_of(asked: Mapping[str, Any]) -> Ending | None:
    """Where a greedy request ends; None for a request that asks for more than greedy text."""
    known = {"until", "max_gen_toks", "do_sample", "temperature"}
    if set(asked) - known or asked.get("do_sample") or asked.get("temperature") not in (None, 0, 0.0):
        return None
    until = asked.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(map(str, until))
    return Ending(tuple(stop for stop in stops if stop), int(asked.get("max_gen_toks", DEFAULT_LIMIT)))

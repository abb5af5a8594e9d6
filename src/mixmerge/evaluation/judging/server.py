"""A judge behind any server that speaks OpenAI's chat protocol: a hosted model, vLLM, SGLang, llama.cpp.

`POST {url}/chat/completions`, one request a pair and order, greedily, several at a time. Which answer stands first is
drawn per item, or both orders are asked. A reply that is no verdict is counted, never guessed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from mixmerge.errors import Problem
from mixmerge.evaluation.http import PAUSE, JsonServer, address_problem
from mixmerge.evaluation.judging import pairwise
from mixmerge.evaluation.judging.cost import Cost, Prices, cost_of
from mixmerge.evaluation.judging.judge import Judge, Pair, Verdicts
from mixmerge.evaluation.judging.ledger import Ledger, Reply, key_of
from mixmerge.evaluation.problems import BackendError, TaskError, shorten

MAX_TOKENS: Final = 16  # of a reply; a judge that thinks first needs more

_NAME: Final = re.compile(r"[A-Z]{1,16}|(?=.*_)[A-Z_][A-Z0-9_]{0,63}")
"""How variables are called as a rule; a word of another form may be a key, and is not told."""


@final
@dataclass(frozen=True, slots=True)
class _Question:
    """One request. first: whether the measured answer stands first in it."""

    prompt: str
    key: str
    first: bool


@final
class ServerJudge(Judge):
    """url: up to and with the version, `http://localhost:8000/v1`. model: the name the server knows it by.

    key_name: name of the environment variable that holds the key; None: no key is sent. The key itself is neither
    shown nor recorded. seed: of the order in which answers are shown. both_orders: ask each pair twice and take the
    mean. max_tokens: of one reply. prices: what the cost is told with. verdicts: file that keeps replies, see `ledger`.
    Raises TaskError or BackendError for what cannot be used, before anything is sent.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_name: str | None = None,
        seed: int = 0,
        both_orders: bool = False,
        max_tokens: int = MAX_TOKENS,
        prices: Prices | None = None,
        verdicts: Path | None = None,
        timeout: float = 300.0,
        pause: float = PAUSE,
        agree: Callable[[Cost], bool] | None = None,
        tell: Callable[[Verdicts], None] | None = None,
    ) -> None:
        super().__init__(agree, tell)
        problem = address_problem(url, "a judge", "name the key's variable instead")
        if problem is not None:  # told before any model is loaded
            raise TaskError(problem)
        address = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._server = JsonServer(address, key=_key(key_name), timeout=timeout, pause=pause)
        self._model, self._seed, self._both = model, seed, both_orders
        self._max_tokens, self._prices = max_tokens, prices
        self._ledger = Ledger(verdicts)

    def record(self) -> dict[str, str | int | bool]:
        return {
            "judge": "server",
            "url": self._server.url,
            "model": self._model,
            "prompt": pairwise.VERSION,
            "seed": self._seed,
            "both_orders": self._both,
            "max_tokens": self._max_tokens,
        }

    def cost(self, pairs: Sequence[Pair]) -> Cost:
        wanted = self._wanted(pairs)
        unknown = [question.prompt for question in wanted.values() if self._ledger.find(question.key) is None]
        known = len(wanted) - len(unknown)
        return cost_of(unknown, known=known, completion=self._max_tokens, prices=self._prices)

    def _compare(self, pairs: Sequence[Pair], workers: int) -> Verdicts:
        wanted = self._wanted(pairs)
        unknown = [question for question in wanted.values() if self._ledger.find(question.key) is None]
        with ThreadPoolExecutor(max(1, workers)) as pool:
            sent = list(pool.map(self._ask, unknown))
        replies = {key: self._ledger.find(key) for key in wanted}
        return Verdicts(
            scores=tuple(self._score(pair) for pair in pairs),
            sent=len(sent),
            known=len(wanted) - len(sent),
            unreadable=sum(1 for reply in replies.values() if reply is None or pairwise.reading(reply.text) is None),
            prompt_tokens=sum(reply.prompt_tokens for reply in sent),
            completion_tokens=sum(reply.completion_tokens for reply in sent),
        )

    def _wanted(self, pairs: Sequence[Pair]) -> dict[str, _Question]:
        """Every question of these pairs, once."""
        return {question.key: question for pair in pairs for question in self._questions(pair)}

    def _questions(self, pair: Pair) -> Iterator[_Question]:
        """None for equal answers: they are a tie, and nobody is asked."""
        if pair.answer == pair.reference:
            return
        first = pairwise.answer_first(self._seed, pair.instruction)
        for order in (first, not first) if self._both else (first,):
            shown = (pair.answer, pair.reference) if order else (pair.reference, pair.answer)
            text = pairwise.prompt(pair.instruction, *shown)
            yield _Question(text, key_of(pairwise.VERSION, self._model, self._max_tokens, text), order)

    def _ask(self, question: _Question) -> Reply:
        message = {"role": "user", "content": question.prompt}
        asked = {"model": self._model, "messages": [message], "temperature": 0, "max_tokens": self._max_tokens}
        answer = self._server.post(asked)
        try:
            reply = _reply(answer)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            rule, cure = "the server answers as OpenAI's chat completions do", "check the address of the judge"
            raise BackendError(Problem(rule, shorten(answer), self._server.url, cure)) from error
        self._ledger.add(question.key, reply)
        return reply

    def _score(self, pair: Pair) -> float:
        """The mean over the orders asked; NaN where one of them has no verdict: half a pair would favour a place."""
        values = [self._value(question) for question in self._questions(pair)]
        return sum(values) / len(values) if values else 0.5

    def _value(self, question: _Question) -> float:
        reply = self._ledger.find(question.key)
        value = None if reply is None else pairwise.reading(reply.text)
        if value is None:
            return math.nan
        return value if question.first else 1.0 - value


def _reply(answer: Any) -> Reply:
    """content is null where a server has nothing to say; usage may be missing."""
    usage = answer.get("usage") or {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    text = answer["choices"][0]["message"]["content"]
    if not isinstance(text, str | None):
        raise TypeError("content is a text")
    return Reply(text or "", *(count if type(count) is int else 0 for count in counts))


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key or not (key.isascii() and key.isprintable()):
        found = "not printable ASCII" if key else "not set, or empty"
        rule, plain = "the environment variable named for the judge's key holds it", _NAME.fullmatch(name) is not None
        place, named = (name, name) if plain else ("not shown: it may be the key itself", "NAME")
        cure = f"export {named}=... in the shell that runs this" + ("" if plain else ", and give NAME here")
        raise TaskError(Problem(rule, found, place, cure))
    return key

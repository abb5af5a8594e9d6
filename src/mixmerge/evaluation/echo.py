"""The log-likelihood of the end of a text, from the tokens that a server echoes. It knows answers; it asks nothing.

Servers differ in what they tell of their tokens, so as little as possible is believed: `text_offset` is not (SGLang
says -1 throughout, vLLM counts the characters of tokens decoded one by one). Where the tokens spell the text, they are
counted through here; where they do not (a token that is half a character, a tokenizer of SentencePiece that drops a
first space), only their numbers help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, final

Answer = Mapping[str, Any]

NOT_ECHOED: Final = "the prompt is not echoed with a log-probability for each of its tokens"


@final
@dataclass(frozen=True, slots=True)
class Echo:
    """Tokens of a text and of what was written after it. values: their log-probabilities, None for a first one.

    count: how many of them are the text's, as the server counted; None where it does not tell.
    """

    tokens: tuple[str, ...]
    values: tuple[float | None, ...]
    count: int | None


def echo_of(answer: Answer, whole: str) -> Echo:
    """What an answer says of `whole`. Raises KeyError, IndexError, TypeError, ValueError for one that does not."""
    choice = answer["choices"][0]
    if whole not in text_of(choice):
        raise ValueError(NOT_ECHOED)  # a server that passes `echo` over scores its own answer alone
    found = choice["logprobs"]
    tokens, values = found["tokens"], found["token_logprobs"]
    if len(tokens) != len(values):
        raise ValueError("tokens and token_logprobs differ in length")
    return Echo(tuple(map(str, tokens)), tuple(map(_value, values)), count_of(answer))


def text_of(choice: Mapping[str, Any]) -> str:
    """The text of a choice. Raises KeyError, TypeError where it has none."""
    text = choice["text"]
    if not isinstance(text, str):
        raise TypeError("text is a text")
    return text


def count_of(answer: Answer) -> int | None:
    """Tokens of the prompt, as the server counted; None where it does not tell."""
    usage = answer.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return count if type(count) is int and count > 0 else None


def spelled(echo: Echo, whole: str, start: int) -> tuple[int, int] | None:
    """First token that reaches beyond character `start` of `whole`, and the one behind its last; None where the tokens
    do not spell it.
    """
    at = "".join(echo.tokens).find(whole)  # behind what the server puts before a text
    if at < 0:
        return None
    ends = list(accumulate(map(len, echo.tokens)))
    begins = [0, *ends[:-1]]
    inside = [
        number
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True))
        if begin < at + len(whole) and (end > at + start or begin == at + start)
    ]
    return inside[0], inside[-1] + 1


def counted(echo: Echo, head: int | None) -> tuple[int, int]:
    """The same by numbers. head: tokens of the text up to `start` by itself. Raises ValueError where one is missing."""
    if head is None or echo.count is None or echo.count > len(echo.tokens):
        raise ValueError("its tokens do not spell the prompt, and no usage tells how many there are")
    return min(head, echo.count - 1), echo.count


def total(echo: Echo, first: int, end: int) -> float:
    """Natural logarithm of the probability of tokens `first` to `end`. Raises ValueError where one has none."""
    values = echo.values[first:end]
    if not values or None in values:
        raise ValueError(NOT_ECHOED if first else "the first token has no log-probability: items need a prompt")
    return math.fsum(value for value in values if value is not None)


def _value(value: object) -> float | None:
    """A log-probability: at most 0 but for rounding. Raises TypeError, ValueError for what is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a log-probability is a number")
    if not value <= 1e-3:
        raise ValueError("a log-probability is at most 0")
    return float(value)

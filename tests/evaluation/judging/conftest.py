"""A server on 127.0.0.1 that speaks OpenAI's chat protocol and judges as a test wants it to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.answering import Fake, answering

SHOWN = re.compile(r"\[answer A (\w+)\]\n(.*?)\n\[end \1\].*\[answer B \1\]\n(.*?)\n\[end \1\]", re.DOTALL)


def said(text: str | None, **usage: int) -> tuple[int, Any]:
    """A chat completion that says this."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return 200, {**answer, **({"usage": usage} if usage else {})}


def shown(asked: dict[str, Any]) -> tuple[str, str]:
    """What a prompt shows as answers A and B."""
    found = SHOWN.search(asked["messages"][0]["content"])
    assert found is not None
    return found[2], found[3]


def longest(asked: dict[str, Any]) -> tuple[int, Any]:
    """Prefers the longer answer."""
    first, second = map(len, shown(asked))
    word = "TIE" if first == second else "A" if first > second else "B"
    return said(word, prompt_tokens=100, completion_tokens=1)


@pytest.fixture
def server() -> Iterator[Fake]:
    with answering(longest) as fake:
        yield fake

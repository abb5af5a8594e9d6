"""What servers of completions are known to answer, each by its own habits: the same scores come out, or a reason and a
way out. Habits of vLLM, SGLang, llama.cpp and transformers as read in their sources; those of llama-cpp-python, Ollama
and text-generation-inference as commonly described, not read.
"""

from __future__ import annotations

import re
import socket
import time
import urllib.error
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mixmerge.evaluation import BackendError, ChoiceItem, OpenAIBackend, TargetItem, Task
from mixmerge.evaluation import http as room
from mixmerge.evaluation.echo import Echo, spelled
from mixmerge.evaluation.http import JsonServer
from support.answering import answering

Reply = tuple[int, Any]
Show = Callable[[str], str]

ITEMS = Task(
    "items",
    (
        ChoiceItem("say", (" b", " a"), 1),
        ChoiceItem("say", (" b", " c"), 1),
        ChoiceItem("say ", ("b", "a"), 1),
        ChoiceItem("and say b", (" b b", " a c", " b a"), 2),
        ChoiceItem("naïve 🙂 say", (" b", " a"), 1),
        ChoiceItem("say", (" 🙂 b", " 🙂 a"), 1),
        ChoiceItem("say", (" b b", " c"), 0),
    ),
)
RIGHT = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
"""Of a model of words that likes early letters, and fewer of them: `value`."""


def words(text: str) -> list[str]:
    """Tokens: a word with the space before it; 🙂 is two."""
    return [part for word in re.findall(r" ?\w+|\W", text) for part in ([word[:0], word] if word == "🙂" else [word])]


def value(word: str) -> float:
    letter = word.strip()[:1]
    return -float(ord(letter) - 96) if letter.isascii() and letter.isalpha() else -1.0


def echoing(
    before: Sequence[str] = (), show: Show = str, offset: int | None = None, *, counts: bool = True
) -> Callable[[Any], Reply]:
    """A server that echoes. before: what it puts before a text. show: a token as it is told. offset: in place of where
    tokens begin. counts: whether it tells how many there are.
    """

    def reply(asked: Any) -> Reply:
        own = [*before, *words(asked["prompt"])]
        tokens = [*map(show, own), "!"]
        begins = [sum(map(len, tokens[:place])) if offset is None else offset for place in range(len(tokens))]
        found = {"tokens": tokens, "text_offset": begins, "token_logprobs": [None, *map(value, own[1:]), -0.5]}
        choice = {"index": 0, "text": asked["prompt"] + "!", "logprobs": found}
        if not asked.get("echo"):
            choice = {"index": 0, "text": "!", "logprobs": None}
        usage = {"prompt_tokens": len(own), "completion_tokens": 1, "total_tokens": len(own) + 1}
        return 200, {"choices": [choice], **({"usage": usage} if counts else {})}

    return reply


ECHOING = {
    "vLLM": echoing(),
    "vLLM, a token before every text": echoing(["<s>"]),
    "vLLM, tokens of SentencePiece decoded one by one": echoing(["<s>"], lambda token: token.removeprefix(" ")),
    "vLLM, half characters": echoing(["<s>"], lambda token: token.replace("🙂", "�")),
    "SGLang": echoing(["<s>"], offset=-1),
    "SGLang, tokens of SentencePiece": echoing(["<s>"], lambda token: token.removeprefix(" "), offset=-1),
    "llama-cpp-python": echoing([""]),
}


@pytest.mark.parametrize("reply", ECHOING.values(), ids=ECHOING)
def test_choices_score_alike_whatever_a_server_tells_of_its_tokens(reply: Callable[[Any], Reply]) -> None:
    with answering(reply) as fake:
        assert OpenAIBackend(fake.url, "m", workers=2).score(ITEMS, range(len(ITEMS))).tolist() == RIGHT
        assert {body["model"] for _, _, body in fake.asked} == {"m"}


def test_prompts_are_counted_once_and_only_where_tokens_do_not_spell_them() -> None:
    task = Task("one", (ITEMS.items[0],))
    with answering(ECHOING["vLLM"]) as fake:
        OpenAIBackend(fake.url, "m").score(task, [0])
        assert len(fake.asked) == 2
    with answering(ECHOING["SGLang, tokens of SentencePiece"]) as fake:
        backend = OpenAIBackend(fake.url, "m", workers=1)
        backend.score(task, [0])
        backend.score(task, [0])
        assert [body["prompt"] for _, _, body in fake.asked if "echo" not in body] == ["say"]


def silent(asked: Any) -> Reply:
    return 200, {"choices": [{"index": 0, "text": "!", "finish_reason": "length"}]}


def nulls(asked: Any) -> Reply:
    status, answer = ECHOING["vLLM"](asked)
    found = answer["choices"][0]["logprobs"]
    found["token_logprobs"] = [None] * len(found["tokens"])
    return status, answer


def nans(asked: Any) -> Reply:
    status, answer = ECHOING["vLLM"](asked)
    found = answer["choices"][0]["logprobs"]
    found["token_logprobs"] = [float("nan")] * len(found["tokens"])
    return status, answer


def refusing(status: int, value: Any) -> Callable[[Any], Reply]:
    return lambda _: (status, value)


CHOICES = "choices need a server that echoes prompts with logprobs"
NOT_SCORING = {
    "transformers serve": (silent, "not echoed", CHOICES),
    "Ollama, TGI": (silent, "not echoed", CHOICES),
    "llama.cpp": (
        refusing(500, {"error": {"code": 500, "message": "Only no echo is supported", "type": "server_error"}}),
        "500 Internal Server Error: Only no echo is supported", CHOICES,
    ),
    "llama-cpp-python without logits": (
        refusing(500, {"error": {"message": "logprobs is not supported for models created with logits_all=False"}}),
        "logits_all=False", CHOICES,
    ),
    "null for every token": (nulls, "log-probability", CHOICES),
    "no numbers": (nans, "at most 0", CHOICES),
    "tokens that neither spell nor are counted": (
        echoing(["<s>"], lambda token: token.removeprefix(" "), counts=False), "no usage", CHOICES,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "told", "cure"), NOT_SCORING.values(), ids=NOT_SCORING)
def test_a_server_that_cannot_score_choices_is_told_and_nothing_is_scored(
    reply: Callable[[Any], Reply], told: str, cure: str
) -> None:
    with answering(reply) as fake, pytest.raises(BackendError) as caught:
        OpenAIBackend(fake.url, "m", workers=1, pause=0.0).score(ITEMS, [0])
    (problem,) = caught.value.problems
    assert told in problem.value
    assert cure in problem.cure


def test_a_first_token_without_a_probability_is_no_probability_of_one() -> None:
    task = Task("bare", (ChoiceItem("", ("b", "a"), 1),))
    with answering(ECHOING["SGLang"]) as fake:  # which puts a token before it
        assert OpenAIBackend(fake.url, "m").score(task, [0]).tolist() == [1.0]
    with answering(ECHOING["vLLM"]) as fake, pytest.raises(BackendError, match="items need a prompt"):
        OpenAIBackend(fake.url, "m").score(task, [0])


def test_empty_tokens_belong_to_the_character_that_ends_them() -> None:
    echo = Echo(("say", " ", "", "", "🙂", "", "!"), (None, *[-1.0] * 6), 5)
    assert spelled(echo, "say 🙂", 3) == (1, 5)
    assert spelled(echo, "say 🙂", 4) == (2, 5)


SUM = Task("sum", (TargetItem("1+1=", "2"),))
REFUSALS = {
    "vLLM, a wrong name": (
        404, {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}},
        "404 Not Found: The model `m` does not exist.", "the name of the model",
    ),
    "vLLM of long ago": (
        404, {"object": "error", "message": "The model `m` does not exist.", "code": 404},
        "404 Not Found: The model `m` does not exist.", "the name of the model",
    ),
    "vLLM, no key": (401, {"error": "Unauthorized"}, "401 Unauthorized: Unauthorized", "check the key"),
    "vLLM, too long": (
        400, {"error": {"message": "This model's maximum context length is 8 tokens." + " However" * 9, "param": None}},
        "However", "its own words",
    ),
    "TGI, busy": (
        429, {"error": "Model is overloaded", "error_type": "overloaded"}, "429 Too Many Requests: Model is overloaded",
        "fewer requests",
    ),
    "FastAPI": (422, {"detail": [{"loc": ["body"]}]}, '{"detail": [{"loc": ["body"]}]}', "its own words"),
    "transformers serve": (422, {"detail": "Unexpected fields"}, ": Unexpected fields", "own words"),
    "Ollama": (404, {"error": {"message": "model 'm' not found", "code": None}}, "model 'm' not found", "the name of"),
    "llama.cpp, loading": (
        503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "Loading model",
        "the server runs",
    ),
    "a proxy": (502, b"<html><h1>502 Bad Gateway</h1>", "502 Bad Gateway: <html>", "the server runs"),
    "null": (200, b"null", "TypeError", "that of the API"),
    "an error with status 200": (200, {"error": {"message": "no credit"}}, "no credit", "that of the API"),
    "a text that is none": (200, {"choices": [{"text": None}]}, "text is a text", "that of the API"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "value", "told", "cure"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_in_the_servers_words_with_a_way_out(status: int, value: Any, told: str, cure: str) -> None:
    with answering(refusing(status, value)) as fake, pytest.raises(BackendError) as caught:
        OpenAIBackend(fake.url, "m", workers=1, pause=0.0).score(SUM, [0])
    (problem,) = caught.value.problems
    assert told in problem.value
    assert cure in problem.cure
    assert problem.place == f"{fake.url}/completions"


def test_a_server_that_does_not_answer_in_time_is_told_with_the_time() -> None:
    told = r"no answer within 0.05 s(?s:.*)fewer requests at once"
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(BackendError, match=told):
        JsonServer(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", timeout=0.05, pause=0.0).post({})


def test_what_came_too_late_is_asked_once_more_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def late(body: bytes) -> Any:
        asked.append(body)
        raise urllib.error.URLError(TimeoutError("timed out"))

    server = JsonServer("http://127.0.0.1:9/v1", timeout=5.0, pause=0.0)
    monkeypatch.setattr(server, "_once", late)
    with pytest.raises(BackendError, match="no answer within 5 s"):
        server.post({})
    assert len(asked) == 2


def test_an_answer_that_never_ends_is_given_up() -> None:
    class Dripping:
        def read1(self, count: int) -> bytes:
            return b" "

    with pytest.raises(TimeoutError):
        room._whole(Dripping(), time.monotonic() + 0.01)

"""Scores from a server on 127.0.0.1 that speaks OpenAI's completions protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mixmerge.evaluation import BackendError, ChoiceItem, LmEvalTask, OpenAIBackend, TargetItem, Task, TaskError
from mixmerge.evaluation.suite import named
from mixmerge.evaluation.suite.opening import Settings, open_tasks
from mixmerge.evaluation.suite.prompts import Style
from support.answering import Fake, answering


def completion(asked: dict[str, Any], before: str = "") -> tuple[int, Any]:
    """A model of one token a character, likelier the earlier in the alphabet; it answers sums."""
    if not asked.get("echo"):
        text = str(eval(asked["prompt"].rstrip("="))) + " \nand more"
        return 200, {"choices": [{"text": text[: asked["max_tokens"]]}]}
    tokens = [*([before] if before else []), *asked["prompt"], "!"]
    offsets = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    values = [None, *(-float(ord(token[0])) for token in tokens[1:])]
    found = {"tokens": tokens, "text_offset": offsets, "token_logprobs": values}
    return 200, {"choices": [{"text": asked["prompt"] + "!", "logprobs": found}]}


@pytest.fixture
def server() -> Iterator[Fake]:
    with answering(completion) as fake:
        yield fake


SUMS = Task("sums", tuple(TargetItem(f"{n}+{n}=", str(2 * n if n % 3 else 0)) for n in range(1, 31)))
WORDS = Task(
    "words",
    (
        ChoiceItem("say", (" b", " a"), 1),
        ChoiceItem("say", (" b", " c"), 1),
        ChoiceItem("say ", ("aa", "b"), 1),
        ChoiceItem("say", (" a", "  "), 1),
    ),
)


def test_targets_are_compared_with_the_first_line(server: Fake) -> None:
    backend = OpenAIBackend(server.url + "/", "merged", api_key="secret", workers=4)
    indices = [4, 2, 21, 5]
    assert backend.score(SUMS, indices).tolist() == [1.0, 0.0, 1.0, 0.0]
    path, key, body = server.asked[0]
    assert (path, key) == ("/v1/completions", "Bearer secret")
    assert (body["model"], body["temperature"], body["stop"]) == ("merged", 0, ["\n"])
    assert OpenAIBackend(server.url, "merged").score(SUMS, range(30)).sum() == 20


@pytest.mark.parametrize("before", ["", "<s>"])
def test_choices_are_summed_over_the_tokens_behind_the_prompt(server: Fake, before: str) -> None:
    server.reply = lambda asked: completion(asked, before)
    assert OpenAIBackend(server.url, "merged").score(WORDS, range(4)).tolist() == [1.0, 0.0, 1.0, 1.0]
    assert {body["prompt"] for _, _, body in server.asked} >= {"say a", "say b", "say aa"}


def test_a_passing_fault_is_tried_again(server: Fake) -> None:
    faults = [503, 429, 500]

    def reply(asked: dict[str, Any]) -> tuple[int, Any]:
        return (faults.pop(), {}) if faults else completion(asked)

    server.reply = reply
    assert OpenAIBackend(server.url, "m", workers=1, pause=0.0).score(SUMS, [0]).tolist() == [1.0]
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("reply", "told", "tries"),
    [
        ((404, b"no model 'm'"), "404", 1),
        ((401, b"key"), "401", 1),
        ((503, b""), "503", 4),
        ((200, b"<html>"), "JSONDecodeError", 4),
        ((200, {"error": "x"}), "as OpenAI's completions do", 1),
        ((200, {"choices": []}), "as OpenAI's completions do", 1),
        ((200, []), "as OpenAI's completions do", 1),
    ],
)
def test_a_lasting_fault_is_told(server: Fake, reply: tuple[int, Any], told: str, tries: int) -> None:
    server.reply = lambda _: reply
    with pytest.raises(BackendError, match=told) as caught:
        OpenAIBackend(server.url, "m", workers=1, pause=0.0).score(SUMS, [0])
    assert caught.value.exit_code == 1
    assert len(server.asked) == tries
    assert server.url in str(caught.value)


def test_a_server_without_echo_is_told(server: Fake) -> None:
    server.reply = lambda _: (200, {"choices": [{"text": "x", "logprobs": None}]})
    with pytest.raises(BackendError, match="echoes prompts with logprobs"):
        OpenAIBackend(server.url, "m", pause=0.0).score(WORDS, [0])


def test_a_server_that_scores_its_own_answer_alone_is_told(server: Fake) -> None:
    """As llama.cpp does: `echo` is ignored, and every choice would score alike."""
    found = {"tokens": ["x"], "text_offset": [0], "token_logprobs": [-0.5]}
    server.reply = lambda _: (200, {"choices": [{"text": "x", "logprobs": found}]})
    with pytest.raises(BackendError, match="echoes prompts with logprobs"):
        OpenAIBackend(server.url, "m", pause=0.0).score(WORDS, [0])


def test_no_server_at_all(server: Fake) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed.server_close()
    with pytest.raises(BackendError, match="the server answers"):
        OpenAIBackend(f"http://127.0.0.1:{closed.server_port}/v1", "m", pause=0.0).score(SUMS, [0])
    with pytest.raises(BackendError, match="is http:// or https:// and a host"):
        OpenAIBackend("file:///etc/passwd", "m")


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "http://secret@host/v1", "https://host/v1?key=secret"])
def test_addresses_hold_no_secrets_for_they_are_told_and_recorded(url: str) -> None:
    with pytest.raises(BackendError, match="holds no user, password or query") as caught:
        OpenAIBackend(url, "m")
    assert "secret" not in str(caught.value)
    assert "environment variable" in caught.value.problems[0].cure


def gsm8k(folder: Path, prompt: Style) -> LmEvalTask:
    rows = [{"question": f"{n}+{n}", "answer": f"#### {2 * n}"} for n in range(1, 5)]
    (folder / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (opened,) = open_tasks(named("m3_gsm8k"), Settings(prompt=prompt, data_dir=folder))
    return opened.task


def test_suite_tasks_need_nothing_but_text(server: Fake, tmp_path: Path) -> None:
    """Prompts and ends of answers are the suite's; a stop text that a server leaves in is cut off here."""

    def reply(asked: dict[str, Any]) -> tuple[int, Any]:
        first = int(asked["prompt"].split("+")[0][-1])
        number = 2 * first if first != 3 else 1
        return 200, {"choices": [{"text": f" It is {number}.\nUSER: and now 99?"}]}

    server.reply = reply
    task = gsm8k(tmp_path, "alpaca")
    assert OpenAIBackend(server.url, "m").score(task, [3, 0, 2]).tolist() == [1.0, 1.0, 0.0]
    bodies = [body for _, _, body in server.asked]
    assert len(bodies) == 3
    for body in bodies:
        assert body["prompt"].endswith("### Response: Let's think step by step.")
        assert (body["max_tokens"], body["temperature"]) == (1024, 0)
        assert body["stop"] == ["### Instruction:", "\nUSER:"]


def test_a_server_that_fails_on_a_suite_task_is_told_as_one(server: Fake, tmp_path: Path) -> None:
    server.reply = lambda _: (400, b"maximum context length")
    with pytest.raises(BackendError, match="maximum context length"):
        OpenAIBackend(server.url, "m", pause=0.0).score(gsm8k(tmp_path, "raw"), [0])


def test_other_tasks_of_lm_eval_need_a_live_model(tmp_path: Path) -> None:
    other = object.__new__(LmEvalTask)
    other.name, other._scorer, other._chat = "x", None, False
    for task in (other, gsm8k(tmp_path, "chat_template")):
        with pytest.raises(TaskError, match="live backend"):
            OpenAIBackend("http://127.0.0.1:1/v1", "m").score(task, [0])

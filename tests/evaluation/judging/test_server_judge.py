"""A judge behind a server on 127.0.0.1: win rates, what is sent, what is paid for, what is told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from evaluation.judging.conftest import Fake, longest, said, shown
from mixmerge.evaluation import BackendError, TaskError
from mixmerge.evaluation.judging.cost import Cost, Prices, count_tokens
from mixmerge.evaluation.judging.judge import Pair, Verdicts
from mixmerge.evaluation.judging.pairwise import answer_first
from mixmerge.evaluation.judging.server import ServerJudge

PAIRS = [Pair(f"item {number}.", "x" * (number % 7), "y" * 3) for number in range(14)]
LONGER = [0.5 if len(pair.answer) == 3 else float(len(pair.answer) > 3) for pair in PAIRS]


def judge(server: Fake, **settings: Any) -> ServerJudge:
    return ServerJudge(server.url, "m", **{"pause": 0.0, "agree": lambda cost: True, **settings})


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("workers", [1, 4])
def test_scores_are_the_judges_preferences_whatever_the_order(server: Fake, both: bool, workers: int) -> None:
    found = judge(server, both_orders=both).compare(PAIRS, workers)
    assert list(found.scores) == LONGER
    assert (found.sent, found.known, found.unreadable) == (28 if both else 14, 0, 0)
    assert (found.prompt_tokens, found.completion_tokens) == (100 * found.sent, found.sent)
    path, key, body = server.asked[0]
    assert (path, key) == ("/v1/chat/completions", None)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 16)


def test_the_answer_stands_where_seed_and_item_put_it(server: Fake) -> None:
    judge(server, seed=5).compare(PAIRS)
    for pair, (_, _, body) in zip(PAIRS, server.asked, strict=True):
        expected = (pair.answer, pair.reference) if answer_first(5, pair.instruction) else (pair.reference, pair.answer)
        assert shown(body) == expected


def test_a_judge_that_always_likes_the_first_is_found_out_by_both_orders(server: Fake) -> None:
    server.reply = lambda asked: said("A")
    assert judge(server, both_orders=True).compare(PAIRS).scores == (0.5,) * 14
    once = judge(server).compare(PAIRS).scores
    assert once == tuple(float(answer_first(0, pair.instruction)) for pair in PAIRS)


def test_a_reply_that_is_no_verdict_is_counted_and_not_guessed(server: Fake) -> None:
    def reply(asked: dict[str, Any]) -> tuple[int, Any]:
        if "item 3." in asked["messages"][0]["content"]:
            return said("Both are fine.")
        return said(None) if "item 4." in asked["messages"][0]["content"] else longest(asked)

    server.reply = reply
    found = judge(server).compare(PAIRS)
    assert [number for number, score in enumerate(found.scores) if math.isnan(score)] == [3, 4]
    assert found.unreadable == 2
    assert [score for score in found.scores if not math.isnan(score)] == LONGER[:3] + LONGER[5:]


def test_one_order_without_a_verdict_leaves_none_for_the_pair(server: Fake) -> None:
    server.reply = lambda asked: said("hm") if shown(asked)[0].startswith("y") else said("A")
    found = judge(server, both_orders=True).compare(PAIRS)
    assert all(math.isnan(score) for score in found.scores)
    assert found.unreadable == 14


def test_equal_answers_tie_and_equal_pairs_are_asked_once(server: Fake) -> None:
    pairs = [Pair("r", "same", "same"), Pair("r", "long", "s"), Pair("r", "long", "s")]
    found = judge(server).compare(pairs)
    assert (found.scores, found.sent) == ((0.5, 1.0, 1.0), 1)
    assert judge(server).compare([]) == Verdicts((), 0, 0, 0)
    assert len(server.asked) == 1


@pytest.mark.parametrize("agree", [None, lambda cost: False])
def test_nothing_is_sent_before_somebody_agreed_to_the_cost(server: Fake, agree: Any) -> None:
    with pytest.raises(TaskError, match="only after its cost was agreed to") as caught:
        judge(server, agree=agree).compare(PAIRS)
    assert "14 calls, about" in str(caught.value)
    assert server.asked == []


def test_the_cost_is_told_before_and_what_was_found_after(server: Fake) -> None:
    told: list[Any] = []
    prices = Prices(2.0, 8.0)

    def agree(cost: Cost) -> bool:
        told.append((cost, len(server.asked)))
        return True

    one = judge(server, both_orders=True, prices=prices, agree=agree, tell=told.append)
    found = one.compare(PAIRS, 3)
    (cost, before), after = told
    assert before == 0
    assert after == found
    assert cost.calls == found.sent == len(server.asked) == 28
    texts = [body["messages"][0]["content"] for _, _, body in server.asked]
    assert cost.prompt_tokens == sum(count_tokens(text) + 16 for text in texts)
    assert cost.completion_tokens == 28 * 16
    assert cost.money == pytest.approx((cost.prompt_tokens * 2 + cost.completion_tokens * 8) / 1e6)


def test_a_stopped_run_goes_on_without_paying_twice(server: Fake, tmp_path: Path) -> None:
    verdicts = tmp_path / "verdicts.jsonl"

    def reply(asked: dict[str, Any]) -> tuple[int, Any]:
        return (401, b"out of credit") if len(server.asked) > 5 else longest(asked)

    server.reply = reply
    with pytest.raises(BackendError, match="out of credit"):
        judge(server, verdicts=verdicts).compare(PAIRS)
    server.reply = longest
    again = judge(server, verdicts=verdicts)
    assert (again.cost(PAIRS).calls, again.cost(PAIRS).known) == (9, 5)
    found = again.compare(PAIRS)
    assert (found.sent, found.known, list(found.scores)) == (9, 5, LONGER)
    asked = len(server.asked)
    third = judge(server, verdicts=verdicts, agree=None)  # nothing is left to agree to
    assert list(third.compare(PAIRS).scores) == LONGER
    assert len(server.asked) == asked


def test_verdicts_of_another_judge_or_setting_are_not_taken(server: Fake, tmp_path: Path) -> None:
    verdicts = tmp_path / "verdicts.jsonl"
    judge(server, verdicts=verdicts).compare(PAIRS[:1])
    for other in (
        ServerJudge(server.url, "other", verdicts=verdicts),
        judge(server, verdicts=verdicts, max_tokens=17),
    ):
        assert (other.cost(PAIRS[:1]).calls, other.cost(PAIRS[:1]).known) == (1, 0)
    assert judge(server, verdicts=verdicts, both_orders=True).cost(PAIRS[:1]).known == 1


def test_the_key_is_sent_and_neither_kept_nor_told(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", " sk-very-secret\n")
    verdicts = tmp_path / "verdicts.jsonl"
    one = judge(server, key_name="JUDGE_KEY", verdicts=verdicts)
    one.compare(PAIRS[:1])
    assert server.asked[0][1] == "Bearer sk-very-secret"
    server.reply = lambda asked: (401, b"the key sk-very-secret is wrong")
    with pytest.raises(BackendError, match="401") as caught:
        one.compare(PAIRS)
    for text in (str(caught.value), json.dumps(one.record()), repr(one), verdicts.read_text()):
        assert "secret" not in text
    assert one.record() == {
        "judge": "server", "url": f"{server.url}/chat/completions", "model": "m", "prompt": "pairwise-1",
        "seed": 0, "both_orders": False, "max_tokens": 16,
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, "", "  ", "ké", "a\x07b"])
def test_a_key_that_is_not_there_or_cannot_be_sent_is_told(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(TaskError, match="environment variable named for the judge's key") as caught:
        ServerJudge("http://127.0.0.1:1/v1", "m", key_name="JUDGE_KEY")
    assert value is None or not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-hunter2", "sk_hunter2", "hunter2", "AKIAHUNTER2HUNTER2HU", "Bearer hunter2"])
def test_a_key_given_in_place_of_its_variable_is_not_told(key: str) -> None:
    with pytest.raises(TaskError, match="environment variable named for the judge's key") as caught:
        ServerJudge("http://127.0.0.1:1/v1", "m", key_name=key)
    assert "hunter2" not in str(caught.value).lower()
    assert "export NAME=..." in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "http://host:port/v1", "http://[::1/v1"])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(TaskError, match="http:// or https:// and a host") as told:
        ServerJudge(url, "m")
    assert told.value.exit_code == 2
    with pytest.raises(TaskError) as told:
        ServerJudge(url.replace("host", "me:secret@host"), "m")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "https://host/v1?key=secret"])
def test_addresses_hold_no_secrets(url: str) -> None:
    with pytest.raises(TaskError, match="holds no user, password or query") as caught:
        ServerJudge(url, "m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"error": "x"}),
        (200, {"choices": []}),
        (200, []),
        (200, {"choices": [{"message": {"content": ["A"]}}]}),
        (200, {"choices": [{"message": {"content": "A"}}], "usage": 3}),
    ],
)
def test_a_server_that_answers_something_else_is_told(server: Fake, reply: tuple[int, Any]) -> None:
    server.reply = lambda asked: reply
    with pytest.raises(BackendError, match="as OpenAI's chat completions do"):
        judge(server).compare(PAIRS[:1])


def test_a_passing_fault_is_tried_again(server: Fake) -> None:
    faults = [503, 429]
    server.reply = lambda asked: (faults.pop(), {}) if faults else longest(asked)
    assert list(judge(server).compare(PAIRS[:1]).scores) == LONGER[:1]
    assert len(server.asked) == 3

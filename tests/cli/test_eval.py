"""mixmerge eval: one call of the library; what comes back is printed, what is wrong is refused first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Cli
from mixmerge.evaluation import Estimate
from mixmerge.evaluation import evaluate as module
from mixmerge.evaluation.lm_eval_tasks import Sample
from mixmerge.evaluation.results import Asked, Evaluation, Note, Skipped, TaskResult

SOURCE = {
    "kind": "hub", "place": "openai/gsm8k", "config": "main", "split": "test", "version": "abc", "rows": 1319,
    "digest": "7df2", "stand_in": None,
}  # fmt: skip


def result(**changes: Any) -> TaskResult:
    given: dict[str, Any] = {
        "name": "m3_gsm8k", "metric": "exact_match", "metric_words": "share", "version": "1", "citation": "Cobbe",
        "fingerprint": "f", "estimate": Estimate(0.25, 0.071, 0.591, 8), "seconds": 12.34, "shortened": 0,
        "unscored": 0, "data": (SOURCE,), "samples": (Sample(0, "p", "half \ud800 of a character", 1.0),),
    }  # fmt: skip
    return TaskResult(**(given | changes))


def found(*tasks: TaskResult, skipped: tuple[Skipped, ...] = ()) -> Evaluation:
    return Evaluation(
        model="m", commit=None, parameters=5, prompt="alpaca", limit=8, device="cpu", compute="float32", batch_size=16,
        allowed={"code_execution": False, "judge": None}, versions={"mixmerge": "0"}, skipped=skipped,
        tasks=tasks or (result(),),
    )  # fmt: skip


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the library is called with; `answer` is what it returns or raises."""
    seen: dict[str, Any] = {"answer": found()}

    def fake(*words: Any, **named: Any) -> Any:
        seen.update(named, words=words)
        for event in seen.get("events", ()):
            named["listeners"][0](event)
        if isinstance(seen["answer"], BaseException):
            raise seen["answer"]
        return seen["answer"]

    monkeypatch.setattr(module, "evaluate", fake)
    return seen


def test_words_and_table(cli: Cli, called: dict[str, Any], tmp_path: Path) -> None:
    code, out, err = cli(
        "eval", "model", "--tasks", "m3_gsm8k", "own.jsonl", "--prompt", "vicuna", "--data-dir", "data", "--limit", "8",
        "--compute", "bfloat16", "--batch-size", "4", "--allow-code-execution", "--out", "r.json", "--overwrite",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert called["words"] == ("model", ["m3_gsm8k", "own.jsonl"])
    named = (
        "prompt", "data_dir", "limit", "compute", "batch_size", "allow_code_execution", "out", "overwrite", "judge",
    )  # fmt: skip
    assert [called[name] for name in named] == ["vicuna", "data", 8, "bfloat16", 4, True, "r.json", True, None]
    assert out.splitlines() == [
        "task           metric  score  95 % interval  items  seconds",
        "m3_gsm8k  exact_match   25.0    [7.1, 59.1]      8     12.3",
        "",
        "prompt    alpaca",
        "data      m3_gsm8k: openai/gsm8k main abc, 1319 rows, xxh3-128 7df2",
        "results   r.json",
    ]


def test_a_prompt_style_is_told_of_tasks_that_are_asked_in_it(cli: Cli, called: dict[str, Any]) -> None:
    """Items of files, and tasks of lm-eval, are asked as they are."""
    called["answer"] = found(result(name="mine", data=()))
    code, out, _ = cli("eval", "model", "--tasks", "mine.jsonl")
    assert code == 0
    assert "alpaca" not in out
    called["answer"] = found(result(name="mine", data=()), result())
    assert "prompt    alpaca" in cli("eval", "model", "--tasks", "mine.jsonl", "m3_gsm8k").out


def test_remarks(cli: Cli, called: dict[str, Any]) -> None:
    skipped = (Skipped("m3_mbpp", "it runs programs that a model wrote", "say so"),)
    called["answer"] = found(result(shortened=3, unscored=2), result(name="b", estimate=None, data=()), skipped=skipped)
    called["events"] = [Note("m3_mbpp is skipped"), Asked("m3_gsm8k", 1, 2)]
    code, out, err = cli("eval", "model", "--suite", "m3")
    assert (code, err) == (0, "note: m3_mbpp is skipped\n")
    assert "skipped   m3_mbpp: it runs programs that a model wrote\n" in out
    assert "note      m3_gsm8k: 3 prompts lost their beginning: the model's window is too small\n" in out
    assert "note      m3_gsm8k: 2 items without a verdict are left out\n" in out
    assert "b         exact_match   none                     0     12.3" in out
    called["answer"] = found(result(shortened=1, unscored=1))
    out = cli("eval", "model", "--suite", "m3").out
    assert "note      m3_gsm8k: 1 prompt lost its beginning: the model's window is too small\n" in out
    assert "note      m3_gsm8k: 1 item without a verdict is left out\n" in out
    assert cli("eval", "model", "--suite", "m3", "--quiet").err == ""


def test_json(cli: Cli, called: dict[str, Any]) -> None:
    code, out, _ = cli("eval", "model", "--suite", "m3", "--tasks", "own.jsonl", "--json")
    assert code == 0
    assert called["words"][1] == ["m3", "own.jsonl"]
    record = json.loads(out)
    assert record == found().record(samples=False)
    assert record["tasks"][0]["score"] == {"mean": 0.25, "low": 0.071, "high": 0.591, "n": 8}


def test_half_characters_can_be_written(tmp_path: Path) -> None:
    found().write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == found().record()


BAD: list[tuple[tuple[str, ...], str]] = [
    (("eval", "model"), "--suite m3"),
    (("eval", "model", "m3"), "say the tasks after --tasks"),
    (("eval", "model", "--suite", "m4"), "known: m3"),
    (("eval", "model", "--suite", "m3", "--judge-url", "http://x"), "no --judge-model"),
    (("eval", "model", "--suite", "m3", "--judge-model", "x"), "no --judge-url"),
    (("eval", "nowhere", "--tasks", "m3_gsm8k", "--prompt", "alpacca"), "did you mean 'alpaca'"),
    (("eval", "nowhere", "--tasks", "m3_gsm8k"), "nowhere"),
    (("eval", "nowhere", "--tasks", "m3_mbpp"), "--allow-code-execution"),
    (("eval", "base", "--tasks", "m3_gsm8k", "--data-dir", "nowhere", "--prompt", "raw"), "the data folder exists"),
    (("eval", "base", "--tasks", "m3_gsm8k", "m3_math", "--data-dir", ".", "--prompt", "raw"), "refused: 2 problems"),
    (("eval", "base", "--tasks", "m3_gsm8k", "--out", "no/folder.json"), "make the folder first"),
    (("eval", "base", "--tasks", "m3_gsm8k", "--out", "recipe.yaml"), "--overwrite"),
]


@pytest.mark.parametrize(("words", "told"), BAD)
def test_refusals(words: tuple[str, ...], told: str, cli: Cli, place: Path) -> None:
    before = sorted(place.rglob("*"))
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert sorted(place.rglob("*")) == before


def test_stopped(cli: Cli, called: dict[str, Any]) -> None:
    called["answer"] = KeyboardInterrupt()
    code, _, err = cli("eval", "model", "--suite", "m3")
    assert code == 130
    assert "nothing was written" in err

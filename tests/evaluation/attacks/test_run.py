"""One attack on models in memory, from files to report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixmerge
from evaluation.conftest import bytes_tokenizer, llama, save
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.attacks import ATTACKS, AttackReport, PromptsScored

PROMPT = "over the lazy fox {content} jumps brown quick"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two random ones: their choices depend on every token before."""
    import torch

    place = tmp_path_factory.mktemp("models")
    model, tokenizer = llama(tied=True), bytes_tokenizer(begin=True)
    first = save(model, tokenizer, place / "first")
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(-1.3)
    return [first, save(model, tokenizer, place / "second")]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("task") / "dogs.jsonl"
    lines = [
        {"prompt": f"a {word} {number} café", "choices": [" dog", " fox"], "answer": (number * 7 // 3) % 2}
        for number, word in enumerate(["lazy", "quick", "brown", "over"] * 6)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def timeless(report: AttackReport) -> dict[str, Any]:
    found = report.record()
    for result in found["results"]:
        result["seconds"] = 0
    return found


def test_report(models: list[Path], task: Path, tmp_path: Path) -> None:
    told: list[PromptsScored] = []
    report = mixmerge.attack(
        models, task, "deepwordbug", limit=15, queries=20, prompt_text=PROMPT, protect=["lazy"],
        out=tmp_path / "report.json", listeners=[told.append],
    )  # fmt: skip
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report.record()
    assert [result.model for result in report.results] == [str(model) for model in models]
    assert (report.task, report.attack, report.prompt, report.examples) == ("dogs", "deepwordbug", PROMPT, 15)
    assert report.settings["protect"] == ("lazy",)
    assert report.settings["similarity"] is None
    assert report.settings["compute"] == "float32", "on a CPU, where nobody says it"
    assert set(report.versions) >= {"mixmerge", "torch", "transformers"}
    for result in report.results:
        assert [run.seed for run in result.runs] == [0, 1, 2]
        assert result.clean.n == 15
        for run in result.runs:
            assert 0 < run.queries <= 20
            assert len(run.tried) == run.queries + 1
            assert run.tried[0].prompt == PROMPT
            assert run.attacked.mean == min(one.accuracy for one in run.tried if one.prompt == run.prompt)
            assert "lazy" in run.prompt
            assert "{content}" in run.prompt
            assert run.pdr is not None
            assert run.pdr.value == pytest.approx(1 - run.attacked.mean / result.clean.mean)
        assert result.pdr is not None
        values = [run.pdr.value for run in result.runs if run.pdr]
        assert (result.pdr.mean, result.pdr.sd) == (
            pytest.approx(np.mean(values)),
            pytest.approx(np.std(values, ddof=1)),
        )
    assert any(run.prompt != PROMPT for result in report.results for run in result.runs)
    assert [event.evaluations for event in told if event.model == str(models[1])] == list(
        range(1, report.results[1].evaluations + 1)
    )


def test_same_seeds_same_report(models: list[Path], task: Path) -> None:
    words: dict[str, Any] = {"limit": 10, "queries": 12, "prompt_text": PROMPT}
    both = mixmerge.attack(models, task, "deepwordbug", seeds=[2, 0], **words)
    assert timeless(both) == timeless(mixmerge.attack(models, task, "deepwordbug", seeds=[2, 0], **words))
    alone = mixmerge.attack(models[1:], task, "deepwordbug", seeds=[0], **words)
    assert alone.results[0].runs[0] == both.results[1].runs[1]  # neither the model before nor the seed before matters
    assert alone.digest == both.digest
    assert alone.results[0].clean == both.results[1].clean


@pytest.mark.parametrize("attack", ["stresstest", "checklist"])
def test_appended_sentences(models: list[Path], task: Path, attack: str) -> None:
    report = mixmerge.attack(models[:1], task, attack, limit=8, queries=5, prompt_text=PROMPT, seeds=[1, 2])
    runs = report.results[0].runs
    assert [run.seed for run in runs] == ([1, 2] if ATTACKS[attack].drawn else [None])
    for run in runs:
        tried = run.tried[1:]
        assert len(tried) == (5 if attack == "checklist" else 3)
        assert all(one.prompt.startswith(PROMPT + " ") for one in tried)
        assert run.attacked.mean == min(one.accuracy for one in tried)


def test_bertattack(models: list[Path], task: Path, masked_folder: Path) -> None:
    report = mixmerge.attack(
        models[:1], task, "bertattack", limit=8, queries=40, prompt_text="read the film {content} and say it",
        masked_lm=masked_folder, sentence_encoder=masked_folder,
    )  # fmt: skip
    (run,) = report.results[0].runs
    assert run.seed is None
    assert run.queries > 3  # more than the words' importance
    assert report.settings["masked_lm"] == str(masked_folder)
    assert report.settings["similarity"] == 0.8


def test_a_model_that_is_never_right(models: list[Path], task: Path, tmp_path: Path) -> None:
    """The answers are turned against the model's own choices."""
    from mixmerge.evaluation import LiveModel
    from mixmerge.evaluation.attacks.classify import Classifier
    from mixmerge.evaluation.attacks.examples import load_examples

    data = load_examples(str(task))
    right = Classifier(LiveModel.load(models[0]), data.rows, data.labels)([PROMPT])[0]
    lines = [
        {"prompt": row.content, "choices": list(data.labels), "answer": 1 - row.answer if good else row.answer}
        for row, good in zip(data.rows, right, strict=True)
    ]
    path = tmp_path / "wrong.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    report = mixmerge.attack(models[:1], path, "stresstest", prompt_text=PROMPT)
    (result,) = report.results
    assert result.clean.mean == 0.0
    assert result.pdr is None
    assert result.runs[0].pdr is None
    assert '"pdr": null' in report.text()
    assert "NaN" not in report.text()


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as caught:
        mixmerge.attack(
            [tmp_path / "no such model"], "sst", "deepwordbag", limit=0, queries=0, seeds=[1, 1], compute="int8",  # type: ignore[arg-type]
            out=tmp_path,
        )  # fmt: skip
    rules = [problem.rule for problem in caught.value.problems]
    assert len(rules) == 8
    assert "did you mean 'deepwordbug'?" in str(caught.value)
    assert "did you mean 'sst2'?" in str(caught.value)


def test_records_can_do_without_every_prompt(models: list[Path], task: Path) -> None:
    report = mixmerge.attack(models[:1], task, "stresstest", limit=3, prompt_text=PROMPT)
    short = report.record(tried=False)
    assert all("tried" not in run for result in short["results"] for run in result["runs"])
    assert report.record()["results"][0]["runs"][0]["tried"]

"""A whole study on tiny models: what is recorded, refused, gone on with, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import OutputError, PlanError, RecipeError
from mixmerge.evaluation import Estimate
from mixmerge.report import validate
from mixmerge.study import Study, TrialDone, explore, export
from mixmerge.study.verdict import sentence, strength_of


@pytest.fixture(scope="module")
def study(tiny, tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("study") / "s"
    return explore(tiny.recipe, tiny.tasks, folder=folder, draws=5, seed=1, threads=1)


def rows(study: Study) -> list[tuple[Any, ...]]:
    return [(row["number"], row["ratio a"], row["value"], row["state"]) for row in study.trials]


def test_every_draw_is_recorded(study) -> None:
    assert [row["number"] for row in study.trials] == list(range(5))
    assert all(row["state"] == "complete" and 0.0 <= row["value"] <= 1.0 for row in study.trials)
    assert all(row["ratio a"] + row["ratio b"] == pytest.approx(1.0) for row in study.trials)


def test_the_winner_is_chosen_on_validation_items(study) -> None:
    best = max(row["value"] for row in study.trials)
    assert study.best == next(row for row in study.trials if row["value"] == best)


def test_the_summary_is_a_valid_report(study) -> None:
    summary = study.summary
    validate(summary)
    assert summary["state"] == "finished"
    assert set(summary["test"]) == {"winner", "equal", "plain", "base", "a", "b"}
    assert set(summary["baselines"]) == {"equal", "plain", "base", "a", "b"}
    assert summary["costs"]["items"] == 5 * sum(task["validation_n"] for task in summary["tasks"].values())
    difference = summary["optimism"]["objective"]
    assert difference["difference"] == pytest.approx(difference["validation"] - difference["test"])


def test_linear_without_mixup_is_the_equal_ratio(study) -> None:
    assert study.summary["test"]["plain"] == study.summary["test"]["equal"]


def test_reports_are_written(study) -> None:
    assert (study.folder / "report.html").read_text().lower().startswith("<!doctype html>")
    assert json.loads((study.folder / "report.json").read_text())["winner"] == study.best["number"]


def test_nothing_is_left_behind(study) -> None:
    assert not (study.folder / "scratch").exists()


def test_item_scores_are_kept(study) -> None:
    lines = (study.folder / "items" / "trial-00000.validation.jsonl").read_text().splitlines()
    assert len(lines) == sum(task["validation_n"] for task in study.summary["tasks"].values())
    assert json.loads(lines[0]).keys() == {"task", "item", "score"}


def test_more_draws_go_on_and_a_finished_study_does_nothing(tiny, tmp_path) -> None:
    events: list[TrialDone] = []

    def listen(event: object) -> None:
        if isinstance(event, TrialDone):
            events.append(event)

    def run(draws: int) -> Study:
        return explore(
            tiny.recipe, tiny.tasks, folder=tmp_path / "s", draws=draws, seed=1, threads=1, listeners=[listen]
        )

    short = rows(run(2))
    longer = rows(run(4))
    assert longer[:2] == short
    assert [event.number for event in events] == [0, 1, 2, 3]
    run(4)
    assert len(events) == 4


def test_another_study_is_refused_with_every_difference(tiny, study) -> None:
    with pytest.raises(PlanError) as caught:
        explore(tiny.with_lines("seed: 7"), tiny.tasks, folder=study.folder, draws=5, seed=2)
    text = str(caught.value)
    assert "recipe was" in text
    assert "seed was 1, now 2" in text


def test_other_tasks_are_refused(tiny, study) -> None:
    with pytest.raises(PlanError, match=r"tasks was \w+, \w+, now \w+\n"):
        explore(tiny.recipe, tiny.tasks[:1], folder=study.folder, draws=5, seed=1)


def test_a_folder_with_something_else_is_refused(tiny, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="empty folder"):
        explore(tiny.recipe, tiny.tasks, folder=tmp_path, draws=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, "draws is at least 1"),
        ({"validation_fraction": 1.0}, "both get items"),
        ({"weights": {"lettres": 2.0}}, "did you mean 'letters'"),
        ({"sampler": "cmaes"}, "two numbers or more"),
        ({"race": True, "sampler": "tpe"}, "needs all draws at the start"),
        ({"score": len}, "give one of the two"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tiny, tmp_path, change, message) -> None:
    with pytest.raises(PlanError, match=message):
        explore(tiny.recipe, tiny.tasks, folder=tmp_path / "s", **change)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("mixup", ["dialect: paper", "mixup: {ratio: 0.3}", "mixup: {alpha: 0}"])
def test_a_recipe_that_draws_nothing_is_refused(tiny, tmp_path, mixup) -> None:
    recipe = tiny.recipe.replace("mixup: {alpha: 0.5}", mixup)
    with pytest.raises(RecipeError, match="a study draws ratios"):
        explore(recipe, tiny.tasks, folder=tmp_path / "s")


def test_a_failed_draw_is_a_record(tiny, tmp_path, monkeypatch) -> None:
    from mixmerge.study.merging import Merger

    merge = Merger.merge
    calls = iter(range(1000))

    def failing(self: Merger, point: Any, sink: Any) -> None:
        if next(calls) == 3:
            raise MemoryError("no room")
        merge(self, point, sink)

    monkeypatch.setattr(Merger, "merge", failing)
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=4, threads=1)
    failed = [row for row in study.trials if row["state"] == "failed"]
    assert [row["error"] for row in failed] == ["MemoryError: no room"]
    assert study.best["state"] == "complete"
    validate(study.summary)


def test_a_score_of_ones_own_needs_no_tasks(tiny, tmp_path) -> None:
    def norm(model: Any, tokenizer: Any) -> float:
        assert tokenizer is not None
        return float(model.get_input_embeddings().weight.float().square().sum())

    study = explore(tiny.recipe, folder=tmp_path / "s", draws=3, score=norm, threads=1)
    assert len({row["value"] for row in study.trials}) == 3
    assert study.summary["verdict"]["strength"] == "pending"
    validate(study.summary)


def test_pareto_keeps_every_draw_nobody_beats(tiny, tmp_path) -> None:
    study = explore(tiny.recipe, tiny.tasks, folder=tmp_path / "s", draws=4, objective="pareto", threads=1)
    pairs = {row["number"]: (row["score letters"], row["score numbers"]) for row in study.trials}
    for row in study.pareto:
        mine = pairs[row["number"]]
        assert not any(p != mine and p[0] >= mine[0] and p[1] >= mine[1] for p in pairs.values())
    assert study.best["number"] in {row["number"] for row in study.pareto}


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_samplers_look_at_two_objectives(tiny, tmp_path, sampler) -> None:
    study = explore(
        tiny.recipe, tiny.tasks, folder=tmp_path / "s", draws=10, sampler=sampler, objective="pareto", threads=1
    )
    assert [row["state"] for row in study.trials] == ["complete"] * 10
    optuna_s = opened(study)
    assert [trial.values for trial in optuna_s.trials] == [
        [row["score letters"], row["score numbers"]] for row in study.trials
    ]
    best = {trial.number for trial in optuna_s.best_trials}
    assert best == {row["number"] for row in study.pareto}
    folders = export(study.folder, tmp_path / "out", pareto=True)
    assert [folder.name for folder in folders] == [f"trial-{row['number']:05d}" for row in study.pareto]
    assert all((folder / "model.safetensors").is_file() for folder in folders)


def opened(study: Study) -> Any:
    """A study as docs/explore.md says that Optuna reads it."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(study.folder / "journal.log")))
    return optuna.load_study(study_name=None, storage=storage)


def test_optuna_reads_the_journal(study) -> None:
    optuna_s = opened(study)
    assert optuna_s.study_name == study.identity["study"]
    assert [trial.value for trial in optuna_s.trials] == [row["value"] for row in study.trials]
    assert optuna_s.best_trial.number == study.best["number"]
    assert optuna_s.trials[0].user_attrs["ratio model"][0] == study.trials[0]["ratio a"]


def test_values_beside_the_ratio_vary(tiny, tmp_path) -> None:
    recipe = tiny.recipe.replace("linear", "ties")
    vary = {"density": [0.2, 0.9], "scale": [0.5, 1.5], "method": ["ties", "task_arithmetic"], "alpha": [0.3, 3.0]}
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=6, vary=vary, threads=1)
    assert {row["method"] for row in study.trials} == {"ties", "task_arithmetic"}
    assert len({row["density"] for row in study.trials}) == 6
    assert all(row["state"] == "complete" for row in study.trials)
    validate(study.summary)


def test_groups_have_ratios_of_their_own(tiny, tmp_path) -> None:
    recipe = tiny.recipe.replace("{alpha: 0.5}", "{alpha: 0.5, scope: block}")
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)
    assert {key for key in study.trials[0] if key.startswith("ratio")} == {
        f"ratio {group} {label}" for group in ("attention", "mlp", "other") for label in "ab"
    }
    validate(study.summary)


def test_three_sources(tiny, tmp_path) -> None:
    recipe = tiny.recipe.replace("mixup", f"  - model: {tiny.c}\nmixup")
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, sampler="random", threads=1)
    assert {key for key in study.trials[0] if key.startswith("ratio")} == {"ratio a", "ratio b", "ratio c"}
    assert study.summary["law"]["kind"] == "dirichlet"
    validate(study.summary)


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_samplers_that_look_at_the_trials(tiny, tmp_path, sampler) -> None:
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=10, sampler=sampler, threads=1)
    assert len({row["ratio a"] for row in study.trials}) == 10


def test_a_separate_file_proves(tiny, tmp_path) -> None:
    lines = tiny.tasks[0].read_text().splitlines()
    chosen, proved = tmp_path / "letters.jsonl", tmp_path / "letters.test.jsonl"
    chosen.write_text("\n".join(lines[:10]) + "\n")
    proved.write_text("\n".join(lines[10:]) + "\n")
    study = explore(tiny.recipe, [chosen], test_tasks=[proved], folder=tmp_path / "s", draws=2, threads=1)
    task = study.summary["tasks"]["letters"]
    assert (task["validation_n"], task["test_n"]) == (10, 14)


def test_a_storage_url(tiny, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, storage=url, threads=1)
    assert len(study.trials) == 2
    assert not (tmp_path / "s" / "journal.log").exists()


@pytest.mark.parametrize(
    ("mean", "low", "high", "word", "strength"),
    [
        (0.1, 0.02, 0.2, "above the equal ratio", "better"),
        (0.05, 0.0, 0.1, "No difference", "unclear"),
        (-0.1, -0.2, -0.01, "The equal ratio was better", "worse"),
    ],
)
def test_words_are_not_stronger_than_numbers(mean, low, high, word, strength) -> None:
    difference = Estimate(mean, low, high, 50)
    assert strength_of(difference) == strength
    assert word in sentence(Estimate(0.6, 0.5, 0.7, 50), Estimate(0.6 - mean, 0.4, 0.6, 50), difference)


def test_a_folder_without_a_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds study\.json"):
        Study(tmp_path)

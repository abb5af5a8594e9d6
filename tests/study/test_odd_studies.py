"""Studies that end in an unusual way, and what they must not be mixed up with: scores that are no numbers, draws that
all fail, two studies in one database, another function of the same name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import OutputError, PlanError
from mixmerge.report import validate
from mixmerge.study import Study, explore, export


def sure(model: Any, tokenizer: Any) -> float:
    assert tokenizer is not None
    return 1.0 / (1.0 + float(model.get_input_embeddings().weight.float().square().mean()))


def test_a_score_of_ones_own_has_no_interval_wherever_it_lies(tiny, tmp_path) -> None:
    study = explore(tiny.recipe, folder=tmp_path / "s", draws=2, score=sure, threads=1)
    rows = study.summary["baselines"]
    assert rows.keys() == {"equal", "plain", "base", "a", "b"}
    for row in rows.values():
        assert 0.0 < row["score"]["mean"] < 1.0
        assert row["score"]["low"] == row["score"]["mean"] == row["score"]["high"]
    (folder,) = export(study.folder, tmp_path / "out")
    assert " % (" not in (folder / "README.md").read_text().split("How it was chosen")[1]


def test_a_score_that_is_no_number_fails_its_draw(tiny, tmp_path) -> None:
    calls = iter(range(100))

    def sometimes(model: Any, tokenizer: Any) -> float:
        return math.nan if next(calls) == 6 else sure(model, tokenizer)

    study = explore(tiny.recipe, folder=tmp_path / "s", draws=4, score=sometimes, threads=1)
    failed = [row["error"] for row in study.trials if row["state"] == "failed"]
    assert len(failed) == 1
    assert "finite number" in failed[0]
    validate(study.summary)


def test_another_function_is_another_study(tiny, tmp_path) -> None:
    explore(tiny.recipe, folder=tmp_path / "s", draws=2, score=sure, threads=1)

    def unsure(model: Any, tokenizer: Any) -> float:
        return -sure(model, tokenizer)

    with pytest.raises(PlanError, match=r"tasks\.\w+\.fingerprint was"):
        explore(tiny.recipe, folder=tmp_path / "s", draws=4, score=unsure, threads=1)
    assert len(explore(tiny.recipe, folder=tmp_path / "s", draws=3, score=sure, threads=1).trials) == 3


@pytest.mark.parametrize("how", ["tasks", "race", "score"])
def test_a_study_whose_draws_all_failed_says_so(tiny, tmp_path, monkeypatch, how) -> None:
    from mixmerge.study.merging import Merger

    merge = Merger.merge

    def failing(self: Merger, point: Any, sink: Any) -> None:
        if point.ratios["model"] != (0.5, 0.5):
            raise MemoryError("no room")
        merge(self, point, sink)

    monkeypatch.setattr(Merger, "merge", failing)
    if how == "score":
        study = explore(tiny.recipe, folder=tmp_path / "s", draws=3, score=sure, threads=1)
    else:
        study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, race=how == "race", threads=1)
    summary = study.summary
    assert summary["state"] == "finished"
    assert summary["verdict"]["strength"] == "pending"
    assert summary["verdict"]["sentence"] == "Nothing was chosen: all 3 draws failed. The trial table says why."
    assert summary["winner"] is None
    with pytest.raises(PlanError, match="all 3 draws failed"):
        _ = study.best
    page = (study.folder / "report.html").read_text()
    assert "still running" not in page


def test_two_studies_in_one_database(tiny, tmp_path) -> None:
    """The same recipe and seed, other tasks or another sampler: neither sees the trials of the other."""
    url = f"sqlite:///{tmp_path}/studies.db"

    def run(folder: str, tasks: Any, draws: int = 2, **more: Any) -> Study:
        return explore(tiny.recipe, tasks, folder=tmp_path / folder, draws=draws, storage=url, threads=1, **more)

    first, second = run("one", tiny.tasks[:1]), run("two", tiny.tasks)
    third = run("three", tiny.tasks[:1], sampler="random")
    assert "score numbers" in second.trials[0]
    assert [row["ratio a"] for row in third.trials] != [row["ratio a"] for row in first.trials]
    before = [(row["number"], row["ratio a"], row["value"]) for row in first.trials]
    longer = run("one", tiny.tasks[:1], draws=3)
    assert [(row["number"], row["ratio a"], row["value"]) for row in longer.trials][:2] == before
    assert len(longer.trials) == 3


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no-such-folder/x.db", "redis://localhost/0", "sqlite://h:port/x"]
)
def test_a_storage_that_cannot_be_opened_is_refused_before_the_study_begins(tiny, tmp_path, url) -> None:
    with pytest.raises(OutputError, match="Optuna opens the storage") as caught:
        explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, storage=url, threads=1)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "s").exists()


def test_a_study_stays_in_its_storage(tiny, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, storage=url, threads=1)
    with pytest.raises(PlanError, match="storage was"):
        explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, storage=url + ".other", threads=1)
    gone_on = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)  # need not say it again
    assert len(gone_on.trials) == 2


@pytest.mark.parametrize("name", ["outcome", "score", "ratio model", "density"])
def test_tasks_may_have_any_name(tiny, tmp_path, name) -> None:
    file = tmp_path / f"{name}.jsonl"
    file.write_text(tiny.tasks[0].read_text())
    study = explore(tiny.recipe, [file], folder=tmp_path / "s", draws=2, threads=1)
    assert all(0.0 <= row[f"score {name}"] <= 1.0 for row in study.trials)
    validate(study.summary)


def test_the_command_stands_in_a_shell(tiny, tmp_path, monkeypatch) -> None:
    import shlex

    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "a study; rm x", draws=1, threads=1)
    assert shlex.split(study.summary["command"] or "")[2] == "a study; rm x"
    monkeypatch.chdir(study.folder)
    assert Study(".").summary["command"] == study.summary["command"]
    assert "in the folder that the study's folder lies in" in Path("report.md").read_text()
    assert "in the folder that the study's folder lies in" in Path("report.html").read_text()


def test_what_else_was_chosen_is_not_put_down_to_the_ratio(tiny, tmp_path: Path) -> None:
    recipe = tiny.recipe.replace("linear", "ties")
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, vary={"density": [0.2, 0.9]}, threads=1)
    said = study.summary["verdict"]["sentence"]
    assert "ratio" not in said.split("equal ratio")[0]
    assert said.endswith("The winner differs from the equal ratio in density too.")


def test_a_number_may_vary_where_one_of_the_varied_methods_uses_it(tiny, tmp_path) -> None:
    vary = {"density": [0.2, 0.9], "method": ["linear", "ties"]}
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=4, vary=vary, threads=1)
    assert {row["state"] for row in study.trials} == {"complete"}
    assert {row["method"] for row in study.trials} == {"linear", "ties"}


def test_a_pareto_set_is_written_whole_or_not_at_all(tiny, tmp_path) -> None:
    study = explore(tiny.recipe, tiny.tasks, folder=tmp_path / "s", draws=6, threads=1)
    numbers = [row["number"] for row in study.pareto]
    last = tmp_path / "out" / f"trial-{numbers[-1]:05d}"
    last.mkdir(parents=True)
    (last / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="something of that name"):
        export(study.folder, tmp_path / "out", pareto=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [last.name]


def test_a_folder_that_cannot_be_made(tiny, tmp_path) -> None:
    """A file on the way to it. It is told as a refusal, with the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Not a directory") as caught:
        explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "file" / "s", draws=1, threads=1)
    assert caught.value.exit_code == 2


def test_an_item_that_chooses_in_one_task_proves_in_no_other(tiny, tmp_path) -> None:
    """The same file under two names is divided alike, and only noted; in another order it would be seen twice."""
    (letters, _), lines = tiny.tasks, tiny.tasks[0].read_text().splitlines()
    same, turned = tmp_path / "same.jsonl", tmp_path / "turned.jsonl"
    same.write_text("\n".join(lines))
    turned.write_text("\n".join(reversed(lines)))
    for more in ({"tasks": [letters, turned]}, {"tasks": [letters], "ood": [turned]}):
        with pytest.raises(PlanError, match="for choosing in one task and for proving in another") as caught:
            explore(tiny.recipe, folder=tmp_path / "refused", draws=1, threads=1, **more)
        assert "tasks 'letters' and 'turned'" in str(caught.value)
    assert not (tmp_path / "refused").exists()
    study = explore(tiny.recipe, [letters, same], folder=tmp_path / "s", draws=1, threads=1)
    note = f"same: {len(lines)} items stand in letters too; intervals of the objective take all for independent"
    assert note in study.summary["notes"]


def test_a_file_that_repeats_items_is_noted(tiny, tmp_path) -> None:
    lines = tiny.tasks[0].read_text().splitlines()[:4]
    path = tmp_path / "often.jsonl"
    path.write_text("\n".join(lines * 5))
    study = explore(tiny.recipe, [path], folder=tmp_path / "s", draws=1, threads=1)
    assert "often: 16 of 20 items repeat others; intervals take all for independent" in study.summary["notes"]


def test_a_single_draw_has_no_spread(tiny, tmp_path) -> None:
    """Its standard deviation of 0 would say that all draws are alike."""
    from mixmerge.cli.study_text import study_text

    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1)
    assert "(the only draw, on validation)" in study_text(study.summary, str(study.folder))
    reports = [(tmp_path / "s" / f"report.{kind}").read_text() for kind in ("md", "html")]
    for shown in (study_text(study.summary, str(study.folder)), *reports):
        assert "± 0" not in shown
        assert "mean ± sd" not in shown


@pytest.mark.parametrize("line", ["garbage", '{"task": "t"}', "[]", '{"task": "t", "item": 0, "score": "x"}'])
@pytest.mark.parametrize("name", ["trial-00000.validation.jsonl", "equal.test.jsonl"])
def test_damaged_scores_are_told_with_their_line(tiny, tmp_path, name, line) -> None:
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1)
    before = study.summary
    path = tmp_path / "s" / "items" / name
    whole = path.read_text()
    path.write_text(f"{whole}{line}\n")
    with pytest.raises(OutputError, match="scores of a study can be read") as caught:
        explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1)
    assert f"{name}:{whole.count(chr(10)) + 1}" in str(caught.value)
    path.unlink()
    again = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1).summary
    assert (again["test"], again["verdict"]) == (before["test"], before["verdict"])


def test_a_study_file_that_lacks_a_key_is_told_with_it(tiny, tmp_path, capsys) -> None:
    from mixmerge.cli import run

    folder = tmp_path / "s"
    study = explore(tiny.recipe, tiny.tasks[:1], folder=folder, draws=1, threads=1)
    file, (task,) = folder / "study.json", study.identity["tasks"]
    whole = json.loads(file.read_text())
    free = {"validation_fraction", "objective", "race", "compute", "backend", "serve", "limit"}  # not needed to read it
    keys = [key for key in whole if key not in free]
    damaged = [({k: v for k, v in whole.items() if k != key}, f"no key {key!r}") for key in keys]
    damaged += [(whole | {"tasks": {task: {"metric": "accuracy"}}}, f"no key 'weight' in task {task!r}")]
    damaged += [(whole | {"tasks": 5}, "tasks is 5"), (whole | {"groups": "model"}, "groups is model")]
    for content, told in damaged:
        file.write_text(json.dumps(content))
        assert run(["export", str(folder), str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert told in said
        assert str(folder) in said
        with pytest.raises(OutputError):
            explore(tiny.recipe, tiny.tasks[:1], folder=folder, draws=1, threads=1)
    assert len(damaged) == 21 + 3
    file.write_text(json.dumps(whole))
    assert run(["export", str(folder), str(tmp_path / "out"), "--quiet"]) == 0


def test_a_damaged_journal_is_told(tiny, tmp_path) -> None:
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1)
    path = tmp_path / "s" / "journal.log"
    first, _, rest = path.read_text().partition("\n")
    path.write_text(f"{first}\ngarbage\n{rest}")
    with pytest.raises(OutputError, match="journal of a study can be read"):
        explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)
    with pytest.raises(OutputError, match="journal of a study can be read"):
        _ = Study(study.folder).trials


def _in_slices(*slices: tuple[Path, Path]) -> str:
    part = "  - sources: [{{model: '{}', layer_range: [{}, {}]}}, {{model: '{}', layer_range: [{}, {}]}}]\n"
    lines = [part.format(a, n, n + 1, b, n, n + 1) for n, (a, b) in enumerate(slices)]
    return "merge_method: linear\nmixup: {alpha: 0.5}\nslices:\n" + "".join(lines)


def test_every_model_of_slices_is_a_parent(tiny, tmp_path: Path) -> None:
    from mixmerge.cli.study_text import study_text

    recipe = _in_slices((tiny.a, tiny.b), (tiny.b, tiny.c))
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)
    summary = study.summary
    validate(summary)
    assert summary["law"]["sources"] == ["a or b", "b or c"]
    assert [(model["label"], model["role"]) for model in summary["models"]] == [(n, "source") for n in "abc"]
    assert [model["path"] for model in summary["models"]] == [str(tiny.a), str(tiny.b), str(tiny.c)]
    for table in (summary["test"], summary["baselines"]):
        assert {"equal", "a", "b", "c"} <= set(table)
    assert {row["b"] for row in summary["paired"]} >= {"a", "b", "c"}
    best = study.best
    assert f"{best['ratio a or b']:g} a or b, {best['ratio b or c']:g} b or c" in study_text(summary, "s")
    page, markdown = ((study.folder / f"report.{kind}").read_text() for kind in ("html", "md"))
    rows = [line.split("|")[1].strip() for line in markdown.splitlines() if line.startswith("|")]
    assert [row for row in rows if row in ("a", "b", "c")] == ["a", "b", "c"]
    assert "λ, a or b" in page
    again = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, threads=1)
    assert len(again.trials) == 3


def test_a_model_may_stand_at_both_places(tiny, tmp_path: Path) -> None:
    recipe = _in_slices((tiny.a, tiny.a)).replace("[0, 1]}]", "[1, 2]}]")
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)
    validate(study.summary)
    assert study.summary["law"]["sources"] == ["a (1)", "a (2)"]
    assert [model["label"] for model in study.summary["models"]] == ["a"]
    assert "a" in study.summary["test"]


def test_the_models_of_a_plain_recipe_are_told_as_before(tiny, tmp_path: Path) -> None:
    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1)
    assert study.identity["sources"] == ["a", "b"]
    proved = {"equal": "equal", "plain": "plain", "base": "base", "a": "source-1", "b": "source-2"}
    assert study.identity["baselines"] == proved
    assert [model["label"] for model in study.identity["models"]] == ["a", "b", "base"]

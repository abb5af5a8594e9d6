"""Exported models: what their card says, the Pareto set, other trials, the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import mixmerge
from mixmerge import verify
from mixmerge.cli import run
from mixmerge.errors import OutputError, PlanError
from mixmerge.study import Proving, Stage, Study, explore, export
from mixmerge.study.card import study_section

STOPPED = "not proved on test items: the study was stopped before its proof had ended"


@pytest.fixture(scope="module")
def study(tiny, tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("study") / "s"
    return explore(tiny.recipe, tiny.tasks, folder=folder, draws=4, threads=1, objective="pareto")


def test_the_card_says_how_it_was_chosen(study, tmp_path) -> None:
    (out,) = export(study.folder, tmp_path / "winner")
    card = (out / "README.md").read_text()
    assert f"Trial {study.best['number']} of a study with seed 0 and sampler `sobol`" in card
    assert "best of 4 draws" in card
    assert f"{study.best['ratio a']:g}" in card
    assert "95 % intervals" in card
    assert study.summary["verdict"]["sentence"] in card
    assert card.count("model.safetensors") >= 3
    verify(out)


@pytest.fixture
def exported(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run `mixmerge export WORDS...`: its exit code and what it printed."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        return run(["export", *map(str, words), "--overwrite"]), *capsys.readouterr()

    return call


@pytest.mark.parametrize("stopped_at", [Stage("proof", ""), Proving("equal", "test")])
def test_a_choice_that_was_never_proved_says_so(tiny, tmp_path, exported, stopped_at) -> None:
    """Stopped before the proof, and in it where only the winner itself was scored."""

    def listen(event: object) -> None:
        if event in (stopped_at, Stage("proof", str(folder))) and isinstance(event, type(stopped_at)):
            raise KeyboardInterrupt

    folder, out = tmp_path / "s", tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        explore(tiny.recipe, tiny.tasks, folder=folder, draws=2, threads=1, listeners=[listen])
    winner = Study(folder).best["number"]
    for more in ([], ["--trial", winner]):
        code, shown, told = exported(folder, out, *more)
        card = (out / "README.md").read_text()
        assert (code, shown) == (0, f"{out}\n")
        assert STOPPED in told
        assert STOPPED in card
        assert ("On test items, held out" in card) == isinstance(stopped_at, Proving)
    assert exported(folder, tmp_path / "other", "--trial", 1 - winner)[2] == ""
    assert exported(folder, out, "--quiet")[2] == ""
    explore(tiny.recipe, tiny.tasks, folder=folder, draws=2, threads=1)
    assert exported(folder, out)[2] == ""
    assert "not proved" not in (out / "README.md").read_text()


def test_a_score_of_ones_own_is_no_proof(tiny, tmp_path, exported) -> None:
    explore(tiny.recipe, folder=tmp_path / "s", draws=1, threads=1, score=lambda model, tokenizer: 1.0)
    said = "not proved on test items: a score of one's own has none"
    assert said in exported(tmp_path / "s", tmp_path / "out")[2]
    assert said in (tmp_path / "out/README.md").read_text()


def test_another_trial_says_it_was_not_chosen(study, tmp_path) -> None:
    other = next(row["number"] for row in study.trials if row["number"] != study.best["number"])
    (out,) = export(study.folder, tmp_path / "other", trial=other)
    card = (out / "README.md").read_text()
    assert "one of 4 draws" in card
    assert "On test items" not in card
    assert "which it was chosen on" not in card


def test_the_pareto_set_gets_a_folder_each(study, tmp_path) -> None:
    folders = export(study.folder, tmp_path / "set", pareto=True)
    assert [folder.name for folder in folders] == [f"trial-{row['number']:05d}" for row in study.pareto]
    assert all((folder / "model.safetensors").is_file() for folder in folders)


def test_an_unknown_trial_is_refused(study, tmp_path) -> None:
    with pytest.raises(PlanError, match="known: 0, 1, 2, 3"):
        export(study.folder, tmp_path / "out", trial=9)


def test_changed_sources_are_refused(study, tiny, tmp_path) -> None:
    weights = tiny.b / "model.safetensors"
    before = weights.stat()
    os.utime(weights, (before.st_atime, before.st_mtime + 5))
    try:
        with pytest.raises(PlanError, match="those the study scored"):
            export(study.folder, tmp_path / "out")
    finally:
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_pushing_uploads_the_folder(study, tmp_path, monkeypatch) -> None:
    import huggingface_hub

    calls: list[tuple[str, dict[str, Any]]] = []

    class Hub:
        def create_repo(self, name: str, **settings: Any) -> str:
            calls.append((name, settings))
            return f"https://hub/{name}"

        def upload_folder(self, **settings: Any) -> None:
            calls.append(("upload", settings))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    (out,) = export(study.folder, tmp_path / "out", push_to_hub="me/merged")
    assert calls[0] == ("me/merged", {"private": False, "exist_ok": True})
    assert calls[1][1]["folder_path"] == out


@pytest.mark.parametrize("name", ["me/merged/again", "me/mer ged", "-me", ""])
def test_a_name_the_hub_cannot_have_is_refused_first(study, tmp_path, name) -> None:
    with pytest.raises(OutputError, match="OWNER/NAME"):
        export(study.folder, tmp_path / "out", push_to_hub=name)
    assert not (tmp_path / "out").exists()


def test_the_card_of_a_draw_that_was_dropped_says_so(study) -> None:
    """All draws that were compared are counted, whether they ended the race or not."""
    records = study.records
    loser = next(one for one in records.trials if one.number != study.winner.number)
    dropped = replace(loser, outcome=replace(loser.outcome, state="dropped"))
    raced = replace(records, trials=[dropped if one is loser else one for one in records.trials])
    assert "one of 4 draws, dropped early" in study_section(raced, dropped, {})
    assert "the best of 4 draws" in study_section(raced, study.winner, {})


def test_a_hub_that_refuses_is_told(study, tmp_path, monkeypatch) -> None:
    import huggingface_hub

    class Hub:
        def create_repo(self, name: str, **settings: Any) -> str:
            raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    with pytest.raises(OutputError, match="no route"):
        export(study.folder, tmp_path / "out", push_to_hub="me/merged")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_winner_of_several_groups_is_rebuilt_from_its_recipe(tiny, tmp_path) -> None:
    """From what the report says, byte for byte; the export records the same."""
    recipe = tiny.recipe.replace("{alpha: 0.5}", "{alpha: 0.5, scope: block}")
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=2, threads=1)
    text = study.summary["recipe"]
    assert text is not None
    assert "attention: [" in text
    (out,) = export(study.folder, tmp_path / "exported")
    mixmerge.merge(text, tmp_path / "rebuilt")
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "rebuilt" / "model.safetensors").read_bytes()
    record = json.loads((out / "mixmerge.json").read_text())
    assert record["recipe"] == text
    assert {group: tuple(ratio) for group, ratio in record["ratios"].items()} == dict(study.winner.outcome.point.ratios)

"""The folders beside an output: whose they are, who is at them, and what is left where a merge ended in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.conftest import Family
from engine.interrupting import StopError, interrupted, recipes, state
from mixmerge import api, fileio
from mixmerge.engine import TensorDone
from mixmerge.engine.journal import JOURNAL
from mixmerge.errors import CheckpointError, InterruptedMergeError, NonFiniteError, OutputError
from support import models
from support.merging import Recorder, recipe_of


def diary(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")


def own_card(folder: Path) -> None:
    folder.mkdir()
    (folder / "README.md").write_text("my project")


def project(folder: Path) -> None:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "merges.txt").mkdir()
    (folder / "merges.txt" / "notes").write_text("mine")


def link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / JOURNAL).write_text("mine")
    folder.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("option", ["resume", "overwrite"])
@pytest.mark.parametrize("made", [diary, own_card, project, link, lambda folder: folder.write_text("mine")])
def test_a_folder_of_others_is_never_removed(
    made: Callable[[Path], Any], option: str, families: dict[str, Family], tmp_path: Path
) -> None:
    made(tmp_path / "results.partial")
    before = models.digest_tree(tmp_path)
    with pytest.raises(OutputError, match="nothing of others'") as caught:
        api.merge(recipes(families["bf16"])["linear"], tmp_path / "results", **{option: True})
    assert caught.value.exit_code == 2
    assert models.digest_tree(tmp_path) == before


@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_what_others_put_beside_a_stopped_merge_stays(option: str, stopped: Any) -> None:
    recipe, out, partial, _ = stopped()
    (partial / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        api.merge(recipe, out, **{option: True})
    assert (partial / "notes.txt").read_text() == "mine"
    assert (partial / "model.safetensors").exists()


def test_an_empty_folder_is_taken(families: dict[str, Family], tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    api.merge(recipes(families["bf16"])["linear"], tmp_path / "out", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_two_processes_do_not_write_one_merge(option: str, stopped: Any) -> None:
    recipe, out, partial, whole = stopped()
    before = models.digest_tree(partial)
    other = os.open(partial / JOURNAL, os.O_RDONLY)
    try:
        assert fileio.lock(other)
        with pytest.raises(OutputError, match="another is at it") as caught:
            api.merge(recipe, out, **{option: True})
        assert caught.value.exit_code == 2
        assert models.digest_tree(partial) == before
    finally:
        os.close(other)
    api.merge(recipe, out, resume=True)
    assert state(out) == whole


def test_a_running_merge_is_not_disturbed(families: dict[str, Family], tmp_path: Path) -> None:
    """By a second one with --resume or --overwrite, while it runs."""
    recipe = recipes(families["bf16"])["linear"]
    refused: list[str] = []

    def intrude(event: object) -> None:
        if isinstance(event, TensorDone):
            for option in ("resume", "overwrite"):
                with pytest.raises(OutputError) as caught:
                    api.merge(recipe, tmp_path / "out", **{option: True})
                refused.append(caught.value.problems[0].value)

    api.merge(recipe, tmp_path / "out", threads=1, listeners=[intrude])
    api.merge(recipe, tmp_path / "whole")
    assert refused == ["another is at it"] * 14
    assert state(tmp_path / "out") == state(tmp_path / "whole")


@pytest.mark.parametrize("change", ["rewritten", "removed", "touched"])
def test_an_input_that_changes_in_mid_run_is_told(
    change: str, families: dict[str, Family], stopped: Any, tmp_path: Path
) -> None:
    """With the same size: what was read of it before and after need not belong together."""
    recipe, out, partial, _ = stopped()
    file = sorted((tmp_path / "model-2").glob("*.safetensors"))[0]
    heard = Recorder()

    def alter(event: object) -> None:
        if isinstance(event, TensorDone) and len(heard.of(TensorDone)) == 1:
            if change == "rewritten":
                file.write_bytes(file.read_bytes()[:-2] + b"\1\1")
            elif change == "removed":
                file.unlink()
            else:
                os.utime(file, ns=(0, 0))

    with pytest.raises(InterruptedMergeError, match=f"{file.name} has changed") as caught:
        api.merge(recipe, out, resume=True, threads=1, listeners=[heard, alter])
    assert caught.value.exit_code == 1
    assert str(tmp_path / "model-2") in str(caught.value)
    assert not out.exists()
    assert partial.is_dir()


def test_a_refusal_in_a_resumed_merge_costs_no_finished_work(families: dict[str, Family], tmp_path: Path) -> None:
    """NaN in a tensor that the first run had not come to: what that did is there for a run that allows NaN."""
    heard = Recorder()
    api.merge(recipes(families["smooth"])["linear"], tmp_path / "order", threads=1, listeners=[heard])
    last = heard.of(TensorDone)[-1].name
    paths = [
        models.write_model(tmp_path / str(number), {**model, last: model[last] * np.nan} if number == 1 else model)
        for number, model in enumerate(map(models.read_model, families["smooth"].sources))
    ]
    recipe = recipe_of("linear", paths, dialect="paper")
    api.merge(recipe, tmp_path / "whole", allow_nonfinite=True)
    out, partial = tmp_path / "out", interrupted(recipe, tmp_path / "out")
    for _ in range(2):
        with pytest.raises(NonFiniteError, match=f"tensor {last}") as caught:
            api.merge(recipe, out, resume=True)
        assert "--allow-nonfinite" in caught.value.problems[0].cure
        assert f"kept in {partial}" in caught.value.problems[0].cure
        assert caught.value.exit_code == 2
    heard = Recorder()
    api.merge(recipe, out, resume=True, allow_nonfinite=True, listeners=[heard])
    assert [event.name for event in heard.of(TensorDone)] == [last]
    assert state(out) == state(tmp_path / "whole")


def test_a_refusal_in_a_merge_that_begins_leaves_nothing(families: dict[str, Family], tmp_path: Path) -> None:
    """Also where it was to be resumed, and there was nothing to go on with."""
    name = "model.norm.weight"
    source = models.read_model(families["smooth"].sources[0])
    paths = [
        families["smooth"].sources[1],
        models.write_model(tmp_path / "bad", {**source, name: source[name] * np.nan}),
    ]
    before = sorted(tmp_path.iterdir())
    for resume in (False, True):
        with pytest.raises(NonFiniteError):
            api.merge(recipe_of("linear", paths, dialect="paper"), tmp_path / "out", resume=resume)
        assert sorted(tmp_path.iterdir()) == before


def killed_between_the_renames(recipe: Any, out: Path) -> None:
    """Replace a model and stop after it was moved aside. A process that is killed does not move it back."""
    rename = Path.rename

    def die(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise StopError
        if target == out:
            return target
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(StopError):
            api.merge(recipe, out, overwrite=True)


def test_a_merge_killed_between_the_renames_is_taken_up_where_it_was(
    families: dict[str, Family], tmp_path: Path
) -> None:
    named = recipes(families["bf16"])
    out = tmp_path / "out"
    api.merge(named["linear"], out)
    api.merge(named["mergekit"], tmp_path / "whole")
    killed_between_the_renames(named["mergekit"], out)
    [old] = tmp_path.glob("out.replaced-*")
    assert not out.exists()
    with pytest.raises(OutputError, match=str(old)):
        api.merge(named["mergekit"], out)
    heard = Recorder()
    api.merge(named["mergekit"], out, resume=True, listeners=[heard])
    assert heard.of(TensorDone) == [], "all of it was there"
    assert state(out) == state(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_a_model_of_a_like_name_stays_unless_something_is_replaced(families: dict[str, Family], tmp_path: Path) -> None:
    recipe = recipes(families["bf16"])["linear"]
    api.merge(recipe, tmp_path / "out.replaced-7")
    api.merge(recipe, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.replaced-7"]


def test_an_input_that_was_moved_aside_stays(families: dict[str, Family], tmp_path: Path) -> None:
    """Where to find it is what an interrupted merge said; so it may be merged from."""
    aside = tmp_path / "out.replaced-77"
    shutil.copytree(families["bf16"].sources[0], aside)
    recipe = recipe_of("linear", [aside, families["bf16"].sources[1]], dialect="paper")
    for _ in range(2):
        api.merge(recipe, tmp_path / "out", overwrite=True)
        assert {path.name for path in tmp_path.iterdir()} == {"out", aside.name}


def test_others_folders_of_a_like_name_stay(families: dict[str, Family], tmp_path: Path) -> None:
    diary(tmp_path / "out.replaced-7")
    diary(tmp_path / "out.replaced-by-hand")
    api.merge(recipes(families["bf16"])["linear"], tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.replaced-7", "out.replaced-by-hand"]


def test_a_place_taken_in_mid_run_costs_no_finished_work(families: dict[str, Family], tmp_path: Path) -> None:
    recipe, out = recipes(families["bf16"])["linear"], tmp_path / "out"

    def take(event: object) -> None:
        out.mkdir(exist_ok=True)

    with pytest.raises(InterruptedMergeError, match="is a new one"):
        api.merge(recipe, out, listeners=[take])
    out.rmdir()
    heard = Recorder()
    api.merge(recipe, out, resume=True, listeners=[heard])
    assert heard.of(TensorDone) == []


def test_a_stopped_merge_lets_go_of_its_lock(families: dict[str, Family], tmp_path: Path) -> None:
    recipe = recipes(families["bf16"])["linear"]
    partial = interrupted(recipe, tmp_path / "out")
    fd = os.open(partial / JOURNAL, os.O_RDONLY)
    try:
        assert fileio.lock(fd)
    finally:
        os.close(fd)


def test_a_file_beside_the_weights_is_not_read_whole(
    families: dict[str, Family], stopped: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model may call anything a vocabulary; one beyond all measure is refused before a weight is read."""
    recipe, out, partial, _ = stopped("linear")
    huge = tmp_path / "model-1" / "preprocessor_config.json"
    with huge.open("wb") as file:
        file.write(b"first\n")
        os.truncate(file.fileno(), 1_000_000_001)
    with pytest.raises(CheckpointError, match="at most 1,000,000,000 bytes") as caught:
        api.merge(recipe, tmp_path / "other")
    assert str(huge) in str(caught.value)
    os.truncate(huge, 5_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} is read whole"))
    api.merge(recipe, out, overwrite=True)
    assert (out / "preprocessor_config.json").stat().st_size == 5_000_000
    assert partial.exists() is False

"""Outputs and models in places that cannot be: refused by the plan, in words, before anything is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import mixmerge
from cli.conftest import Cli
from mixmerge.checkpoint import place as place_module
from mixmerge.errors import OutputError, PlanError
from support.models import digest_tree

LONG = "x" * 300


@pytest.mark.parametrize("command", ["plan", "merge"])
@pytest.mark.parametrize("out", ["/", "recipe.yaml/x", LONG, f"{LONG}/x", "a\0b", "out\udcff", "out/" + "y" * 250])
def test_outputs_that_cannot_be_made(out: str, command: str, place: Path, cli: Cli) -> None:
    before = digest_tree(place)
    code, _, err = cli(command, "recipe.yaml", "-o", out)
    assert code == 2
    assert "an output folder can be made where it is asked for" in err
    assert "should not happen" not in err
    assert digest_tree(place) == before


def test_a_parent_that_may_not_be_written_to(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != place)
    code, _, err = cli("merge", "recipe.yaml", "-o", "deep/er/out")
    assert code == 2
    assert f"{place} may not be written to" in err
    assert not (place / "deep").exists()


def test_a_parent_that_refuses_all_the_same(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As file systems do that only say so when asked to make a folder."""
    real = Path.mkdir

    def mkdir(self: Path, *arguments: object, **named: object) -> None:
        if self.name == "out.partial":
            raise PermissionError(1, "Operation not permitted", str(self))
        real(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    code, _, err = cli("merge", "recipe.yaml", "-o", "out")
    assert code == 2
    assert "Operation not permitted" in err


def test_here_is_a_place_like_any_other(place: Path, cli: Cli) -> None:
    code, _, err = cli("plan", "recipe.yaml", "-o", ".")
    assert code == 2
    assert "the output lies outside every input" in err


@pytest.mark.parametrize("command", [["plan"], ["merge", "--overwrite"]])
def test_what_stands_beside_a_link_is_no_input(command: list[str], place: Path, cli: Cli) -> None:
    """A link is replaced by what is written beside it, not beside where it leads: that would empty a model."""
    assert cli("merge", "recipe.yaml", "elsewhere/model").code == 0
    (place / "link").symlink_to(place / "elsewhere" / "model")
    shutil.move(place / "expert-c", place / "link.partial")
    before = digest_tree(place)
    words = ["--method", "linear", "link.partial", "expert-a", "--ratio", "0.5", "-o", "link"]
    code, _, err = cli(*command, *words)
    assert code == 2
    assert "the output lies outside every input" in err
    assert "model link.partial" in err
    assert digest_tree(place) == before


def test_the_disk_that_is_asked_for_room_is_that_of_the_link(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("merge", "recipe.yaml", "elsewhere/model").code == 0
    (place / "link").symlink_to(place / "elsewhere" / "model")
    real = shutil.disk_usage(place)
    free = {place: 100, place / "elsewhere": 10**9, place / "elsewhere" / "model": 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=free[Path(path)]))
    code, _, err = cli("merge", "recipe.yaml", "-o", "link", "--overwrite")
    assert code == 2
    assert f"100 free\n  at:    {place}\n" in err
    assert (place / "link").is_symlink()


def test_a_tilde_of_nobody_is_a_name(place: Path, cli: Cli) -> None:
    code, _, err = cli("merge", "recipe.yaml", "-o", "~nosuchuser-at-all/x")
    assert code == 0, err
    assert (place / "~nosuchuser-at-all" / "x" / "mixmerge.json").exists()


@pytest.mark.parametrize("model", ["~nosuchuser-at-all/x", LONG, "foo--bar", "a..b/x", "x.git/y.git", "a/" + "b" * 120])
def test_models_of_impossible_names(model: str, place: Path, cli: Cli) -> None:
    code, _, err = cli("plan", "--method", "linear", "--dialect", "paper", model, "expert-a")
    assert code == 2
    assert "a model is a local folder or a hub id" in err
    assert "should not happen" not in err


def test_a_model_whose_path_is_no_text(place: Path, cli: Cli) -> None:
    """The recipe, the record and the card could not state it."""
    odd = os.fsdecode(b"ad\xff")
    shutil.copytree("expert-a", odd)
    before = digest_tree(place / "base")
    for command in (["plan"], ["merge", "-o", "out"]):
        code, _, err = cli(*command, "--method", "linear", "--dialect", "paper", odd, "expert-b")
        assert code == 2
        assert "refused: 1 problem" in err
    assert not (place / "out").exists()
    assert digest_tree(place / "base") == before


@pytest.mark.parametrize("old", ["project", "weights and more", "data"])
def test_only_models_are_replaced(old: str, place: Path, cli: Cli) -> None:
    """A folder may hold a config.json, or weights among other things, and be anything."""
    folder = place / "proj"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("precious")
    if old == "project":
        (folder / "config.json").write_text("{}")
    elif old == "weights and more":
        shutil.copy("base/model.safetensors", folder)
    else:
        shutil.rmtree(folder / "src")
        (folder / "config.json").write_text("{}")
        (folder / "notes.txt").write_text("precious")
    before = digest_tree(folder)
    code, _, err = cli("merge", "recipe.yaml", "-o", "proj", "--overwrite")
    assert code == 2
    assert ("notes.txt" if old == "data" else "src") in err
    assert digest_tree(folder) == before


def test_a_merged_model_is_replaced_whatever_was_put_beside_it(place: Path, cli: Cli) -> None:
    assert cli("merge", "recipe.yaml", "-o", "out").code == 0
    (place / "out" / "runs").mkdir()
    assert cli("merge", "recipe.yaml", "-o", "out", "--overwrite").code == 0
    assert json.loads((place / "out" / "mixmerge.json").read_text())["format"] == 1


@pytest.mark.parametrize("numbers", [{"threads": 0}, {"threads": -2, "memory": 0}, {"shard_size": 0}, {"memory": -5}])
def test_numbers_below_one_are_refused_in_python_too(numbers: dict[str, int], place: Path) -> None:
    for call in (mixmerge.plan, lambda recipe, **words: mixmerge.merge(recipe, "out", **words)):
        with pytest.raises(PlanError, match="is at least 1") as caught:
            call("recipe.yaml", **numbers)
        assert len(caught.value.problems) == len(numbers)
    assert not list(place.glob("out*"))
    with pytest.raises(PlanError, match="threads is at least 1"):
        mixmerge.verify("base", threads=0)


def test_a_whole_disk_has_no_folder_beside_it() -> None:
    with pytest.raises(OutputError, match="a whole disk"):
        place_module.partial_folder(Path("/"))

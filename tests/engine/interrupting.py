"""Recipes whose merges are stopped on the way, and what is compared of a finished one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.conftest import Family
from mixmerge import api
from mixmerge.engine import TensorDone
from mixmerge.recipe import Recipe
from support import models
from support.merging import recipe_of


def recipes(family: Family) -> dict[str, Recipe]:
    return {
        "paper": recipe_of(
            "ties", family.sources[:2], family.base, dare={"drop_rate": 0.2}, mixup={"alpha": 0.5}, seed=5
        ),
        "mergekit": recipe_of(
            "dare_ties", family.sources, family.base, parameters={"weight": 0.5, "density": 0.6, "rescale": True}
        ),
        "linear": recipe_of("linear", family.sources, dialect="paper"),
    }


def state(folder: Path) -> dict[str, bytes]:
    """All files of a finished merge; the title of README.md is the folder's name."""
    return models.tree_bytes(folder, without=["README.md"])


class StopError(BaseException):
    pass


def interrupted(recipe: Recipe, out: Path, after: int = 4) -> Path:
    """Stop a merge after some tensors; returns the unfinished folder."""
    left = [after]

    def listen(event: object) -> None:
        left[0] -= isinstance(event, TensorDone)
        if left[0] < 0:
            raise StopError

    with pytest.raises(StopError):
        api.merge(recipe, out, threads=1, listeners=[listen])
    assert not out.exists()
    return out.with_name(out.name + ".partial")


def begun(
    family: Family, folder: Path, name: str = "mergekit", after: int = 4
) -> tuple[Recipe, Path, Path, dict[str, bytes]]:
    """A stopped merge: recipe, output, unfinished folder and what the finished one is to hold. Its models are copies in
    `folder`."""
    copies = [folder / path.name for path in (family.base, *family.sources)]
    for path, copy in zip((family.base, *family.sources), copies, strict=True):
        shutil.copytree(path, copy)
    recipe = recipes(Family(copies[0], copies[1:], family.values))[name]
    api.merge(recipe, folder / "whole")
    return recipe, folder / "out", interrupted(recipe, folder / "out", after), state(folder / "whole")

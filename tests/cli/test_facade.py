"""`import mixmerge` gives the functions, whatever has been imported before."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import mixmerge
from mixmerge.errors import MixmergeError


@pytest.mark.parametrize("before", ["from mixmerge.planning import Plan", "mixmerge.merge", "mixmerge.plan"])
def test_plan_is_the_function(before: str) -> None:
    code = (
        f"import mixmerge; {before}; print(callable(mixmerge.plan), mixmerge.plan.__module__, mixmerge.verify.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "mixmerge.api", "verify"]


def test_every_public_name_is_offered_and_is_there() -> None:
    assert {*mixmerge.__all__, "__version__"} <= set(dir(mixmerge))
    for name in mixmerge.__all__:
        assert getattr(mixmerge, name) is not None
    assert mixmerge.__version__ == version("mixmerge")
    with pytest.raises(AttributeError, match="no attribute 'marge'"):
        _ = mixmerge.marge


def test_a_tilde_is_a_home_for_every_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MixmergeError) as caught:
        mixmerge.verify("~/merged")
    assert caught.value.problems[0].place == str(tmp_path / "merged")
    (tmp_path / "r.yaml").write_text("merge_method: linear\nmodels: [{model: a}]\nparameters: {weight: 1}\n")
    assert mixmerge.load_recipe("~/r.yaml").method == "linear"


@pytest.mark.parametrize("path", ["gone.yaml", Path("gone.yaml"), "a\0b", "x" * 300])
def test_paths_of_recipes_are_text_or_paths(path: str | Path) -> None:
    for function in (mixmerge.load_recipe, mixmerge.plan):
        with pytest.raises(MixmergeError, match="must be a readable file"):
            function(path)  # type: ignore[arg-type]

"""The command line run in this process, in a folder with tiny models: base, expert-a, expert-b, expert-c."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mixmerge.cli import run
from support.models import BF16, cast, llama_shapes, moved, smooth, write_model

RECIPE = """\
merge_method: ties
base_model: base
models:
  - model: expert-a
  - model: expert-b
parameters:
  density: 0.5
mixup:
  alpha: 0.5
  seed: 42
"""


class Outcome(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: four small bfloat16 models and recipe.yaml."""
    base = smooth(llama_shapes(), 0)
    models = {"base": base} | {f"expert-{name}": moved(base, ord(name)) for name in "abc"}
    for name, model in models.items():
        write_model(tmp_path / name, cast(model, BF16))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `mixmerge WORDS...`."""

    def call(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    return call

"""What a plan says a merge costs is what it takes: bytes on the disk, passes over the inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge import api, fileio
from plan.conftest import BASE, Write
from support import models
from support.merging import plan_of, recipe_of


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("large", ["tokenizer.json", "vocab.txt"])
def test_the_disk_holds_the_small_files_too(large: str, write: Write, tmp_path: Path) -> None:
    """A tokenizer may be larger than all that is kept in reserve."""
    files = {large: b"{}" + b" " * 3_000_000, "chat_template.jinja": "{{ x }}"}
    recipe = recipe_of("linear", [write("a", files=files), write("b", files=files)], dialect="paper")
    cost = plan_of(recipe).cost
    api.merge(recipe, tmp_path / "out", threads=1)
    assert cost.written + 3_000_000 < bytes_of(tmp_path / "out") <= cost.disk


def test_the_disk_holds_the_record_of_many_tensors(write: Write, tmp_path: Path) -> None:
    many = {f"model.layers.{k}.a_name_of_some_length.weight": np.ones(1, np.float32) for k in range(3000)}
    recipe = recipe_of("linear", [write(name, many) for name in "abc"], dialect="paper")
    cost = plan_of(recipe).cost
    api.merge(recipe, tmp_path / "out", threads=1)
    assert bytes_of(tmp_path / "out") - cost.written > 2**20, "more than a fixed sum would do for"
    assert bytes_of(tmp_path / "out") <= cost.disk


@pytest.mark.parametrize(
    ("method", "keys", "passes"),
    [
        ("linear", {"dialect": "paper"}, 1),
        ("dare_linear", {"parameters": {"weight": 1, "rescale": True}}, 2),
        ("dare_linear", {"parameters": {"weight": 1, "rescale": False}}, 1),
        ("dare_ties", {"parameters": {"weight": 1, "density": 0.5, "rescale": False}}, 1),
        ("ties", {"parameters": {"weight": 1, "density": 0.5}}, 4),
        ("ties", {"parameters": {"weight": 1, "density": 0.5, "rescale": True}}, 5),
    ],
)
def test_passes(method: str, keys: dict[str, Any], passes: int, write: Write) -> None:
    base = None if method == "linear" else write("base", BASE)
    cost = plan_of(recipe_of(method, [write("a"), write("b")], base, **keys)).cost
    assert cost.passes == passes
    assert cost.read == passes * sum(values.nbytes for values in BASE.values()) * (2 if base is None else 3)


@pytest.mark.parametrize("rescale", [True, False])
def test_weights_are_read_as_often_as_the_plan_says(
    rescale: bool, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"weight": 1, "density": 0.5, "rescale": rescale}
    recipe = recipe_of("dare_linear", [write("a"), write("b")], write("base", BASE), parameters=parameters)
    planned = plan_of(recipe).cost.read
    read: list[int] = []
    exact = fileio.read_exact

    def counted(fd: int, buffer: Any, offset: int) -> None:
        read.append(memoryview(buffer).nbytes)
        exact(fd, buffer, offset)

    with monkeypatch.context() as patched:
        patched.setattr(fileio, "read_exact", counted)
        api.merge(recipe, tmp_path / "out", threads=1)
    headers = 4 * 100_000  # read once more, by the merge's own plan
    assert planned <= sum(read) < planned + headers
    assert models.read_model(tmp_path / "out").keys() == BASE.keys()

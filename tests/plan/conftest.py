"""Small Llamas for plans, and a watch over inputs: a plan reads no weights and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixmerge.checkpoint import Checkpoint
from support import models

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write a model by name into the test's folder. At the end of the test it must be as it was written."""
    written: dict[Path, str] = {}

    def build(name: str, model: models.Arrays | None = None, **options: Any) -> Path:
        model = models.moved(BASE, sum(name.encode())) if model is None else model
        path = models.write_model(tmp_path / name, model, **options)
        written[path] = models.digest_tree(path)
        return path

    yield build
    for path, digest in written.items():
        assert models.digest_tree(path) == digest, f"{path} has been touched"


BASE = models.smooth(models.llama_shapes(), 1)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weight may be read."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a plan reads no weights")

    monkeypatch.setattr(Checkpoint, "read_into", refuse)

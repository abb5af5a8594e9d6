"""Models for the engine, made once a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.kernels import CHUNK
from support import models


@dataclass(frozen=True)
class Family:
    """A base and three fine-tunes on disk; values: the same as float64, base first."""

    base: Path
    sources: list[Path]
    values: list[models.Arrays]

    @classmethod
    def write(cls, folder: Path, parts: list[models.Arrays], shards: int = 1) -> Family:
        paths = [models.write_model(folder / f"model-{k}", part, shards=shards) for k, part in enumerate(parts)]
        return cls(paths[0], paths[1:], [models.widened(part) for part in parts])


SHAPES = {
    "model.embed_tokens.weight": (40, 16),
    "model.layers.0.self_attn.q_proj.weight": (CHUNK + 77,),
    "model.layers.0.mlp.up_proj.weight": (48, 16),
    "model.layers.1.self_attn.q_proj.weight": (16, 16),
    "model.layers.1.mlp.up_proj.weight": (48, 16),
    "model.norm.weight": (17,),
    "lm_head.weight": (40, 16),
}


def _small() -> dict[str, tuple[int, ...]]:
    return {**SHAPES, "model.layers.0.self_attn.q_proj.weight": (61, 33)}


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    """smooth: float32. bf16: rounded fine-tunes, whose changes are few values that often cancel. half: the same in
    float16. grid: exact arithmetic. wide: numbers over twenty orders of magnitude."""
    root = tmp_path_factory.mktemp("families")
    base = models.smooth(_small(), 1)
    tuned = [models.moved(base, seed, 2e-4) for seed in (2, 3, 4)]
    even = models.grid(_small(), 5)
    rng = np.random.default_rng(9)
    wide = [
        {name: (rng.standard_normal(shape) * 10.0 ** rng.integers(-16, 4, shape)).astype(np.float32)
         for name, shape in _small().items()}
        for _ in range(4)
    ]  # fmt: skip
    sets = {
        "smooth": [base, *tuned],
        "bf16": [models.cast(part, models.BF16) for part in (base, *tuned)],
        "half": [models.cast(part, np.float16) for part in (base, *tuned)],
        "grid": [even, *(models.stepped(even, seed, 2) for seed in (6, 7, 8))],
        "wide": wide,
    }
    return {name: Family.write(root / name, parts, shards=1 + (name == "bf16")) for name, parts in sets.items()}


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """More elements than a block and a chunk, bfloat16, on the grid."""
    base = models.grid(SHAPES, 15)
    parts = [base, *(models.stepped(base, seed, 9) for seed in (16, 17, 18))]
    folder = tmp_path_factory.mktemp("large")
    return Family.write(folder, [models.cast(part, models.BF16) for part in parts], shards=2)


@pytest.fixture
def stopped(families: dict[str, Family], tmp_path: Path) -> Callable[..., Any]:
    """`interrupting.begun` in the test's own folder, with models of bfloat16: stopped(name, after)."""
    from engine.interrupting import begun

    def build(name: str = "mergekit", after: int = 4) -> Any:
        return begun(families["bf16"], tmp_path, name, after)

    return build

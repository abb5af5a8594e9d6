"""The models the laws are tried on: made once a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mixmerge.kernels import CHUNK, Kernels, load
from support import models


@dataclass(frozen=True)
class Set:
    """A base and three sources on disk, and what is in them."""

    base: Path
    sources: list[Path]
    values: dict[Path, models.Arrays]


Make = Callable[[str, models.Arrays, list[models.Arrays]], Set]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Write a set of models under a name."""

    def build(name: str, base: models.Arrays, sources: list[models.Arrays]) -> Set:
        folder = tmp_path_factory.mktemp(name)
        parts = {"base": base, **{f"source-{k}": source for k, source in enumerate(sources)}}
        paths = {key: models.write_model(folder / key, part) for key, part in parts.items()}
        values = {paths[key]: part for key, part in parts.items()}
        return Set(paths["base"], [paths[key] for key in parts if key != "base"], values)

    return build


ODD_SHAPES = {
    "model.embed_tokens.weight": (33, 5),
    "model.layers.0.self_attn.q_proj.weight": (CHUNK + 13,),
    "model.layers.0.mlp.up_proj.weight": (31, 33),
    "model.layers.0.input_layernorm.weight": (1,),
    "model.layers.1.mlp.up_proj.weight": (0, 4),
    "model.layers.1.self_attn.q_proj.weight": (3, 1, 7),
    "model.norm.weight": (),
    "lm_head.weight": (33, 5),
}


@pytest.fixture(scope="session")
def odd(make: Make) -> Set:
    """Shapes with 0, 1, odd and many elements; mixed element types; equal magnitudes and cancellations everywhere."""
    base = models.grid(ODD_SHAPES, 1)
    sources = [models.stepped(base, seed) for seed in (2, 3, 4)]
    dtypes = ["float16", models.BF16, "float32"]
    return make(
        "odd", models.cast(base, models.BF16), [models.cast(s, t) for s, t in zip(sources, dtypes, strict=True)]
    )


@pytest.fixture(scope="session")
def smooth(make: Make) -> Set:
    """A small Llama in float32."""
    base = models.smooth(models.llama_shapes(), 5)
    return make("smooth", base, [models.moved(base, seed) for seed in (6, 7, 8)])


@pytest.fixture(scope="session")
def scaled(make: Make, smooth: Set) -> Set:
    """The same four times as large: a power of two, so nothing is rounded otherwise."""
    found = [{name: v * 4 for name, v in smooth.values[path].items()} for path in (smooth.base, *smooth.sources)]
    return make("scaled", found[0], found[1:])


@pytest.fixture(scope="session")
def equal(make: Make, smooth: Set) -> Set:
    """Three sources that are the same."""
    source = smooth.values[smooth.sources[0]]
    return make("equal", smooth.values[smooth.base], [source, source, source])


@pytest.fixture(params=["compiled", "numpy"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Each implementation of the kernels."""
    return load(request.param == "compiled")

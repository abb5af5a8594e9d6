"""Bytes written today are the bytes written tomorrow: hashes of merges of inputs made by whole-number arithmetic.

Where a change of bytes is meant, MIXMERGE_GOLDEN=write makes the table anew; say why in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mixmerge import api
from mixmerge.checkpoint import DTYPES
from mixmerge.kernels import CHUNK
from support import models
from support.cases import CASES, Case
from support.merging import recipe_of

TABLE = Path(__file__).with_name("golden.json")
SHAPES = {
    "model.embed_tokens.weight": (CHUNK + 5,),
    "model.layers.0.mlp.up_proj.weight": (31, 33),
    "model.norm.weight": (7,),
}
KINDS = ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F64", "mixed"]


def numbers(shape: tuple[int, ...], seed: int, steps: int) -> np.ndarray:
    """Whole numbers from -steps to steps, scattered by multiplication; the same on every machine."""
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        mixed = (index * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD2E7470EE14C6C93)) >> np.uint64(
            33
        )
    return (mixed % np.uint64(2 * steps + 1)).astype(np.int64).reshape(shape) - steps


def family(kind: str) -> list[models.Arrays]:
    """A base and three fine-tunes: 1/512 to 1 in size, changed by up to 40/4096."""
    base = {name: numbers(shape, 1, 512) / 512 for name, shape in SHAPES.items()}
    parts = [base]
    for seed in (2, 3, 4):
        parts.append({name: values + numbers(values.shape, seed, 40) / 4096 for name, values in base.items()})
    kinds = ["BF16", "F16", "F32", "BF16"] if kind == "mixed" else [kind] * 4
    return [
        {name: values.astype(np.float32).astype(DTYPES[one].numpy) for name, values in part.items()}
        for part, one in zip(parts, kinds, strict=True)
    ]


def golden_cases() -> dict[str, tuple[Case | str, str]]:
    """Name -> (case, element type): every case of two sources in bfloat16, every element type on a few."""
    most = [case for case in CASES if case.n == 2 or case.dare is None]
    found: dict[str, tuple[Case | str, str]] = {f"BF16/{case.id}": (case, "BF16") for case in most}
    few = [case for case in CASES if case.dare in (None, "random") and case.mixup and case.n == 2]
    found |= {f"{kind}/{case.id}": (case, kind) for kind in KINDS for case in few}
    return found | {f"drawn/{scope}": (scope, "BF16") for scope in ("model", "layer", "block", "tensor")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    root = tmp_path_factory.mktemp("golden")
    return {
        kind: [models.write_model(root / kind / str(k), part) for k, part in enumerate(family(kind))] for kind in KINDS
    }


def digest(case: Case | str, paths: list[Path], out: Path) -> str:
    if isinstance(case, Case):
        recipe = case.recipe(paths[1:], paths[0])
    else:
        mixup = {"alpha": 0.5, "scope": case}
        recipe = recipe_of("ties", paths[1:], paths[0], dare={"drop_rate": 0.2}, mixup=mixup, seed=2502)
    api.merge(recipe, out)
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()[:32]


@pytest.mark.parametrize("part", range(8))
def test_golden_bytes(part: int, folders: dict[str, list[Path]], tmp_path: Path) -> None:
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    cases = dict(list(golden_cases().items())[part::8])
    found = {
        name: digest(case, folders[kind], tmp_path / str(number))
        for number, (name, (case, kind)) in enumerate(cases.items())
    }
    if os.environ.get("MIXMERGE_GOLDEN") == "write":
        TABLE.write_text(json.dumps(dict(sorted({**known, **found}.items())), indent=1) + "\n")
        return
    assert found == {name: known.get(name) for name in found}


def test_the_table_has_no_more_than_is_tested() -> None:
    assert set(json.loads(TABLE.read_text())) == set(golden_cases())

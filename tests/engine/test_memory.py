"""Peak memory of a whole process stays below what its plan projected, and does not grow with the models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mixmerge
from support import models

MIB = 2**20
ZOO = Path(mixmerge.__file__).parent / "zoo"
_CHILD = """
import json, resource, sys
from mixmerge import api
from mixmerge.checkpoint import writer
from mixmerge.recipe import parse_recipe
writer.DIRECT_FROM = 0  # as large files are written, where that can be done
order = json.loads(sys.argv[1])
plans = []
api.merge(parse_recipe(order["recipe"]), order["out"], threads=order["threads"], memory=order["memory"],
          on_plan=lambda plan: plans.append(plan.budget))
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
peak = int(status["VmHWM"].split()[0]) * 1024
budget = plans[0]
print(json.dumps({"peak": peak, "projected": budget.projected, "baseline": budget.baseline, "block": budget.block,
                  "buffers": budget.buffers, "tables": budget.tables, "sample": budget.sample}))
"""

_TYPED = """
import sys
from mixmerge.cli import run
code = run(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print("peak", status["VmHWM"].split()[0])
sys.exit(code)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three models of 40 MB in bfloat16, with norms in float32."""
    root = tmp_path_factory.mktemp("big")
    rng = np.random.default_rng(1)
    paths = []
    noise = rng.integers(0, 2**16, 2**20, dtype=np.uint16) & 0xBFFF
    for k in range(3):
        model: models.Arrays = {}
        for layer in range(10):
            at = f"model.layers.{layer}."
            model[at + "mlp.up_proj.weight"] = np.roll(noise, 7 * k + layer).view(ml_dtypes.bfloat16).repeat(2)
            model[at + "input_layernorm.weight"] = np.ones(2048, np.float32)
        paths.append(models.write_model(root / str(k), model))
    return paths


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of a process from /proc")


@LINUX
@pytest.mark.parametrize(
    ("method", "keys", "threads", "memory"),
    [
        ("linear", {}, 2, 360),
        ("ties", {}, 2, None),
        ("ties", {"dare": {"drop_rate": 0.2}, "mixup": {"ratio": 0.3}}, 2, 350),
        ("ties", {"dare": {"drop_rate": 0.2, "strategy": "magnitude"}, "parameters": {"trim": "tensor"}}, 1, 360),
    ],
)
def test_the_projection_holds(
    method: str, keys: dict[str, Any], threads: int, memory: int | None, big: list[Path], tmp_path: Path
) -> None:
    recipe = {"merge_method": method, "dialect": "paper", "base_model": str(big[0]), **keys}
    recipe["models"] = [{"model": str(path)} for path in big[1:]]
    found = measured(recipe, tmp_path / "out", threads, None if memory is None else memory * MIB)
    assert memory is None or found["projected"] <= memory * MIB


@LINUX
def test_the_projection_holds_where_loops_are_compiled(tmp_path: Path) -> None:
    """The first merge on a machine, as a person types it; with much to compile."""
    recipe = {
        "merge_method": "ties",
        "dialect": "paper",
        "base_model": str(ZOO / "base"),
        "models": [{"model": str(ZOO / name)} for name in ("adder", "sorter", "flipper")],
        "parameters": {"trim": "tensor"},
        "dare": {"drop_rate": 0.2, "strategy": "magnitude"},
        "mixup": {"alpha": 0.5},
        "dtype": "float16",
    }
    words = [str(tmp_path / "recipe.yaml")]
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    cache = tmp_path / "cache"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}

    def said(*more: str) -> str:
        command = [sys.executable, "-c", _TYPED, *more, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment).stdout

    projected = json.loads(said("plan", "--json").rpartition("peak")[0])["plan"]["memory"]["projected"]
    peak = int(said("merge", "-o", str(tmp_path / "out")).rpartition("peak")[2]) * 1024
    assert len(list(cache.rglob("*.code"))) >= 4, "or little was compiled"
    assert 200 * MIB < peak <= projected


def measured(recipe: dict[str, Any], out: Path, threads: int = 1, memory: int | None = None) -> dict[str, int]:
    """What the plan projected, and the peak of the process that merged; the second is never above the first."""
    order = {"recipe": json.dumps(recipe, indent=1), "out": str(out), "threads": threads, "memory": memory}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps(order)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    assert found["peak"] <= found["projected"], {key: round(value / MIB, 1) for key, value in found.items()}
    print({key: round(value / MIB, 1) for key, value in found.items()})
    return found


@LINUX
def test_the_projection_holds_with_many_sources_of_many_tensors(tmp_path: Path) -> None:
    """Little but the plan itself: 80 models of 1,600 tensors hold more than two."""
    model = {f"model.layers.{k}.mlp.a_name_as_long_as_many.weight": np.ones(2, np.float32) for k in range(1600)}
    paths = [models.write_model(tmp_path / str(k), model) for k in range(80)]
    recipe = {"merge_method": "linear", "dialect": "paper", "models": [{"model": str(path)} for path in paths]}
    measured(recipe, tmp_path / "out")


@LINUX
def test_the_projection_holds_with_a_header_that_says_much(tmp_path: Path) -> None:
    """30 MB of text with a few bytes of weights: reading it takes many times its size."""
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": ["ab"] * 4_000_000}
    text = json.dumps({"w": entry}, separators=(",", ":")).encode()
    paths = []
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
        paths.append(tmp_path / name)
    recipe = {"merge_method": "linear", "dialect": "paper", "models": [{"model": str(path)} for path in paths]}
    found = measured(recipe, tmp_path / "out")
    assert found["peak"] > 10 * len(text), "or this says nothing"

"""What will be compiled is told before a pass begins, once: it takes seconds in which nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.engine import Engine, MappedFiles, PassStarted
from mixmerge.engine.events import COMPILING
from mixmerge.kernels import load
from mixmerge.planning import with_ratios
from mixmerge.sink import LiveSink
from support.merging import Recorder, live_tensors, plan_of, recipe_of
from support.models import BF16, write_model

Tensors = Callable[[int], dict[str, np.ndarray]]
HALF = {"ratio": 0.5}


def models_of(tensors: Tensors, folder: Path) -> list[Path]:
    return [write_model(folder / str(k), tensors(k)) for k in range(2)]


def of_one_type(dtype: Any) -> Tensors:
    return lambda k: {"w": np.full((2, 4), k, dtype), "z": np.full(6, k, dtype)}


def with_integers(k: int) -> dict[str, np.ndarray]:
    """They are copied, and come last."""
    return {"w": np.full((2, 4), k, np.float32), "z": np.arange(6, dtype=np.int64)}


def with_an_odd_one(k: int) -> dict[str, np.ndarray]:
    return {"w": np.full((2, 4), k).astype(BF16), "z": np.full(7, k).astype(BF16)}


@pytest.mark.parametrize(
    ("tensors", "dtype", "loops"),
    [
        (of_one_type(np.float32), None, 1),
        (of_one_type(BF16), None, 1),
        (with_integers, None, 1),
        (with_an_odd_one, None, 2),
        (of_one_type(np.float32), "float16", 1),
    ],
    ids=["one type", "a pair", "integers", "an odd one", "another type"],
)
def test_it_is_told_for_each_sort_of_tensor(tensors: Tensors, dtype: str | None, loops: int, tmp_path: Path) -> None:
    made: list[tuple[Any, ...]] = []
    kernels = replace(load(), ready=lambda *_: False, make_ready=lambda *call: made.append(call))
    plan, heard = (
        plan_of(recipe_of("linear", models_of(tensors, tmp_path), dtype=dtype, mixup=HALF), threads=1),
        Recorder(),
    )
    engine = Engine(plan, [heard], kernels, files=MappedFiles())
    statistics = engine.measure(plan)
    for ratio in (0.3, 0.6):
        drawn = with_ratios(plan, {"model": (ratio, 1 - ratio)})
        engine.apply(drawn, statistics, LiveSink(live_tensors(plan)), hashed=False)
    assert [event.name for event in heard.of(PassStarted)] == [*[COMPILING] * loops, "merging", "merging"]
    assert len(made) == loops
    plan.close()


def test_nothing_is_told_where_nothing_is_compiled(tmp_path: Path) -> None:
    plan, heard = (
        plan_of(recipe_of("linear", models_of(of_one_type(BF16), tmp_path), mixup=HALF), threads=1),
        Recorder(),
    )
    engine = Engine(plan, [heard], load(compiled=False))
    engine.apply(plan, engine.measure(plan), LiveSink(live_tensors(plan)))
    assert [event.name for event in heard.of(PassStarted)] == ["merging"]
    plan.close()

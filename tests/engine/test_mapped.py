"""Draws into a live model look at mapped files and keep masks: the bytes of reading, and changed files are told."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.conftest import Family
from mixmerge.engine import Engine, MappedFiles, PassStarted, apply, blocks, mapped
from mixmerge.engine.events import COMPILING
from mixmerge.errors import CheckpointError, NonFiniteError
from mixmerge.kernels import CHUNK, load
from mixmerge.planning import Plan, with_ratios
from mixmerge.sink import LiveSink
from support import models
from support.merging import Recorder, bytes_of, live_tensors, merge_live, plan_of, recipe_of

DARE = {"drop_rate": 0.3}
METHODS: dict[str, dict[str, Any]] = {
    "linear": {"method": "linear", "base": False},
    "linear, dare": {"method": "linear", "dare": DARE},
    "task_arithmetic, dare": {"method": "task_arithmetic", "dare": DARE},
    "task_arithmetic, float16 out": {"method": "task_arithmetic", "dtype": "float16"},
    "ties": {"method": "ties"},
    "ties, dare": {"method": "ties", "dare": DARE},
    "ties, dare of weights": {"method": "ties", "dare": {**DARE, "of": "weight"}},
    "ties, dare of magnitudes": {"method": "ties", "dare": {**DARE, "strategy": "magnitude"}},
    "ties of three": {"method": "ties", "dare": DARE, "n": 3},
}


def repacked(folder: Path, target: Path, extra: int = 0) -> Path:
    """The same model with headers of a multiple of 8 bytes, as safetensors writes them, and `extra` bytes more."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            size = struct.unpack("<Q", data[:8])[0]
            header = data[8 : 8 + size].ljust(-(-size // 8) * 8 + extra)
            data = struct.pack("<Q", len(header)) + header + data[8 + size :]
        (target / path.name).write_bytes(data)
    return target


@pytest.fixture(scope="module")
def aligned(families: dict[str, Family], large: Family, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    root = tmp_path_factory.mktemp("aligned")
    found = {}
    for kind, family in {**families, "large": large}.items():
        base, *sources = (repacked(path, root / kind / path.name) for path in (family.base, *family.sources))
        found[kind] = Family(base, sources, family.values)
    return found


def recipe(family: Family, name: str) -> Any:
    keys = {**METHODS[name]}
    base = family.base if keys.pop("base", True) else None
    sources = family.sources[: keys.pop("n", 2)]
    ratio = {2: 0.3, 3: [0.2, 0.3, 0.5]}[len(sources)]
    return recipe_of(keys.pop("method"), sources, base, mixup={"ratio": ratio}, **keys)


def draw(engine: Engine, plan: Plan, statistics: Any = None) -> tuple[dict[str, bytes], Any]:
    """One pass into fresh memory, with what it measured."""
    tensors = live_tensors(plan)
    statistics = engine.measure(plan) if statistics is None else statistics
    found = engine.apply(plan, statistics, LiveSink(tensors), hashed=False)
    return {name: live.data.tobytes() for name, live in tensors.items()}, found


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "IN_PLACE", CHUNK)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["bf16", "half", "smooth", "large"])
@pytest.mark.usefixtures("small_blocks")
def test_mapped_is_as_read(name: str, kind: str, aligned: dict[str, Family]) -> None:
    asked = recipe(aligned[kind], name)
    plan, files = plan_of(asked, threads=2), MappedFiles()
    inputs = [(step, item) for step in plan.steps for item in step.all_inputs]
    assert all(files.row(plan, item, 0, step.spec.count) is not None for step, item in inputs)
    made, _ = draw(Engine(plan, files=files), plan)
    assert made == bytes_of(merge_live(asked, threads=1))
    files.close()
    plan.close()


@pytest.mark.parametrize("name", ["linear", "ties, dare", "ties, dare of weights"])
def test_one_engine_serves_every_ratio(name: str, aligned: dict[str, Family]) -> None:
    """Masks and thresholds of the first draw hold for the others; the second learns from them what stays in the end."""
    asked = recipe(aligned["bf16"], name)
    plan, heard = plan_of(asked, threads=2), Recorder()
    engine, statistics, passes = Engine(plan, [heard], files=MappedFiles()), None, []
    for ratio in (0.3, 0.0, 0.9):
        drawn = with_ratios(plan, {"model": (ratio, 1 - ratio)})
        made, statistics = draw(engine, drawn, statistics)
        alone = plan_of(asked, threads=1)
        assert made == draw(Engine(alone), with_ratios(alone, drawn.ratios))[0], ratio
        passes.append([event.name for event in heard.of(PassStarted) if event.name != COMPILING])
        heard.events.clear()
    settling = ["settling masks"] if name == "ties, dare" else []
    assert passes[1:] == [[*settling, "merging"], ["merging"]]


def test_masks_are_settled_for_their_own_statistics_only(aligned: dict[str, Family]) -> None:
    """Measuring needs those of DARE alone; other statistics need others."""
    plan = plan_of(recipe(aligned["bf16"], "ties, dare"), threads=2)
    engine, alone = Engine(plan, files=MappedFiles()), Engine(plan)
    first = draw(engine, plan)[1]
    assert draw(engine, plan, first) == draw(alone, plan, first)
    assert engine.measure(plan) == replace(first, proven=False)
    assert first.limits is not None
    other = replace(first, limits=tuple(2 * limit for limit in first.limits), majority=-first.majority)
    assert draw(engine, plan, other)[0] == draw(alone, plan, other)[0] != draw(alone, plan, first)[0]
    assert draw(engine, plan, first) == draw(alone, plan, first)


def test_rows_in_place(aligned: dict[str, Family]) -> None:
    """Without a buffer a block may be larger than one; what is mapped cannot be written to."""
    plan = plan_of(recipe(aligned["large"], "linear"))
    files, longest = MappedFiles(), max(plan.steps, key=lambda step: step.spec.count)
    assert blocks.in_place(plan, longest, files)
    assert not blocks.in_place(plan, longest, None)
    assert [count for _, count in blocks.pieces(longest, blocks.IN_PLACE)] == [longest.spec.count]
    view = files.row(plan, longest.inputs[0], 5, 9)
    assert view is not None
    assert view.size == 9 * longest.inputs[0].span.dtype.itemsize
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[:] = 0


def test_what_cannot_be_mapped_is_read(aligned: dict[str, Family], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recipe(aligned["bf16"], "ties, dare")
    plan = plan_of(asked, threads=2)
    right = bytes_of(merge_live(asked))

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("not here")

    with monkeypatch.context() as patch:
        patch.setattr(mmap, "mmap", refuse)
        assert draw(Engine(plan, files=MappedFiles()), plan)[0] == right
    monkeypatch.setattr(mapped, "MOST", 1)
    files = MappedFiles()
    assert draw(Engine(plan, files=files), plan)[0] == right
    rows = [files.row(plan, item, 0, 1) for step in plan.steps for item in step.all_inputs]
    assert any(row is None for row in rows)
    assert any(row is not None for row in rows)


def test_elements_at_odd_places_are_read(aligned: dict[str, Family], tmp_path: Path) -> None:
    """A header of odd length is rare and allowed."""
    family = aligned["bf16"]
    moved = repacked(family.sources[0], tmp_path / "moved", extra=1)
    plan, files = plan_of(recipe_of("linear", [moved, family.sources[1]], mixup={"ratio": 0.3})), MappedFiles()
    assert files.row(plan, plan.steps[0].inputs[0], 0, 1) is None
    assert files.row(plan, plan.steps[0].inputs[1], 0, 1) is not None
    usual = recipe_of("linear", family.sources[:2], mixup={"ratio": 0.3})
    assert draw(Engine(plan, files=files), plan)[0] == bytes_of(merge_live(usual))


@pytest.mark.parametrize("how", ["shorter", "touched", "gone"])
def test_a_file_that_changed_is_told_before_the_next_draw(how: str, tmp_path: Path) -> None:
    """A page that is gone would end the process."""
    paths = [
        models.write_model(tmp_path / name, models.smooth({"w": (64, 32)}, seed)) for seed, name in enumerate("ab")
    ]
    plan = plan_of(recipe_of("linear", paths, mixup={"ratio": 0.3}))
    engine = Engine(plan, files=MappedFiles())
    _, statistics = draw(engine, plan)
    file = plan.models[1].files[0]
    if how == "shorter":
        os.truncate(file, 100)
    elif how == "touched":
        os.utime(file, (1, 1))
    else:
        file.unlink()
    with pytest.raises(CheckpointError, match="the file has changed since it was opened") as caught:
        draw(engine, plan, statistics)
    assert str(file) in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    parts = [models.cast(models.smooth({"w": (64, 32)}, seed), models.BF16) for seed in (1, 2)]
    parts[1]["w"][7, 3] = np.inf
    paths = [models.write_model(tmp_path / str(k), part) for k, part in enumerate(parts)]
    plan = plan_of(recipe_of("linear", paths, mixup={"ratio": 0.3}))
    with pytest.raises(NonFiniteError, match="1, tensor w"):
        draw(Engine(plan, files=MappedFiles()), plan)


def test_the_definition_runs_over_mapped_files_too(aligned: dict[str, Family]) -> None:
    asked = recipe(aligned["bf16"], "ties, dare")
    plan = plan_of(asked)
    made, _ = draw(Engine(plan, kernels=load(compiled=False), files=MappedFiles()), plan)
    assert made == bytes_of(merge_live(asked))

"""Memory is a sum known before work starts: buffers are as large as promised, and shrink before threads do."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from mixmerge import fileio
from mixmerge.engine.blocks import Arena
from mixmerge.errors import MemoryBudgetError
from mixmerge.fileio import PAGE
from mixmerge.kernels import CHUNK
from mixmerge.planning import arena_shape
from mixmerge.planning.budget import BASELINE, MAX_BLOCK, MIB, PARSED, PER_INPUT
from plan.conftest import BASE, Write
from support import models
from support.cases import PLAIN, Case
from support.merging import plan_of, recipe_of, with_block

KINDS = [np.float32, np.float16, models.BF16, models.F8, np.float64]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: np.dtype(kind).name)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_buffers_are_as_large_as_promised(kind: Any, dtype: str | None, write: Write) -> None:
    """Also where the widest type and the largest tensor are not the same tensor's."""
    model = {"large": np.zeros(2 * CHUNK + 1, kind), "wide": np.zeros(3, np.float64), "none": np.zeros(0, kind)}
    recipe = recipe_of(
        "ties", [write("a", model), write("b", model)], write("base", model), dialect="paper", dtype=dtype
    )
    for block in (CHUNK, MAX_BLOCK):
        plan = with_block(plan_of(recipe, threads=2), block)
        arena = Arena(plan)
        rows, row, out = arena_shape(plan.steps, block)
        assert [buffer.size for buffer in arena.rows] == [row + PAGE] * rows
        assert arena.out.size == out
        held = sum(buffer.nbytes for buffer in arena.rows) + arena.out.nbytes + arena.tiles.nbytes
        assert 2 * held <= plan_of(recipe, threads=2).budget.buffers or block != plan_of(recipe).budget.block


@pytest.mark.parametrize("case", [case for case in PLAIN if case.n == 3], ids=lambda case: case.id)
def test_the_sum_is_kept_and_shared_out(case: Case, write: Write) -> None:
    paths = [write(name) for name in "abc"]
    recipe = case.recipe(paths, write("base", BASE))
    last = None
    for memory in (2**34, 460, 360, 330, 324):
        plan = plan_of(recipe, memory=memory if memory > 2**20 else memory * MIB, threads=2)
        budget = plan.budget
        assert budget.projected == budget.baseline + budget.buffers + budget.tables <= max(memory, memory * MIB)
        assert budget.block % CHUNK == 0
        assert bool(budget.bins) == (case.method.sparsify != "none")
        assert bool(budget.sample) == (
            case.dialect == "paper" and case.name == "ties" and "trim" not in case.parameters
        )
        if last is not None:
            assert (budget.block, budget.bins, budget.sample) <= (
                last.block,
                last.bins,
                max(last.sample, budget.sample),
            )
        last = budget


def test_threads_are_those_of_the_machine_unless_said(write: Write) -> None:
    recipe = recipe_of("linear", [write("a"), write("b")], dialect="paper")
    assert plan_of(recipe).budget.threads == fileio.processors()
    assert plan_of(recipe, threads=7).budget.threads == 7


def test_fewer_threads_rather_than_no_merge(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"w": np.zeros(MAX_BLOCK, np.float32)}
    recipe = recipe_of("linear", [write("a", model), write("b", model)], dialect="paper")
    monkeypatch.setattr(fileio, "processors", lambda: 64)
    budget = plan_of(recipe, memory=BASELINE + 8 * MIB).budget
    assert 1 <= budget.threads < 64
    assert budget.block == CHUNK, "smaller blocks first, as many threads as these leave room for"
    assert budget.projected <= BASELINE + 8 * MIB


def test_a_plan_grows_with_its_tensors_only(write: Write) -> None:
    many = {f"w{k}": np.zeros(2, np.float32) for k in range(3000)}
    recipe = recipe_of("linear", [write("a", many), write("b", many)], dialect="paper")
    budget = plan_of(recipe).budget
    assert budget.baseline - BASELINE - PARSED * 250_000 < (6_000 + 2 * 1_500) * 3000 < budget.baseline - BASELINE


def test_a_plan_grows_with_its_sources(write: Write) -> None:
    """What 20 models hold of a tensor is more than what two do."""
    many = {f"w{k}": np.zeros(2, np.float32) for k in range(1000)}
    paths = [write(f"m{k}", many) for k in range(20)]
    two, all_of_them = (plan_of(recipe_of("linear", paths[:n], dialect="paper")).budget for n in (2, 20))
    assert all_of_them.baseline - two.baseline == 18 * 1000 * PER_INPUT


def test_too_many_threads_are_told_as_such(write: Write) -> None:
    recipe = recipe_of("linear", [write("a"), write("b")], dialect="paper")
    with pytest.raises(MemoryBudgetError, match="or say fewer --threads"):
        plan_of(recipe, threads=1_000_000)
    with pytest.raises(MemoryBudgetError) as caught:
        plan_of(recipe, threads=1, memory=MIB)
    assert "--threads" not in caught.value.problems[0].cure


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system where processes are not tied to cores")
def test_processors_are_those_the_process_may_use() -> None:
    """As under taskset and most job schedulers."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert fileio.processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert fileio.processors() == len(allowed)

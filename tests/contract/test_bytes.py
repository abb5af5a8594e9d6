"""Laws that hold bit for bit: no block size, thread, budget, kernel, sink or interruption shows in a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contract.conftest import Set
from mixmerge import api
from mixmerge.checkpoint import DTYPES
from mixmerge.engine import Event, TensorDone
from mixmerge.kernels import CHUNK, load
from support import models
from support.cases import CASES, Case
from support.merging import bytes_of, merge_live, plan_of, run_live, with_block

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
_WHOLE: dict[tuple[str, Path], dict[str, bytes]] = {}


def whole(case: Case, odd: Set) -> dict[str, bytes]:
    """The result in one block a tensor on one thread."""
    key = (case.id, odd.base)
    if key not in _WHOLE:
        _WHOLE[key] = bytes_of(merge_live(case.recipe(odd.sources, odd.base), threads=1, block=8 * CHUNK))
    return _WHOLE[key]


@every_case
def test_blocks_and_threads_do_not_show(case: Case, odd: Set) -> None:
    recipe = case.recipe(odd.sources, odd.base)
    assert bytes_of(merge_live(recipe, threads=3, block=CHUNK)) == whole(case, odd)


@pytest.mark.parametrize("case", [case for case in CASES if case.n == 2], ids=lambda case: case.id)
def test_the_memory_budget_does_not_show(case: Case, odd: Set) -> None:
    recipe = case.recipe(odd.sources, odd.base)
    roomy = plan_of(recipe, threads=1)
    tight = plan_of(recipe, threads=1, memory=roomy.budget.baseline + 7 * 2**19)
    assert tight.budget.projected <= roomy.budget.baseline + 7 * 2**19
    assert not roomy.budget.bins or tight.budget.bins < roomy.budget.bins
    assert bytes_of(run_live(tight)[0]) == whole(case, odd)


@every_case
def test_compiled_kernels_do_not_show(case: Case, odd: Set) -> None:
    recipe = case.recipe(odd.sources, odd.base)
    assert bytes_of(merge_live(recipe, kernels=load(False), threads=1, block=CHUNK)) == whole(case, odd)


@pytest.mark.parametrize("case", [case for case in CASES if case.n == 2], ids=lambda case: case.id)
def test_a_live_model_is_the_file(case: Case, odd: Set, tmp_path: Path) -> None:
    recipe = case.recipe(odd.sources, odd.base)
    api.merge(recipe, tmp_path / "out", threads=2)
    written = models.read_model(tmp_path / "out")
    assert bytes_of(written) == whole(case, odd)
    assert {name: values.shape for name, values in written.items()} == {
        name: values.shape for name, values in odd.values[odd.base].items()
    }
    wide = merge_live(recipe, dtype="F32", threads=1)
    for name, values in written.items():
        assert np.array_equal(wide[name], values.astype(np.float32))
    assert not (tmp_path / "out.partial").exists()


class _StopError(BaseException):
    """What Ctrl-C raises, or anything else that nobody catches."""


class _Stopper:
    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, event: Event) -> None:
        if isinstance(event, TensorDone):
            self.left -= 1
            if self.left < 0:
                raise _StopError


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.n == 2 and case.dare in (None, "random", "magnitude")],
    ids=lambda case: case.id,
)
def test_an_interruption_does_not_show(case: Case, odd: Set, tmp_path: Path) -> None:
    recipe = case.recipe(odd.sources, odd.base)
    out = tmp_path / "out"
    with pytest.raises(_StopError):
        api.merge(recipe, out, threads=1, listeners=[_Stopper(3)])
    assert not out.exists()
    record = api.merge(recipe, out, threads=2, resume=True)
    assert bytes_of(models.read_model(out)) == whole(case, odd)
    again = api.merge(recipe, tmp_path / "again", threads=1)
    assert record == again
    assert models.tree_bytes(out, without=["README.md"]) == models.tree_bytes(tmp_path / "again", without=["README.md"])


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F64"])
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.n == 2 and case.dare is None], ids=lambda case: case.id
)
def test_every_element_type(case: Case, dtype: str, odd: Set, tmp_path: Path) -> None:
    """All inputs of one type: blocks, threads and kernels do not show, and the output has that type."""
    kind = DTYPES[dtype].numpy
    shapes = {"w": (CHUNK + 9,), "v": (5,), "nothing": (0,)}
    base = models.grid(shapes, 1)
    parts = [models.cast(part, kind) for part in (base, models.stepped(base, 2, 99), models.stepped(base, 3, 99))]
    paths = [models.write_model(tmp_path / str(k), part) for k, part in enumerate(parts)]
    recipe = case.recipe(paths[1:], paths[0])
    found = merge_live(recipe, threads=1, block=8 * CHUNK)
    assert {values.dtype for values in found.values()} == {kind}
    plan = with_block(plan_of(recipe, threads=2), CHUNK)
    assert bytes_of(run_live(plan, kernels=load(False))[0]) == bytes_of(found)
    narrow = merge_live(case.recipe(paths[1:], paths[0], dtype="bfloat16"))
    wide = merge_live(case.recipe(paths[1:], paths[0], dtype="float32"))
    for name, values in wide.items():
        assert np.array_equal(values.astype(models.BF16), narrow[name])
        with np.errstate(over="ignore"):
            assert np.array_equal(values.astype(kind).view(np.uint8), found[name].view(np.uint8))

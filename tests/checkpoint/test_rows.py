"""A tensor seen with other rows, against numpy's indexing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.checkpoint import OWN_MEAN, OWNERS_MEAN, SEEN_MEAN, ZEROS, Checkpoint, RowView, open_checkpoint
from mixmerge.checkpoint.rows import STEP
from support.models import write_model

DTYPES = (np.float32, ml_dtypes.bfloat16, np.float16)
CHOICES = (0, 1, 2, OWN_MEAN, OWNERS_MEAN)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], list[Checkpoint]]:
    """Three tensors of 11, 7 and 9 rows of 5 elements, each in a dtype of its own."""
    root, rng = tmp_path_factory.mktemp("rows"), np.random.default_rng(3)
    values = [rng.standard_normal((rows, 5)).astype(kind) for rows, kind in zip((11, 7, 9), DTYPES, strict=True)]
    paths = [write_model(root / str(k), {"w": array}, config=None) for k, array in enumerate(values)]
    return values, [open_checkpoint(path, path.name) for path in paths]


def expected(
    values: Sequence[np.ndarray], own: int, maps: Sequence[np.ndarray], choice: np.ndarray, seen: int
) -> np.ndarray:
    """Row by row; rows that are a mean of those before them last."""
    if SEEN_MEAN in choice:
        first = int(np.flatnonzero(choice == SEEN_MEAN)[0])
        rows = expected(values, own, [places[:first] for places in maps], choice[:first], seen)
        mean = rows[:seen].astype(np.float64).mean(axis=0).astype(np.float32).astype(values[own].dtype)
        return np.concatenate([rows, np.broadcast_to(mean, (len(choice) - first, 5))])
    rows: list[Any] = []
    for number, chosen in enumerate(choice):
        if chosen >= 0:
            rows.append(values[chosen][maps[chosen][number]].astype(np.float32))
            continue
        if chosen == ZEROS:
            rows.append(np.zeros(5, np.float32))
            continue
        owners = [array[places[number]] for array, places in zip(values, maps, strict=True) if places[number] >= 0]
        source = values[own] if chosen == OWN_MEAN else np.stack([row.astype(np.float64) for row in owners])
        rows.append(source.astype(np.float64).mean(axis=0).astype(np.float32))
    return np.stack(rows).astype(values[own].dtype)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_rows_in_any_range(data: st.DataObject, tables: tuple[list[np.ndarray], list[Checkpoint]]) -> None:
    values, opened = tables
    own = data.draw(st.integers(0, 2))
    count = data.draw(st.integers(1, 14))
    maps = [
        np.array(data.draw(st.lists(st.integers(-1, len(array) - 1), min_size=count, max_size=count)), np.int64)
        for array in values
    ]
    choice = np.zeros(count, np.int16)
    for row in range(count):
        here = [k for k in (0, 1, 2) if maps[k][row] >= 0]
        choice[row] = data.draw(st.sampled_from([*here, OWN_MEAN, ZEROS, *([OWNERS_MEAN] if here else [])]))
    padding = data.draw(st.integers(0, count - 1))
    choice[count - padding :] = SEEN_MEAN
    seen = data.draw(st.integers(1, count - padding))
    view = RowView([(model, model.tensors["w"]) for model in opened], own, maps, choice, seen)
    whole = expected(values, own, maps, choice, seen)
    assert view.shape == whole.shape
    assert view.nbytes == whole.nbytes
    first = data.draw(st.integers(0, whole.size))
    size = data.draw(st.integers(0, whole.size - first))
    out = np.zeros(size * whole.dtype.itemsize, np.uint8)
    view.read_into(first, size, out)
    assert out.tobytes() == whole.reshape(-1)[first : first + size].tobytes()


def test_neighbouring_rows_are_read_at_once(
    tables: tuple[list[np.ndarray], list[Checkpoint]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values, opened = tables
    places = np.array([2, 3, 4, 9, 10, 0, 1, 1], np.int64)
    view = RowView([(opened[0], opened[0].tensors["w"])], 0, [places], np.zeros(8, np.int16))
    reads: list[int] = []
    real = Checkpoint.read_into

    def counted(self: Checkpoint, span: Any, first: int, count: int, out: Any) -> None:
        reads.append(count)
        real(self, span, first, count, out)

    monkeypatch.setattr(Checkpoint, "read_into", counted)
    out = np.zeros(8 * 5 * 4, np.uint8)
    view.read_into(0, 40, out)
    assert out.tobytes() == values[0][places].tobytes()
    assert reads == [15, 10, 10, 5]


def test_the_mean_of_many_rows_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps of whole rows, in order; the bytes do not depend on who asks first."""
    values = np.random.default_rng(1).standard_normal((3 * STEP // 16 + 5, 16)).astype(ml_dtypes.bfloat16)
    with open_checkpoint(write_model(tmp_path / "m", {"w": values}, config=None), "m") as model:
        places = np.full(3, -1, np.int64)
        view = RowView([(model, model.tensors["w"])], 0, [places], np.full(3, OWN_MEAN, np.int16))
        assert view.mean_bytes == values.nbytes
        out = np.zeros(3 * 32, np.uint8)
        view.read_into(0, 48, out)
        monkeypatch.setattr(Checkpoint, "read_into", None)
        again = np.zeros(32, np.uint8)
        view.read_into(8, 16, again)
    mean = values.astype(np.float64).mean(axis=0).astype(np.float32).astype(values.dtype)
    assert out.tobytes() == mean.tobytes() * 3
    assert again.tobytes() == (mean.tobytes() * 2)[16:48]

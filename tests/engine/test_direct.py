"""Merges that are written past the system's cache, by threads of their own: the same folders, also after a failure."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.conftest import Family
from engine.interrupting import StopError, interrupted, recipes, state
from mixmerge import api, fileio, sink
from mixmerge.checkpoint import DTYPES, CheckpointWriter, TensorSpec, lay_out
from mixmerge.engine import Progress, TensorDone
from mixmerge.engine.journal import read_journal
from mixmerge.errors import InterruptedMergeError, NonFiniteError
from support import models
from support.direct import Writes, is_direct, pretend
from support.merging import Recorder, recipe_of

NAMES = ["paper", "mergekit", "linear"]


@pytest.fixture
def whole(large: Family, tmp_path: Path) -> Callable[[str], dict[str, bytes]]:
    """What a merge gives that is written through the cache; asked for before `direct`."""

    def merged(name: str) -> dict[str, bytes]:
        return state(tmp_path / f"whole-{name}")

    for name in NAMES:
        api.merge(recipes(large)[name], tmp_path / f"whole-{name}")
    return merged


@pytest.fixture
def direct(whole: Any, monkeypatch: pytest.MonkeyPatch) -> Writes:
    return pretend(monkeypatch)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes(name: str, threads: int, large: Family, whole: Any, direct: Writes, tmp_path: Path) -> None:
    heard = Recorder()
    api.merge(recipes(large)[name], tmp_path / "out", threads=threads, listeners=[heard])
    assert state(tmp_path / "out") == whole(name)
    assert direct
    assert len(heard.of(TensorDone)) == 7
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mixmerge-writer")]


@pytest.mark.parametrize("threads", [1, 2])
def test_every_byte_is_told_of_once(threads: int, large: Family, direct: Writes, tmp_path: Path) -> None:
    heard = Recorder()
    recipe = recipes(large)["linear"]
    api.merge(recipe, tmp_path / "out", threads=threads, listeners=[heard])
    size = sum(values.size for values in large.values[0].values())
    sources = len(large.sources)
    stored = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors")) // size
    assert sum(event.nbytes for event in heard.of(Progress)) == size * stored * (sources + 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_to_be_done_is_there(name: str, large: Family, whole: Any, direct: Writes, tmp_path: Path) -> None:
    """A merge that is stopped goes on with all that its journal names."""
    recipe = recipes(large)[name]
    partial = interrupted(recipe, tmp_path / "out", after=2)
    found = read_journal(partial)
    assert found is not None
    heard = Recorder()
    api.merge(recipe, tmp_path / "out", resume=True, listeners=[heard], threads=2)
    assert not {event.name for event in heard.of(TensorDone)} & found.done.keys()
    assert state(tmp_path / "out") == whole(name)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails(
    code: int, number: int, threads: int, large: Family, whole: Any, direct: Writes, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    recipe, write, left = recipes(large)["linear"], fileio.write_all, [number]

    def failing(fd: int, buffer: Any, offset: int) -> None:
        left[0] -= is_direct(fd)
        if left[0] <= 0 and is_direct(fd):
            raise OSError(code, os.strerror(code))
        write(fd, buffer, offset)

    with monkeypatch.context() as patch:
        patch.setattr(fileio, "write_all", failing)
        with pytest.raises(InterruptedMergeError, match="--resume") as caught:
            api.merge(recipe, tmp_path / "out", threads=threads)
    assert os.strerror(code) in str(caught.value)
    assert not (tmp_path / "out").exists()
    api.merge(recipe, tmp_path / "out", resume=True, threads=threads)
    assert state(tmp_path / "out") == whole("linear")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_listener_that_fails_ends_the_merge(threads: int, large: Family, direct: Writes, tmp_path: Path) -> None:
    def fail(event: object) -> None:
        if isinstance(event, TensorDone):
            raise StopError

    with pytest.raises(StopError):
        api.merge(recipes(large)["paper"], tmp_path / "out", threads=threads, listeners=[fail])
    assert not (tmp_path / "out").exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mixmerge-writer")]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_refused_in_mid_run_leaves_nothing(threads: int, tmp_path: Path, monkeypatch: Any) -> None:
    bad = {f"w{i}": np.ones((64, 64), np.float32) for i in range(6)}
    paths = [models.write_model(tmp_path / "a", dict(bad))]
    bad["w4"] = np.full((64, 64), np.nan, np.float32)
    paths.append(models.write_model(tmp_path / "b", bad))
    pretend(monkeypatch)
    with pytest.raises(NonFiniteError, match="w4"):
        api.merge(recipe_of("linear", paths, dialect="paper"), tmp_path / "out", threads=threads)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


class Interrupting(threading.Thread):
    """Control-C is typed while it is waited for, twice, and it may fail to start."""

    started = 0
    fails = 99
    typed = 0

    def start(self) -> None:
        type(self).started += 1
        if self.started == self.fails:
            raise RuntimeError("can't start new thread")
        super().start()

    def join(self, timeout: float | None = None) -> None:
        type(self).typed += 1
        if self.typed in (1, 2):
            raise KeyboardInterrupt
        super().join(timeout)


@pytest.fixture
def threaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sink.CheckpointSink]:
    """A sink with such threads."""
    pretend(monkeypatch)
    monkeypatch.setattr(sink, "Thread", type("Mine", (Interrupting,), {}))
    layouts = lay_out([TensorSpec("w", DTYPES["BF16"], (4, 2048))], 10**9)
    with CheckpointWriter(tmp_path / "out", layouts) as writer:
        yield sink.CheckpointSink(writer, 16384, 1)


def test_no_writer_is_left_by_an_impatient_person(threaded: sink.CheckpointSink) -> None:
    threaded.__enter__()
    threaded.placed("w", 0, threaded.place("w", 0, 8192, DTYPES["BF16"]))
    with pytest.raises(KeyboardInterrupt):
        threaded.__exit__(None, None, None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mixmerge-writer")]


def test_no_writer_is_left_where_another_cannot_be_started(
    threaded: sink.CheckpointSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink.Thread, "fails", 2)
    monkeypatch.setattr(sink.Thread, "typed", 2)
    with pytest.raises(RuntimeError, match="start new thread"):
        threaded.__enter__()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mixmerge-writer")]

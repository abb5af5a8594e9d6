"""A disk that is full or fails, on the side of the output or of the inputs: what is done is kept and resumed."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.conftest import Family
from engine.interrupting import interrupted, recipes, state
from mixmerge import api, fileio
from mixmerge.engine import TensorDone
from mixmerge.errors import InterruptedMergeError, OutputError
from support import models
from support.merging import Recorder, recipe_of


class _Failing:
    """Stands in for a function of `fileio`: the n-th call fails as a full disk does."""

    def __init__(self, real: Callable[..., Any], number: int, code: int) -> None:
        self.real, self.left, self.code = real, number, code

    def __call__(self, *arguments: Any, **keys: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*arguments, **keys)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize(
    ("function", "number"),
    [("write_all", 4), ("write_all", 7), ("atomic_write", 1), ("atomic_write", 3), ("sync", 1), ("preallocate", 1)],
)
def test_a_disk_that_fails(
    function: str, number: int, code: int, families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, recipe in recipes(families["bf16"]).items():
        api.merge(recipe, tmp_path / "whole", overwrite=True)
        out = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(fileio, function, _Failing(getattr(fileio, function), number, code))
            with pytest.raises(InterruptedMergeError, match="--resume") as caught:
                api.merge(recipe, out, threads=2)
        assert caught.value.exit_code == 1
        assert os.strerror(code) in str(caught.value)
        assert not out.exists()
        api.merge(recipe, out, resume=True)
        assert state(out) == state(tmp_path / "whole")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_source_cut_short_in_mid_run(threads: int, families: dict[str, Family], tmp_path: Path) -> None:
    family = families["bf16"]
    copy = shutil.copytree(family.sources[1], tmp_path / "copy")
    recipe = recipe_of("linear", [family.sources[0], copy], dialect="paper")

    def cut(event: object) -> None:
        if isinstance(event, TensorDone):
            for file in copy.glob("*.safetensors"):
                os.truncate(file, 300)

    with pytest.raises(InterruptedMergeError, match="the file ends") as caught:
        api.merge(recipe, tmp_path / "out", threads=threads, listeners=[cut])
    assert str(copy) in str(caught.value)
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "out.partial"]


@pytest.mark.parametrize(("code", "cure"), [(errno.EIO, "check the disk"), (errno.EMFILE, "ulimit -n")])
def test_an_input_that_cannot_be_read_in_mid_run_costs_no_finished_work(
    code: int, cure: str, families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes(families["bf16"])["linear"]
    api.merge(recipe, tmp_path / "whole")
    first, again = Recorder(), Recorder()
    with monkeypatch.context() as patch:
        failing = _Failing(fileio.read_exact, 10**9, code)

        def fail_soon(event: object) -> None:
            if len(first.of(TensorDone)) == 3:
                failing.left = 1

        patch.setattr(fileio, "read_exact", failing)
        with pytest.raises(InterruptedMergeError, match=cure) as caught:
            api.merge(recipe, tmp_path / "out", threads=1, listeners=[first, fail_soon])
    assert caught.value.exit_code == 1
    assert "--resume" in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    api.merge(recipe, tmp_path / "out", resume=True, listeners=[again])
    assert len(again.of(TensorDone)) == 7 - len(first.of(TensorDone)) < 7
    assert state(tmp_path / "out") == state(tmp_path / "whole")


def test_more_models_than_a_process_may_open_files(
    families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of few files; macOS allows 256."""
    copies = [shutil.copytree(families["bf16"].sources[0], tmp_path / f"m{k}") for k in range(40)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 20, hard))
    try:
        api.merge(recipe_of("linear", copies, dialect="paper"), tmp_path / "out", threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (tmp_path / "out" / "mixmerge.json").exists()


def test_a_journal_that_cannot_be_written(
    families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes(families["bf16"])["mergekit"]
    api.merge(recipe, tmp_path / "whole")
    write, out, calls = os.write, tmp_path / "out", [0]

    def short(fd: int, data: bytes) -> int:
        """A disk that takes half a line, then nothing."""
        calls[0] += 1
        if calls[0] == 4:
            return write(fd, data[: len(data) // 2])
        if calls[0] == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr("mixmerge.engine.journal.os.write", short)
        with pytest.raises(InterruptedMergeError, match="free space"):
            api.merge(recipe, out)
    api.merge(recipe, out, resume=True)
    assert state(out) == state(tmp_path / "whole")


def test_a_limit_on_file_sizes(families: dict[str, Family], tmp_path: Path) -> None:
    """The system itself refuses to make the file."""
    recipe = recipes(families["bf16"])["linear"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InterruptedMergeError, match="File too large"):
            api.merge(recipe, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "out").exists()
    api.merge(recipe, tmp_path / "out", resume=True)
    api.merge(recipe, tmp_path / "whole")
    assert state(tmp_path / "out") == state(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("claims", [True, False], ids=["claimed-before", "claimed-while-writing"])
def test_a_disk_that_is_really_full(
    claims: bool, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filled by somebody else after the plan was made; whether or not the system can claim blocks before."""
    shape = {"a": (60_000,), "b": (60_000,), "c": (60_000,)}
    parts = [models.write_model(tmp_path / str(k), models.grid(shape, k)) for k in range(2)]
    recipe = recipe_of("linear", parts, dialect="paper", dtype="bfloat16")
    api.merge(recipe, tmp_path / "whole")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 2**40))
    if not claims:
        monkeypatch.delattr(os, "posix_fallocate")
    (small_disk / "filler").write_bytes(bytes(800_000))
    with pytest.raises(InterruptedMergeError, match="free space") as caught:
        api.merge(recipe, small_disk / "out", threads=1)
    assert caught.value.exit_code == 1
    assert not (small_disk / "out").exists()
    (small_disk / "filler").unlink()
    api.merge(recipe, small_disk / "out", resume=True)
    assert state(small_disk / "out") == state(tmp_path / "whole")


def test_what_an_unfinished_merge_holds_counts_as_room(small_disk: Path, tmp_path: Path) -> None:
    """The disk has no room for a second output beside the unfinished one; resuming needs none."""
    shape = {"a": (60_000,), "b": (60_000,), "c": (60_000,)}
    parts = [models.write_model(tmp_path / str(k), models.grid(shape, k)) for k in range(2)]
    recipe = recipe_of("linear", parts, dialect="paper", dtype="bfloat16")
    subprocess.run(["mount", "-o", "remount,size=1500k", str(small_disk)], check=True)
    with pytest.raises(OutputError, match="room"):
        api.plan(recipe_of("linear", parts, dialect="paper"), out=small_disk / "out")
    interrupted(recipe, small_disk / "out", 1)
    with pytest.raises(OutputError, match="room"):
        api.plan(recipe, out=small_disk / "other")
    api.merge(recipe, small_disk / "out", resume=True)

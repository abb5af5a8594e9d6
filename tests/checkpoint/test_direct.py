"""Files written past the system's cache are the same files."""

from __future__ import annotations

import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge import fileio
from mixmerge.checkpoint import DTYPES, CheckpointWriter, TensorSpec, lay_out, writer
from support.direct import Writes, is_direct, pretend

BF16, F32, U8 = DTYPES["BF16"], DTYPES["F32"], DTYPES["U8"]
SPECS = [
    TensorSpec("pages", BF16, (4, 2048)),
    TensorSpec("bias", BF16, (37,)),
    TensorSpec("more pages", BF16, (8, 2048)),
    TensorSpec("odd", BF16, (3001, 7)),
    TensorSpec("wide", F32, (5, 5)),
    TensorSpec("flags", U8, (4099,)),
    TensorSpec("none", BF16, (0,)),
]


def contents(spec: TensorSpec) -> np.ndarray:
    return np.random.default_rng(sum(spec.name.encode())).integers(0, 256, spec.nbytes, dtype=np.uint8)


def blocks(size: int, seed: int = 0) -> list[tuple[TensorSpec, int, int]]:
    """Of every tensor, in no order."""
    found = [(spec, at, min(size, spec.count - at)) for spec in SPECS for at in range(0, spec.count, size)]
    random.Random(seed).shuffle(found)
    return found


def put(out: CheckpointWriter, block: tuple[TensorSpec, int, int]) -> None:
    """From memory that is in step with the file's pages, as the engine's is."""
    spec, first, count = block
    start = out.place(spec.name, first) % fileio.PAGE
    size = spec.dtype.itemsize
    buffer = fileio.page_buffer(count * size + fileio.PAGE)[start : start + count * size]
    buffer[:] = contents(spec)[first * size : (first + count) * size]
    out.write(spec.name, first, buffer)


def written(folder: Path, shard: int = 10**9, block: int = 10**9) -> dict[str, bytes]:
    with CheckpointWriter(folder, lay_out(SPECS, shard)) as out:
        for one in blocks(block):
            put(out, one)
        out.finish()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return pretend(monkeypatch)


def test_pages_come_first_and_begin_with_a_page() -> None:
    (layout,) = lay_out(SPECS, 10**9)
    assert len(layout.header) % fileio.PAGE == 0
    names = [span.name for span in layout.spans]
    assert names == ["wide", "pages", "more pages", "none", "bias", "odd", "flags"]
    alone = lay_out(SPECS[:4], 10**9)[0]
    assert [span.offset % fileio.PAGE == 0 for span in alone.spans] == [True, True, True, False]


@pytest.mark.parametrize("block", [10**9, 2048, 1000])
@pytest.mark.parametrize("shard", [10**9, 9000])
def test_the_same_bytes_in_any_order(block: int, shard: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = written(tmp_path / "cached", shard)
    with monkeypatch.context() as patch:
        seen = pretend(patch)
        assert written(tmp_path / "direct", shard, block) == expected
    assert seen, "nothing was written so"


def test_from_many_threads(tmp_path: Path, direct: Writes) -> None:
    with CheckpointWriter(tmp_path / "many", lay_out(SPECS, 10**9)) as out:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda block: put(out, block), blocks(13)))
        out.finish()
    assert (tmp_path / "many" / "model.safetensors").read_bytes() == written(tmp_path / "one")["model.safetensors"]
    assert direct


@pytest.mark.parametrize("shift", [1, 8, 4095])
def test_memory_that_is_not_in_step_is_copied(shift: int, tmp_path: Path, direct: Writes) -> None:
    with CheckpointWriter(tmp_path / "a", lay_out(SPECS, 10**9)) as out:
        for spec in SPECS:
            buffer = fileio.page_buffer(spec.nbytes + 2 * fileio.PAGE)
            start = (out.place(spec.name, 0) + shift) % fileio.PAGE
            data = buffer[start : start + spec.nbytes]
            data[:] = contents(spec)
            out.write(spec.name, 0, data)
        out.finish()
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == written(tmp_path / "b")["model.safetensors"]
    assert direct


@pytest.mark.parametrize("cut", [1, 5, 30, 60])
def test_taken_up_again_at_any_block(cut: int, tmp_path: Path, direct: Writes) -> None:
    """Pages that one run fills in part and the next the rest."""
    layouts, order = lay_out(SPECS, 10**9), blocks(1000)
    first = CheckpointWriter(tmp_path / "a", layouts)
    for block in order[:cut]:
        put(first, block)
    first.close()
    with CheckpointWriter(tmp_path / "a", layouts, resume=True) as second:
        for block in order[cut:]:
            put(second, block)
        second.finish()
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == written(tmp_path / "b")["model.safetensors"]
    assert direct


def test_a_device_that_asks_for_more_than_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = written(tmp_path / "cached")
    pretend(monkeypatch)
    strict, refused = fileio.write_all, []

    def picky(fd: int, buffer: Any, offset: int) -> None:
        if is_direct(fd):
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        strict(fd, buffer, offset)

    monkeypatch.setattr(fileio, "write_all", picky)
    assert written(tmp_path / "direct") == expected
    assert refused


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_device_that_fails_is_told(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)

    def failing(fd: int, buffer: Any, offset: int) -> None:
        if is_direct(fd):
            raise OSError(code, os.strerror(code))

    out = CheckpointWriter(tmp_path / "a", lay_out(SPECS, 10**9))
    monkeypatch.setattr(fileio, "write_all", failing)
    with pytest.raises(OSError, match=r"No space|Input/output") as caught:
        put(out, (SPECS[0], 0, SPECS[0].count))
    assert caught.value.errno == code
    out.close()


def test_a_second_pass_over_a_file_taken_up_again(tmp_path: Path, direct: Writes) -> None:
    """Bytes of the pass before, in pages that were not full, are not what a page waits for."""
    layouts, order = lay_out(SPECS, 10**9), blocks(1000)
    first = CheckpointWriter(tmp_path / "a", layouts)
    for spec, at, count in order[:30]:
        first.write(spec.name, at, np.full(count * spec.dtype.itemsize, 1, np.uint8))
    first.close()
    with CheckpointWriter(tmp_path / "a", layouts, resume=True) as second:
        for spec, at, count in order[30:]:
            second.write(spec.name, at, np.full(count * spec.dtype.itemsize, 2, np.uint8))
        second.settle()
        assert not any(pages._pages for pages in second._pages.values())
        for block in order:
            put(second, block)
        second.finish()
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == written(tmp_path / "b")["model.safetensors"]
    assert direct


def test_closing_makes_no_file_again(tmp_path: Path, direct: Writes) -> None:
    with CheckpointWriter(tmp_path / "a", lay_out(SPECS, 10**9)) as out:
        put(out, (SPECS[3], 0, 100))
        out.abort()
    assert list((tmp_path / "a").iterdir()) == []
    assert not direct


def test_small_files_and_unknown_file_systems_are_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fileio, "open_direct", lambda path: pytest.fail(f"{path} was opened"))
    written(tmp_path / "small")
    monkeypatch.setattr(writer, "DIRECT_FROM", 0)
    monkeypatch.setattr(fileio, "_file_system", lambda _: "nfs4")
    written(tmp_path / "elsewhere")


def test_on_this_machines_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing, where there is one."""
    (tmp_path / "file").touch()
    if not fileio.writes_direct(tmp_path / "file"):
        pytest.skip("files are not written past the cache here")
    expected = written(tmp_path / "cached", 9000)
    monkeypatch.setattr(writer, "DIRECT_FROM", 0)
    assert written(tmp_path / "direct", 9000, 1000) == expected
    assert written(tmp_path / "again", 9000, 4096) == expected


def test_a_system_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(fileio, "_file_system", lambda _: "ext4")
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    assert not fileio.writes_direct(tmp_path / "file")
    assert not fileio.writes_direct(tmp_path / "missing")


def test_the_kind_of_file_system(tmp_path: Path) -> None:
    assert fileio._file_system(Path("/proc")) in ("proc", "")
    assert fileio._file_system(tmp_path / "missing") == ""

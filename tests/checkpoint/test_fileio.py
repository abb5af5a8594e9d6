"""Positioned reads and writes, with and without the calls some systems lack."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mixmerge import fileio

MODERN = ("preadv", "pwrite", "posix_fallocate")


@pytest.fixture(params=["modern", "bare"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As this system is, and as one without any positioned call (Windows)."""
    name = str(request.param)
    if name == "bare":
        for call in MODERN:
            monkeypatch.delattr(os, call, raising=False)
    return name


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    descriptor = fileio.open_write(tmp_path / "file")
    yield descriptor
    os.close(descriptor)


@pytest.mark.usefixtures("system")
def test_what_is_written_at_an_offset_is_read_there(fd: int) -> None:
    fileio.preallocate(fd, 100)
    fileio.write_all(fd, np.arange(50, dtype=np.uint8), 30)
    back = np.zeros(50, np.uint8)
    fileio.read_exact(fd, back, 30)
    np.testing.assert_array_equal(back, np.arange(50))
    assert os.fstat(fd).st_size == 100


@pytest.mark.usefixtures("system")
def test_a_file_that_ends_too_early_is_told_in_bytes(fd: int) -> None:
    fileio.write_all(fd, b"0123456789", 0)
    with pytest.raises(EOFError, match="ends at byte 10, 6 bytes too early"):
        fileio.read_exact(fd, bytearray(8), 8)


@pytest.mark.usefixtures("system")
def test_long_transfers_are_cut_and_joined(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fileio, "_LARGEST", 7)
    data = bytes(range(100))
    fileio.write_all(fd, data, 3)
    back = bytearray(100)
    fileio.read_exact(fd, memoryview(back), 3)
    assert bytes(back) == data


@pytest.mark.usefixtures("system")
def test_threads_do_not_disturb_one_another(fd: int) -> None:
    blocks = [np.full(997, i, np.uint8) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: fileio.write_all(fd, blocks[i], i * 997), range(200)))
        backs = list(pool.map(lambda i: _read(fd, i * 997, 997), range(200)))
    assert all((back == block).all() for back, block in zip(backs, blocks, strict=True))


def _read(fd: int, offset: int, size: int) -> np.ndarray:
    back = np.empty(size, np.uint8)
    fileio.read_exact(fd, back, offset)
    return back


@pytest.mark.usefixtures("system")
def test_hints_and_syncs_are_harmless(fd: int, tmp_path: Path) -> None:
    fileio.write_all(fd, b"x" * 9000, 0)
    fileio.start_writeback(fd, 0, 9000)
    fileio.start_writeback(fd, 0, 0)
    fileio.forget(fd, 0, 4096)
    fileio.forget(fd, 0, 0)
    fileio.sync(fd)
    fileio.sync_folder(tmp_path)
    assert _read(fd, 0, 9000).tobytes() == b"x" * 9000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of a call that Linux has")
@pytest.mark.parametrize(("code", "told"), [(errno.EIO, True), (errno.EINVAL, False), (errno.ENOSYS, False)])
def test_a_device_that_did_not_take_the_bytes_is_told(
    fd: int, monkeypatch: pytest.MonkeyPatch, code: int, told: bool
) -> None:
    """Waiting for them takes the system's note of it away, so that `sync` would be content. Not to know the call is
    no failure."""

    def failing(*_: int) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(fileio, "_sync_file_range", lambda: failing)
    with pytest.raises(OSError, match=os.strerror(code)) if told else contextlib.nullcontext():
        fileio.forget(fd, 0, 4096)


def test_folders_are_synced_where_that_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems know it of files only; a disk that fails is told all the same."""
    monkeypatch.setattr(os, "fsync", _failing(errno.EINVAL))
    fileio.sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", _failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        fileio.sync_folder(tmp_path)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("size", [0, 1, 5000])
def test_preallocation_sets_the_length(fd: int, size: int) -> None:
    fileio.preallocate(fd, size)
    assert os.fstat(fd).st_size == size


def test_preallocation_falls_back_where_the_file_system_cannot(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", _failing(errno.EOPNOTSUPP), raising=False)
    fileio.preallocate(fd, 5000)
    assert os.fstat(fd).st_size == 5000


def test_a_full_disk_is_told_by_preallocation(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", _failing(errno.ENOSPC), raising=False)
    with pytest.raises(OSError, match="No space") as caught:
        fileio.preallocate(fd, 5000)
    assert caught.value.errno == errno.ENOSPC


def _failing(code: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    for fd in (fileio.open_write(tmp_path / "a"), fileio.open_read(tmp_path / "a")):
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_exclusive_creation_refuses_what_exists(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        fileio.open_write(tmp_path / "a", exclusive=True)


def test_free_space_of_a_folder_to_be_created(tmp_path: Path) -> None:
    assert fileio.free_space(tmp_path / "not" / "yet") > 0


def test_an_atomic_write_replaces_whole(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    target.write_text("old and longer")
    fileio.atomic_write(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_atomic_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.json"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", _failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        fileio.atomic_write(target, b"new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def torn(folder: Path, name: str = ".file.json.12345.tmp", seconds: float = 3600.0) -> Path:
    """What a process that was killed some time ago left of a file it wrote."""
    path = folder / name
    path.write_text("half of")
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path: Path) -> None:
    torn(tmp_path)
    fileio.atomic_write(tmp_path / "file.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_what_may_be_anybodys_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a writer that lives, wherever it does; too young to tell; of other files; and no file at all."""
    held = torn(tmp_path)
    kept = {
        held.name, torn(tmp_path, ".file.json.1.tmp", 1.0).name, torn(tmp_path, ".other.json.1.tmp").name,
        torn(tmp_path, ".file.json.mine.tmp").name, "elsewhere",
    }  # fmt: skip
    torn(tmp_path, "elsewhere")
    (tmp_path / ".file.json.2.tmp").symlink_to("elsewhere")
    os.mkfifo(tmp_path / ".file.json.3.tmp")
    os.utime(tmp_path / ".file.json.3.tmp", (0, 0))
    fd = os.open(held, os.O_RDONLY)
    try:
        assert fileio.lock(fd)
        fileio.atomic_write(tmp_path / "file.json", b"new")
    finally:
        os.close(fd)
    assert {path.name for path in tmp_path.iterdir()} == kept | {".file.json.2.tmp", ".file.json.3.tmp", "file.json"}
    monkeypatch.setitem(sys.modules, "fcntl", None)
    fileio.atomic_write(tmp_path / "file.json", b"newer")
    assert held.exists(), "no locks, no proof"


@pytest.mark.parametrize("size", [1, fileio.PAGE, 100_000, fileio.HUGE_PAGE, 5 * fileio.HUGE_PAGE + 3])
def test_buffers_begin_with_a_page_and_large_ones_with_a_huge_one(size: int) -> None:
    buffer = fileio.page_buffer(size)
    assert buffer.shape == (size,)
    assert not buffer.any()
    assert fileio.address_of(buffer) % (fileio.HUGE_PAGE if size >= fileio.HUGE_PAGE else fileio.PAGE) == 0

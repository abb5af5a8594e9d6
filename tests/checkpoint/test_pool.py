"""Open files: shared by threads, few at a time, never closed under a user."""

from __future__ import annotations

import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mixmerge import fileio
from mixmerge.checkpoint.pool import MAX_OPEN, FilePool, Shelf, allowed


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"f{i}" for i in range(6)]
    for i, path in enumerate(made):
        path.write_bytes(bytes([i]) * 10)
    return made


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_file_is_opened_once(paths: list[Path]) -> None:
    pool = FilePool(fileio.open_read)
    with pool.borrow(paths[0]) as first, pool.borrow(paths[0]) as second:
        assert first == second
    assert is_open(first)
    pool.close()
    assert not is_open(first)


def test_the_file_unused_for_longest_is_closed_first(paths: list[Path]) -> None:
    opened: list[Path] = []

    def opener(path: Path) -> int:
        opened.append(path)
        return fileio.open_read(path)

    pool = FilePool(opener, Shelf(2))
    for i in (0, 1, 0, 2, 0, 1):  # 1 is closed when 2 comes, 0 stays
        with pool.borrow(paths[i]):
            pass
    assert opened == [paths[0], paths[1], paths[2], paths[1]]
    pool.close()


def test_files_in_use_stay_open_beyond_the_limit(paths: list[Path]) -> None:
    pool = FilePool(fileio.open_read, Shelf(1))
    with pool.borrow(paths[0]) as a, pool.borrow(paths[1]) as b, pool.borrow(paths[2]) as c:
        assert all(map(is_open, (a, b, c)))
    assert sum(map(is_open, {a, b, c})) == 1
    pool.close()


def test_threads_get_the_file_they_asked_for(paths: list[Path]) -> None:
    pool = FilePool(fileio.open_read, Shelf(2))

    def read(i: int) -> bool:
        buffer = bytearray(10)
        with pool.borrow(paths[i % 6]) as fd:
            fileio.read_exact(fd, buffer, 0)
        return bytes(buffer) == bytes([i % 6]) * 10

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(2000)))
    pool.close()


def test_a_file_that_cannot_be_opened_is_not_kept(paths: list[Path]) -> None:
    pool = FilePool(fileio.open_read)
    paths[0].unlink()
    with pytest.raises(FileNotFoundError), pool.borrow(paths[0]):
        pass
    paths[0].write_bytes(b"back")
    with pool.borrow(paths[0]) as fd:
        assert is_open(fd)
    pool.close()


def test_many_pools_keep_few_files_together(paths: list[Path]) -> None:
    shelf = Shelf(3)
    pools = [FilePool(fileio.open_read, shelf) for _ in paths]
    seen = []
    for pool, path in zip(pools, paths, strict=True):
        with pool.borrow(path) as fd:
            seen.append(fd)
            assert os.pread(fd, 1, 0) == path.read_bytes()[:1]
        assert len(shelf.files) <= 3
    for pool in pools:
        pool.close()
    assert not shelf.files
    assert not any(map(is_open, seen))


def test_pools_do_not_share_a_file(paths: list[Path]) -> None:
    """One may read, the other write."""
    one, two = FilePool(fileio.open_read), FilePool(fileio.open_write)
    with one.borrow(paths[0]) as a, two.borrow(paths[0]) as b:
        assert a != b
        os.pwrite(b, b"x", 0)
    one.close()
    with two.borrow(paths[0]) as again:
        assert again == b, "closing one leaves the other's open"
    two.close()


def test_fewer_where_the_system_allows_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((256, 64), (64, 16), (2, 1), (1_048_576, MAX_OPEN), (resource.RLIM_INFINITY, MAX_OPEN)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert allowed() == expected

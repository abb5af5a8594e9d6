"""Bytes to and from files at known offsets, and what it takes to make them last.

The one place for what differs between systems: where a call is missing (`preadv`, `pwrite`,
`posix_fallocate`) the next best is done. It knows bytes, offsets and paths; nothing of
tensors or formats. Failures are the bare OSError, or EOFError where a file ends too early.
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import errno
import functools
import itertools
import os
import re
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

PAGE: Final = 4096
"""Bytes that are written at once past the system's cache of files: of them whole ones, at offsets and from addresses
that are multiples of it. No disk asks for more."""

HUGE_PAGE: Final = 2 << 20
"""Bytes of those that most systems have."""

Buffer = memoryview | bytes | bytearray | npt.NDArray[np.uint8]
"""Contiguous bytes; writable where they are read into."""

_LARGEST: Final = 1 << 30  # bytes in one system call; macOS refuses 2 GiB, Linux cuts there
_PIECE: Final = 1 << 20  # bytes copied at once
_LOOKED_AT: Final = 1000  # names in a folder
_SETTLED: Final = 60.0  # seconds: a younger file may be one whose maker has yet to lock it
_WAIT_BEFORE: Final = 1  # of sync_file_range
_WRITE: Final = 2
_WAIT_AFTER: Final = 4
_WITHOUT_CACHE: Final = ("ext4", "xfs")  # file systems whose preallocated files many threads write past it at once
_UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ESPIPE)  # a system or file system without a call
_SEEK_LOCK: Final = threading.Lock()  # only where reads and writes cannot name their offset


def expanded(path: str | Path) -> Path:
    """`path` with a leading ~ or ~user replaced; left as it is where there is no such user."""
    return Path(os.path.expanduser(path))


def exists(path: Path) -> bool:
    """Whether something is there; False for what cannot be the name of a file either."""
    return os.path.exists(path)


def hopeless(path: Path) -> str:
    """Why nothing can ever be at a path: a name too long, a file where a folder is meant; empty where something can."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", "") or str(error)
    return ""


def mistyped(path: Path) -> str:
    """The way out where a path names nothing: the path beside it that is most alike; empty where there is none."""
    try:
        names = [entry.name for entry in itertools.islice(path.parent.iterdir(), _LOOKED_AT)]
    except (OSError, ValueError):
        names = []
    same = sorted(name for name in names if name.lower() == path.name.lower())
    close = same or difflib.get_close_matches(path.name, sorted(names), n=1, cutoff=0.75)
    return f"did you mean {str(path.with_name(close[0]))!r}?" if close and close[0] != path.name else ""


def processors() -> int:
    """Those this process may run on: fewer than the machine has under taskset, and under most job schedulers."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def open_read(path: Path) -> int:
    """A descriptor for reading `path`; not inherited by child processes."""
    return os.open(path, os.O_RDONLY)


def open_write(path: Path, *, exclusive: bool = False) -> int:
    """A descriptor for reading and writing `path`, created if missing, never truncated; not inherited.

    exclusive: raise FileExistsError where something has that name already.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else 0), 0o666)


def writes_direct(path: Path) -> bool:
    """Whether an existing file can be written past the system's cache of files, and that is known to be faster."""
    if _file_system(path) not in _WITHOUT_CACHE:
        return False
    try:
        os.close(open_direct(path))
    except OSError:
        return False
    return True


def open_direct(path: Path) -> int:
    """A descriptor that writes whole pages past the system's cache of files: no copy, no memory; not inherited.

    Raises OSError, also where there is no such thing.
    """
    flag: int | None = getattr(os, "O_DIRECT", None)  # Linux
    if flag is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return os.open(path, os.O_WRONLY | flag)


def _file_system(path: Path) -> str:
    """The kind of file system an existing path is on, as Linux calls it; empty where it does not say."""
    try:
        device = os.stat(path).st_dev
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    found = [line.partition(" - ")[2].split()[0] for line in lines if line.split()[2] == number]
    return found[0] if found else ""


def page_buffer(size: int) -> npt.NDArray[np.uint8]:
    """Zeros, uint8 (size,), that begin at the address of a page; large ones at that of a huge page.

    NumPy asks for huge pages where it takes 4 MiB and more. A device is told of memory page by page: to write 2.2 GB
    from huge ones took 1.4 s where it took 2.2 s from others.
    """
    page = PAGE if size < HUGE_PAGE else HUGE_PAGE
    raw = np.zeros(size + page, np.uint8)
    start = -address_of(raw) % page
    return raw[start : start + size]


def held_by(size: int) -> int:
    """Bytes of memory that a `page_buffer` takes at most: of huge pages, whole ones."""
    return size + PAGE if size < HUGE_PAGE else -(-size // HUGE_PAGE) * HUGE_PAGE


def address_of(array: npt.NDArray[np.uint8]) -> int:
    """Of the first byte."""
    return int(array.__array_interface__["data"][0])


def read_exact(fd: int, buffer: Buffer, offset: int) -> None:
    """Fill `buffer` from byte `offset` of the file. Any thread, at any time.

    Raises EOFError if the file ends before the buffer is full, OSError as the system does.
    """
    view = _bytes_of(buffer)
    done = 0
    while done < len(view):
        count = _read_some(fd, view[done : done + _LARGEST], offset + done)
        if count == 0:
            raise EOFError(f"the file ends at byte {offset + done}, {len(view) - done} bytes too early")
        done += count


def write_all(fd: int, buffer: Buffer, offset: int) -> None:
    """Write all of `buffer` at byte `offset` of the file. Any thread, at any time. Raises OSError."""
    view = _bytes_of(buffer)
    done = 0
    while done < len(view):
        done += _write_some(fd, view[done : done + _LARGEST], offset + done)


def _bytes_of(buffer: Buffer) -> memoryview:
    view = memoryview(cast("bytes", buffer))  # numpy does not tell type checkers that it has this protocol
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _read_some(fd: int, view: memoryview, offset: int) -> int:
    preadv: Callable[[int, list[memoryview], int], int] | None = getattr(os, "preadv", None)
    if preadv is not None:
        return preadv(fd, [view], offset)
    with _SEEK_LOCK:
        os.lseek(fd, offset, os.SEEK_SET)
        data = os.read(fd, len(view))
    view[: len(data)] = data
    return len(data)


def _write_some(fd: int, view: memoryview, offset: int) -> int:
    pwrite: Callable[[int, memoryview, int], int] | None = getattr(os, "pwrite", None)
    if pwrite is not None:
        return pwrite(fd, view, offset)
    with _SEEK_LOCK:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, view)


def preallocate(fd: int, size: int) -> None:
    """Make the file `size` bytes long, and claim the disk blocks where the system can.

    Raises OSError ENOSPC here, before anything is written, rather than in the middle of the writing; where
    blocks cannot be claimed (macOS, some file systems) only the length is set.
    """
    fallocate: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
    if fallocate is not None and size > 0:
        try:
            fallocate(fd, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    os.ftruncate(fd, size)


def start_writeback(fd: int, offset: int, size: int) -> None:
    """Have the system start sending these written bytes to the device, without waiting: `sync` is short then.

    Only a hint, and only on Linux. Copying 2.2 GB with two threads takes 1.1 s with it, 2.3 s without.
    """
    call = _sync_file_range()
    if call is not None and size > 0:  # 0 would mean to the end of the file
        call(fd, offset, size, _WRITE)


def forget(fd: int, offset: int, size: int) -> None:
    """Wait until these written bytes are on the device, then have the system no longer keep them in memory.

    What is written passes through memory anyway; without this it stays there, in the place of what others read, and
    finds no memory that is at hand: on a virtual machine whose host takes back what is free, copying 2.2 GB took 5 s
    of processor time without it, 1.5 s with it. Does nothing where the system cannot. Raises OSError where the device
    did not take the bytes: `sync` would not tell it again.
    """
    call = _sync_file_range()
    if call is None or size <= 0:
        return
    if call(fd, offset, size, _WAIT_BEFORE | _WRITE | _WAIT_AFTER):
        code = ctypes.get_errno()
        if code not in _UNKNOWN:
            raise OSError(code, os.strerror(code))
        return
    os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Linux's sync_file_range, which Python's os lacks; None where the C library has none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (AttributeError, OSError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call.restype = ctypes.c_int
    return cast("Callable[[int, int, int, int], int]", call)


def sync(fd: int) -> None:
    """Wait until what was written to the file is on the device."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # some network file systems do not know it
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder are on the device. Does nothing where the system cannot do that to folders."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    except OSError as error:  # some network file systems
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    finally:
        os.close(fd)


def free_space(path: Path) -> int:
    """Bytes free for us on the disk that holds `path`, or would hold it once created."""
    existing = next(parent for parent in (path, *path.absolute().parents) if exists(parent))
    return shutil.disk_usage(existing).free


def lock(fd: int) -> bool:
    """Have an open file for this process alone, until it is closed; False where another process has it.

    True without a lock where the system or the file system knows none.
    """
    return _locked(fd) is not False


def _locked(fd: int) -> bool | None:
    """Whether the lock was taken; None where there are none."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def atomic_write(path: Path, data: bytes) -> None:
    """Put `data` under the name `path`, whole and on the device, or leave what was there. Raises OSError."""
    _atomic(path, lambda fd: write_all(fd, data, 0))


def atomic_copy(source: Path, path: Path) -> None:
    """Put the content of `source` under the name `path`, as `atomic_write` does, a piece at a time. Raises OSError."""

    def copy(fd: int) -> None:
        at = 0
        with source.open("rb") as file:
            while piece := file.read(_PIECE):
                write_all(fd, piece, at)
                at += len(piece)

    _atomic(path, copy)


def _atomic(path: Path, fill: Callable[[int], None]) -> None:
    _sweep(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = open_write(beside)
    try:
        try:
            lock(fd)
            os.ftruncate(fd, 0)
            fill(fd)
            sync(fd)
            os.replace(beside, path)
        finally:
            os.close(fd)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of writing that file: what no lock holds. Where there are no locks, nothing."""
    torn = re.compile(re.escape(f".{path.name}.") + r"\d+\.tmp")
    with contextlib.suppress(OSError):
        for entry in path.parent.iterdir():
            if torn.fullmatch(entry.name):
                _sweep_one(entry)


def _sweep_one(torn: Path) -> None:
    fd = os.open(torn, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime >= _SETTLED and _locked(fd):
            torn.unlink()
    finally:
        os.close(fd)

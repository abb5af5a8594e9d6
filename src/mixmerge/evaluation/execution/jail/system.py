"""The few calls of Linux that Python has no name for. It knows numbers and errno, and decides nothing.

Facts from the manual pages unshare(2), mount(2), mount_setattr(2), prctl(2), capget(2).
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CAP_DAC_READ_SEARCH = 2

_MOUNT_SETATTR = 442  # one number on every architecture
_MOUNT_ATTR_RDONLY = 1
_MOUNT_ATTR_NOSUID = 2
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100
_CAPABILITIES_V3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: object) -> int:
    """A system call by number; integers are passed as longs. Raises OSError."""
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *given))


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` names. Raises OSError."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def mount(kind: bytes, target: bytes, flags: int, options: bytes | None) -> None:
    """mount(2) with `kind` as source and file system. Raises OSError."""
    _checked(_libc.mount(kind, target, kind, ctypes.c_ulong(flags), options))


def mounts_read_only() -> None:
    """Make every mount of this mount namespace read-only. Raises OSError (ENOSYS before Linux 5.12)."""
    wanted = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    syscall(
        _MOUNT_SETATTR, _AT_FDCWD, ctypes.c_char_p(b"/"), _AT_RECURSIVE, ctypes.byref(wanted), ctypes.sizeof(wanted)
    )


def prctl(option: int, *arguments: object) -> int:
    """prctl(2); integers are passed as longs. Raises OSError."""
    given = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    given += [ctypes.c_ulong(0)] * (4 - len(given))
    return _checked(_libc.prctl(ctypes.c_int(option), *given))


def keep_capabilities(numbers: tuple[int, ...]) -> None:
    """Give up every capability but these (numbers below 32). Raises OSError."""
    mask = sum(1 << number for number in numbers)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)  # effective, permitted, inheritable; low words, then high
    _checked(_libc.capset(header, sets))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

"""Seccomp: system calls that this process and its children may no longer make. It knows numbers only.

A denied call returns EPERM. Sockets of every family are denied (a unix socket of the machine may be a door to root),
pairs of connected sockets are not: event loops need them. So is io_uring, which opens sockets behind the filter's back,
what only makes sense for getting out, executing anything, and memory that no process is charged for: files without a
folder, and pages shared with nobody's file. Facts from seccomp(2), linux/filter.h, and the kernel's tables of numbers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from . import system

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000
_OF_NUMBER, _OF_ARCHITECTURE, _OF_ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; an argument has 8 bytes
_MODE_FILTER = 2
_X32 = 0x40000000
_STEP = 8  # bytes of an instruction

# name -> numbers on (x86_64, aarch64); None where there is no such call
_DENIED = {
    "socket": (41, 198),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "execve": (59, 221),
    "execveat": (322, 281),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
_SIGNALS = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
_OTHERS = {"landlock_create_ruleset": (444, 444)}
_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_SHARED_ANONYMOUS = 0x21  # MAP_SHARED (or MAP_SHARED_VALIDATE) and MAP_ANONYMOUS
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


def known() -> bool:
    """Whether the numbers of this machine's architecture are in the tables."""
    return os.uname().machine in _ARCHITECTURES and struct.calcsize("P") == 8


def restrict(*, signals: bool) -> None:
    """Deny the calls from now on. signals: also those that send a signal to another process. Needs no_new_privs.

    Raises OSError where the kernel has no filters.
    """
    _install([*_DENIED, *(_SIGNALS if signals else ())], _weighed())


def deny(names: Iterable[str]) -> None:
    """Deny calls of the tables from now on. Needs no_new_privs. Raises OSError where the kernel has no filters."""
    _install(names, {})


def _weighed() -> dict[tuple[int, int], bytes]:
    """Calls that depend on what they are given: numbers on (x86_64, aarch64) -> the steps that decide.

    clone makes threads and processes, and namespaces, which are denied. clone3 says the same behind a pointer, where no
    filter looks: it is unknown here, and the C library then uses clone. mmap is denied for shared pages of no file.
    """
    allow, refuse = _step(_RETURN, _ALLOW), _step(_RETURN, _ERRNO | errno.EPERM)
    clone = _step(_LOAD, _OF_ARGUMENTS) + _step(_JUMP_ANY, _NAMESPACES, 1) + allow + refuse
    flags = _step(_LOAD, _OF_ARGUMENTS + 3 * 8) + _step(_AND, _SHARED_ANONYMOUS)
    mmap = flags + _step(_JUMP_EQUAL, _SHARED_ANONYMOUS, 1) + allow + refuse
    return {(56, 220): clone, (435, 435): _step(_RETURN, _ERRNO | errno.ENOSYS), (9, 222): mmap}


def _install(names: Iterable[str], weighed: dict[tuple[int, int], bytes]) -> None:
    architecture, column = _ARCHITECTURES[os.uname().machine]
    numbers = sorted({**_DENIED, **_SIGNALS, **_OTHERS}[name][column] for name in names)
    deciding = {both[column]: steps for both, steps in weighed.items()}
    code = _filter(architecture, numbers, deciding, x32=column == 0)
    steps = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // _STEP, ctypes.addressof(steps))
    system.prctl(system.PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(program))


def _filter(architecture: int, numbers: list[int], deciding: dict[int, bytes], *, x32: bool) -> bytes:
    """Load the architecture, kill where it is another; load the number, deny where it is listed, go to the steps that
    decide where it has some; else allow.
    """
    steps = [_step(_LOAD, _OF_ARCHITECTURE), _step(_JUMP_EQUAL, architecture, 1), _step(_RETURN, _KILL_PROCESS)]
    steps.append(_step(_LOAD, _OF_NUMBER))
    count = len(numbers) + len(deciding)
    tests = [_step(_JUMP_AT_LEAST, _X32, count + 1)] if x32 else []
    tests += [_step(_JUMP_EQUAL, number, count - place) for place, number in enumerate(numbers)]
    behind = count - len(numbers) + 1  # steps from the first of these tests to what is behind the two ends
    for number, own in deciding.items():
        tests.append(_step(_JUMP_EQUAL, number, behind))
        behind += len(own) // _STEP - 1
    return b"".join([*steps, *tests, _step(_RETURN, _ALLOW), _step(_RETURN, _ERRNO | errno.EPERM), *deciding.values()])


def _step(code: int, value: int, jump: int = 0) -> bytes:
    """One instruction. jump: how many to skip where the test is true."""
    return struct.pack("HBBI", code, jump, 0, value)

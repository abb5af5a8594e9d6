"""The walls, and which of them this machine lets us build. It knows the kernel's means; `watch` knows time.

Two steps. `leave` runs once, in the keeper: new namespaces for processes, network, mounts and System V objects, every
mount read-only, and a small file system in memory over the folder. `shut` runs in every program's process before the
program is read: limits, Landlock, another user, no capabilities, seccomp. Each step tells which walls stand; that one
does not stand is no error here.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable

from .order import Order

LINUX = sys.platform == "linux"
if LINUX:
    from . import landlock, seccomp, system

_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")  # mapping /dev/zero is memory nobody is charged for
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
_OWN_COUNT = (5, 14)  # from here on Linux counts the processes of a user in each user namespace by itself


class Left:
    """What `leave` reached. namespaces: all of them. private: a user namespace of its own is among them. read_only:
    every mount but the folder. bounded: the folder is a file system of its own. another: this process may become
    another user. inhabitants: threads of the user outside that the kernel counts against the program's limit.
    """

    __slots__ = ("another", "bounded", "inhabitants", "namespaces", "private", "read_only")

    def __init__(
        self, *, namespaces: bool, private: bool, read_only: bool, bounded: bool, another: bool, inhabitants: int
    ) -> None:
        self.namespaces, self.private, self.read_only = namespaces, private, read_only
        self.bounded, self.another, self.inhabitants = bounded, another, inhabitants


def leave(order: Order) -> Left:
    """Build the walls that processes inherit. The next child is the first of the new PID namespace."""
    if not LINUX:
        return Left(namespaces=False, private=False, read_only=False, bounded=False, another=False, inhabitants=0)
    die_with_parent()
    another = _can_be_another(order.identity)
    private = not another
    namespaces = _tried(lambda: _unshare(private))
    read_only = bounded = False
    if namespaces:
        _tried(lambda: system.mount(b"none", b"/", system.MS_REC | system.MS_PRIVATE, None))
        _tried(lambda: system.mount(b"/dev/null", b"/dev/zero", system.MS_BIND, None))
        read_only = _tried(system.mounts_read_only)
        options = b"size=%d,nr_inodes=4096,mode=0777" % order.disk
        folder = os.fsencode(order.folder)
        bounded = _tried(lambda: system.mount(b"tmpfs", folder, system.MS_NOSUID | system.MS_NODEV, options))
    if another and not bounded:
        os.chown(order.folder, order.identity, -1)
    apart = another or (namespaces and _release() >= _OWN_COUNT)
    return Left(
        namespaces=namespaces,
        private=private and namespaces,
        read_only=read_only and bounded,
        bounded=bounded,
        another=another,
        inhabitants=0 if apart else _threads_of(os.getuid()),
    )


def shut(order: Order, left: Left) -> dict[str, list[str]]:
    """Build the walls of this one process, for good, and tell all that stand: name of a wall to what it is made of."""
    made: dict[str, list[str]] = {"files": [], "network": [], "processes": [], "others": [], "reading": []}
    _limits(order)
    os.chdir(order.folder)
    if left.namespaces:
        made["network"].append("network namespace")
        made["others"].append("PID namespace")
    if left.read_only:
        made["files"].append("read-only mounts")
    if LINUX:
        _shut_linux(order, left, made)
    return made


def die_with_parent(by: int = 9) -> None:
    """Ask for a signal, that kills, when the process that started this one ends."""
    if LINUX:
        system.prctl(system.PR_SET_PDEATHSIG, by)


def adopt_orphans() -> None:
    """Become the parent of processes below this one whose own parent ends."""
    if LINUX:
        system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)


def _shut_linux(order: Order, left: Left, made: dict[str, list[str]]) -> None:
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    version = landlock.version()
    if version and _tried(lambda: landlock.restrict(_readable(order), _DEVICES, order.folder)):
        made["files"] += ["Landlock"] if version >= landlock.TRUNCATES else []
        made["others"] += ["Landlock"] if version >= landlock.SIGNALS else []
        made["reading"].append("Landlock")
    another = left.another and _tried(lambda: _become(order.identity))
    blind = another and (made["reading"] or not os.access(os.__file__, os.R_OK))  # Python may lie in root's home
    keep = (system.CAP_DAC_READ_SEARCH,) if blind else ()
    harmless = _tried(lambda: system.keep_capabilities(keep))
    if not harmless:  # with them, mounts can be made writable again
        for wall in made.values():
            wall.clear()
    made["others"] += ["user of its own"] if another else []
    counted = another or os.getuid() != 0  # the kernel counts for every user but root
    limited = _limit(resource.RLIMIT_NPROC, order.processes + left.inhabitants)
    kind = "user of its own" if another else "user namespace" if left.private else "user's processes"
    made["processes"] += [f"RLIMIT_NPROC ({kind})"] if counted and limited and harmless else []
    signals = not made["others"]
    if seccomp.known() and _tried(lambda: seccomp.restrict(signals=signals)):
        made["network"].append("seccomp")
        made["others"] += ["seccomp"] if signals else []


def _limits(order: Order) -> None:
    _limit(resource.RLIMIT_CPU, int(order.seconds) + 1, more=1)
    _limit(resource.RLIMIT_AS, order.memory)
    _limit(resource.RLIMIT_FSIZE, order.disk)
    _limit(resource.RLIMIT_NOFILE, order.files)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(kind: int, value: int, more: int = 0) -> bool:
    """Set a limit, or leave a stricter one; False where the system refuses (macOS and address space).

    more: from the value, where a signal warns, to where nothing warns any more.
    """
    ceiling = resource.getrlimit(kind)[1]
    low, high = (least if ceiling == resource.RLIM_INFINITY else min(least, ceiling) for least in (value, value + more))
    try:
        resource.setrlimit(kind, (low, high))
    except (ValueError, OSError):
        return False
    return True


def _unshare(private: bool) -> None:
    flags = system.CLONE_NEWNS | system.CLONE_NEWPID | system.CLONE_NEWNET | system.CLONE_NEWIPC
    user, group = os.getuid(), os.getgid()
    system.unshare(flags | (system.CLONE_NEWUSER if private else 0))
    if private:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def _can_be_another(identity: int) -> bool:
    """Whether this process is root and may become user `identity`."""
    if os.geteuid() != 0 or not LINUX:
        return False
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        lines = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    wanted = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID
    with open("/proc/self/uid_map", encoding="ascii") as file:
        spans = [tuple(map(int, line.split())) for line in file]
    mapped = any(start <= identity < start + count for start, _, count in spans)
    return mapped and int(lines["CapEff"], 16) & wanted == wanted


def _become(identity: int) -> None:
    system.prctl(system.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(identity, identity, identity)
    os.setresuid(identity, identity, identity)


def _readable(order: Order) -> list[str]:
    """The interpreter, its library, installed packages, and the folders of the shared objects it has loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        loaded = sorted({line.rstrip("\n").split(None, 5)[5] for line in file if ".so" in line and "/" in line})
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__), *order.libraries]
    places += [os.path.dirname(path) for path in loaded]
    return [*_DEVICES, *_SYSTEM, *(place for place in dict.fromkeys(places) if place not in ("", "/"))]


def _threads_of(user: int) -> int:
    total = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == user:
                total += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue  # it ended meanwhile
    return total


def _release() -> tuple[int, ...]:
    parts = os.uname().release.split(".")[:2]
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts)


def _tried(action: Callable[[], object]) -> bool:
    """Whether it could be done."""
    try:
        action()
    except OSError:
        return False
    return True

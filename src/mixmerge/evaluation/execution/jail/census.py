"""What the processes below this one use together, as /proc and their folder tell. It judges nothing and ends nobody."""

from __future__ import annotations

import os
import sys

from . import walls

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

_LISTED = "/proc/thread-self/children"

ENTRIES = 4096  # as many names as the folder has where it is a file system of its own


class Census:
    """processes: how many. memory: bytes of pages. seconds: of processors, with those of children that ended."""

    __slots__ = ("memory", "processes", "seconds")

    def __init__(self, processes: int, memory: int, seconds: float) -> None:
        self.processes, self.memory, self.seconds = processes, memory, seconds


def take() -> Census:
    """All descendants, now; nothing of what ended meanwhile, and nothing at all where there is no such /proc."""
    count = pages = ticks = 0
    waiting = [os.readlink("/proc/self")] if walls.LINUX else []  # its number in the namespace that /proc tells of
    while waiting:
        found = children(waiting.pop())
        waiting += found
        for number in found:
            try:
                with open(f"/proc/{number}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()  # the name before may hold anything
            except OSError:
                continue
            count += 1
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
    return Census(count, pages * _PAGE, ticks / _TICKS)


def stored(folder: str) -> int:
    """Bytes of the files that are seen in a folder; more than any limit for `ENTRIES` names or more."""
    total, waiting, left = 0, [folder], ENTRIES
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if not left:
                        return sys.maxsize
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # it is gone, or not for us
    return total


def children(number: str) -> list[str]:
    """The children of a process; none where it ended."""
    try:
        with open(f"/proc/{number}/task/{number}/children", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return scanned(number) if walls.LINUX and not os.path.exists(_LISTED) else []


def scanned(number: str) -> list[str]:
    """The same from what all processes tell of their parents, for kernels built without lists of children."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                if name.isdecimal() and file.read().rpartition(b")")[2].split()[1] == number.encode():
                    found.append(name)
        except OSError:
            continue  # it ended meanwhile
    return found

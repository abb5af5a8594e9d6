"""Which walls stand on this machine: said by the kernel, then tried, once a process. It runs no program of a model."""

from __future__ import annotations

import functools
import json
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from mixmerge import temporary
from mixmerge.errors import Problem
from mixmerge.evaluation.execution.interpreter import FOLDERS, ask
from mixmerge.evaluation.execution.program import Limits
from mixmerge.evaluation.problems import TaskError

NEEDED: Final = MappingProxyType(
    {
        "files": "writing and deleting files outside a temporary folder",
        "network": "reaching the network",
        "processes": "starting processes without end",
        "others": "signals to other processes",
    }
)
READING: Final = "reading"

_TRIALS: Final = """
import os, signal, socket

def fails(action):
    try:
        action()
    except OSError:
        return True
    return False

def delete(path):
    os.unlink(path)

def write(path):
    open(path, "a").close()

def connect(port):
    with socket.socket() as made:
        made.settimeout(1)
        made.connect(("127.0.0.1", port))

def fork(limit):
    children = []
    try:
        for _ in range(limit + 8):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

def trial(path, port, limit, process):
    return {
        "files": fails(lambda: write(path)) and fails(lambda: delete(path)),
        "network": fails(lambda: connect(port)),
        "processes": fails(lambda: fork(limit)),
        "others": fails(lambda: os.kill(process, 0)),
        "reading": fails(lambda: open(path).close()),
    }
"""


@final
@dataclass(frozen=True, slots=True)
class Confinement:
    """walls: for files, network, processes, others, reading: what holds them up, empty where nothing does.

    complaint: why the trial itself failed, or nothing.
    """

    walls: Mapping[str, tuple[str, ...]]
    complaint: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Walls without which no program of a model is run, unless the person insists."""
        return tuple(name for name in NEEDED if not self.walls.get(name))

    def __str__(self) -> str:
        told = [f"{name} ({', '.join(means) if means else 'NO WALL'})" for name, means in sorted(self.walls.items())]
        return "; ".join(told)

    def as_json(self) -> dict[str, list[str]]:
        """For a record of results."""
        return {name: list(means) for name, means in sorted(self.walls.items())}


@functools.cache
def walls() -> Confinement:
    """The walls that stand here: each was named by the kernel, and held when a program of our own ran against it.

    Takes a fifth of a second the first time. Tries to write, delete and read a file of this process, to reach a port it
    listens on, to start more processes than allowed, and to signal it. Empty folders of processes that were killed are
    removed first.
    """
    temporary.sweep(FOLDERS)
    limits = Limits()
    with tempfile.TemporaryDirectory(prefix="mixmerge-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        os.chmod(folder, 0o777)
        path = Path(folder) / "outside"
        path.write_text("whole", "utf-8")
        path.chmod(0o666)
        given = (str(path), server.getsockname()[1], limits.processes, os.getpid())
        act = ("call", "trial", "\n".join(map(json.dumps, given)))
        (answer,) = ask(_TRIALS, [act], limits, limits.output, 0)
        whole = path.exists() and path.read_text("utf-8") == "whole"
    held = dict(json.loads(answer.output)["dict"]) if answer.reason == "ended" else {}
    held["files"] = held.get("files", False) and whole
    standing = {name: _named(answer.standing, name, held) for name in (*NEEDED, READING)}
    return Confinement(MappingProxyType(standing), answer.detail)


def check(weak: bool) -> Confinement:
    """The walls of this machine. Raises TaskError where one that is needed is missing, unless `weak`."""
    found = walls()
    if found.missing and not weak:
        rule = "code that a model wrote is run only behind walls against " + ", ".join(NEEDED.values())
        value = "no wall against " + ", ".join(NEEDED[name] for name in found.missing)
        value += f" ({found.complaint})" if found.complaint else ""
        cure = (
            "use Linux 5.13 or later with Landlock, or a machine where unprivileged user namespaces are allowed; in a"
            " virtual machine of its own that may be lost, run_programs(..., weak=True) runs it without them"
        )
        raise TaskError(Problem(rule, value, "this machine", cure))
    return found


def _named(standing: str, name: str, held: Mapping[str, bool]) -> tuple[str, ...]:
    lines = dict(line.split(": ", 1) for line in standing.splitlines() if ": " in line)
    means = lines.get(name, "")
    return tuple(means.split(", ")) if means and held.get(name) else ()

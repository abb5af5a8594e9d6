"""Starts the interpreter that runs one program, hands it its order, reads its answer. It knows the jail's door only.

`-s -S -P`: no site packages of the user, no `site` (whose .pth files may run anything, and which costs as much as the
rest of the start), no folder of the caller on the import path. Not `-I`: it would also ignore PYTHONHASHSEED, without
which the order of a set of texts changes from run to run. The environment is made here, so nothing is left to ignore.
`-B`: nothing is written beside the sources.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from mixmerge import temporary
from mixmerge.evaluation.execution.jail import frames, keeper
from mixmerge.evaluation.execution.jail.order import Order, write
from mixmerge.evaluation.execution.jail.watch import PATIENCE
from mixmerge.evaluation.execution.program import Limits

FOLDERS: Final = "mixmerge-run-"
"""How the names of folders begin in which programs run; the contents of each are in memory, or removed with it."""

_FLAGS: Final = ("-s", "-S", "-P", "-B")
# naming the function has a second use: Python has compiled its modules before another interpreter needs them
_START: Final = f"import sys; sys.path.append(sys.argv[1]); from jail import keeper; keeper.{keeper.main.__name__}()"
_PLACE: Final = str(Path(__file__).parent)
_GRACE: Final = 20.0  # seconds for starting, and one more for each act
_LOOK: Final = 0.2  # seconds between two looks whether the asker still wants an answer
_LAST: Final = 2.0  # seconds a keeper has to end what it started
_FIRST_USER: Final = 60600  # numbers that systemd's table of users leaves unused: 60578 to 61183
_USERS: Final = 500
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """How an act ended: `jail.ending.Ended`, as it came through the pipe."""

    reason: str
    detail: str
    standing: str
    output: bytes


Act = tuple[str, str, str]


def ask(
    source: str, acts: Sequence[Act], limits: Limits, output: int, slot: int, stop: threading.Event | None = None
) -> list[Answer]:
    """One answer an act, up to the first that went wrong. slot: number of the worker, for a user number of its own.

    stop: once it is set, all that runs is ended.
    """
    with temporary.held(FOLDERS) as folder:
        try:
            order = Order(
                seconds=limits.seconds,
                memory=limits.memory,
                processes=limits.processes,
                disk=limits.disk,
                files=limits.files,
                output=min(limits.output, output),
                identity=_FIRST_USER + (os.getpid() * 16 + slot) % _USERS,
                folder=folder,
                libraries=_libraries(),
                source=source,
                acts=tuple(acts),
            )
            patience = _GRACE + len(acts) * (PATIENCE * limits.seconds + 1)
            return _answers(_exchange(write(order), folder, patience, stop or threading.Event()))
        finally:
            _remove(folder)


def _exchange(message: bytes, folder: str, patience: float, stop: threading.Event) -> tuple[bytes, str]:
    """(what the keeper wrote, what it complained of).

    The message is a file without a name: through a pipe, `communicate` would not go on with it after a time-out.
    """
    command = [sys.executable, *_FLAGS, "-c", _START, _PLACE, folder]  # the folder: for readers of process lists
    with tempfile.TemporaryFile() as order:
        order.write(message)
        order.seek(0)
        with subprocess.Popen(
            command,
            stdin=order,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        ) as keeper:
            try:
                told = _told(keeper, time.monotonic() + patience, stop)
            finally:
                _end(keeper)
    return (told[0], told[1].decode("utf-8", "replace")) if told else (b"", f"no answer in {patience:g} s")


def _told(keeper: subprocess.Popen[bytes], until: float, stop: threading.Event) -> tuple[bytes, bytes] | None:
    """What it wrote and complained of; None where that takes too long, or is wanted no more."""
    while not stop.is_set() and time.monotonic() < until:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return keeper.communicate(timeout=_LOOK)
    return None


def _end(keeper: subprocess.Popen[bytes]) -> None:
    """A keeper with namespaces dies of the first signal, and all in them with it; one without ends what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if keeper.poll() is None:
            os.killpg(keeper.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                keeper.wait(_LAST)


def _answers(told: tuple[bytes, str]) -> list[Answer]:
    data, complaint = told
    parts = frames.unpack(data)
    answers = []
    for at in range(0, len(parts) - 3, 4):
        reason, detail, standing = (part.decode("utf-8", "replace") for part in parts[at : at + 3])
        answers.append(Answer(reason, detail, standing, parts[at + 3]))
    lost = complaint.rstrip().rpartition("\n")[2] or "the interpreter that runs programs died"
    return answers or [Answer("refused", lost, "", b"")]


def _environment(folder: str) -> dict[str, str]:
    """All that a program sees: nothing of the caller's, but where shared libraries lie."""
    made = dict.fromkeys(_ONE_THREAD, "1")
    made |= {"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "LANG": "C.UTF-8"}
    made |= {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    libraries = os.environ.get("LD_LIBRARY_PATH")
    return made | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


def _libraries() -> tuple[str, ...]:
    return tuple(dict.fromkeys(os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")))


def _remove(folder: str) -> None:
    """The folder and all in it. How deep folders lie in it, and whether they may be read, the program chose: each is
    moved to the top before it is looked into. What is gone already is no matter.
    """
    waiting = [folder]
    with contextlib.suppress(OSError):
        while waiting:
            place = waiting.pop()
            with os.scandir(place) as entries:
                found = list(entries)
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
                    waiting.append(os.path.join(folder, uuid.uuid4().hex))
                    os.rename(entry.path, waiting[-1])
                else:
                    os.unlink(entry.path)
            if place != folder:
                os.rmdir(place)
        os.rmdir(folder)

"""The supervisor: starts one process an act, watches its time, memory, output and children, and kills what is left.

Trusted, and outside most walls. It does not know what a right answer is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable

from . import acts, census, frames, walls
from .ending import LOADED, Ended, Traces, end_of
from .order import Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PLACE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PATIENCE = 4
"""An act may take so many times its seconds by the wall clock: a busy machine gives it less of a processor."""

_LOOK = 0.05  # seconds between two looks at what is used
_NOTES = 1 << 16  # bytes of the standard error that are kept
_REPORT = 1 << 24  # bytes of a report: what a function returned


class Bell:
    """A descriptor that becomes readable whenever a child ends. child: the process of the last act, 0 before."""

    __slots__ = ("_writing", "child", "reading")

    def __init__(self) -> None:
        self.child = 0
        self.reading, self._writing = os.pipe()
        for number in (self.reading, self._writing):
            os.set_blocking(number, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # Python rings for signals with a handler only
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def silence(self) -> None:
        """In a child: as if there had been none."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


class Stream:
    """What comes out of one pipe, up to `limit` bytes; what is more is read, counted and dropped."""

    __slots__ = ("data", "limit", "reading", "total", "writing")

    def __init__(self, limit: int) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.data = bytearray()
        self.limit = limit
        self.total = 0

    def take(self) -> bool:
        """Read once; False where there is nothing more, now or for good."""
        try:
            piece = os.read(self.reading, 1 << 16)
        except BlockingIOError:
            return False
        self.total += len(piece)
        self.data += piece[: max(self.limit - len(self.data), 0)]
        return bool(piece)


class Run:
    """One act in its process."""

    __slots__ = (
        "_act", "_bell", "_child", "_deadline", "_folder", "_gate", "_order", "notes", "output", "report", "word",
    )  # fmt: skip

    def __init__(self, act: tuple[str, str, str], order: Order, left: walls.Left, bell: Bell) -> None:
        self._act, self._order, self._bell = act, order, bell
        self._folder = "" if left.bounded else order.folder  # else nobody but this process looks how full it is
        self.output, self.notes, self.report = Stream(order.output), Stream(_NOTES), Stream(_REPORT)
        gate, self._gate = os.pipe()
        entered = _file_with(act[1] if act[0] == "script" else "", order.folder)
        theirs = (entered, self.output.writing, self.notes.writing, self.report.writing, gate)
        self._deadline = time.monotonic() + PATIENCE * order.seconds
        self._child = os.fork()
        if self._child == 0:
            bell.silence()
            _become_program(act, order, left, theirs)
        bell.child = self._child
        self.word = os.urandom(16).hex().encode()  # made after the fork: the program's memory does not hold it
        for number in theirs:
            os.close(number)

    def end(self, left: walls.Left) -> Ended:
        """Wait for it, kill what it started, and tell how it ended."""
        killed, status = self._wait()
        _kill_what_is_left(self._child, left)
        streams = (self.output, self.notes, self.report)
        for stream in streams:
            while stream.take():
                pass
            os.close(stream.reading)
        os.close(self._gate)
        output, notes, report = (bytes(stream.data) for stream in streams)
        kind = self._act[0]
        killed = killed or ("output" if kind == "script" and self.output.total > self.output.limit else "")
        traces = Traces(
            kind=kind, killed=killed, status=status, word=self.word, report=report, output=output, notes=notes
        )
        return end_of(traces, self._order)

    def _wait(self) -> tuple[str, int]:
        """(why it was killed or "", its wait status)."""
        poll = select.poll()
        streams = {stream.reading: stream for stream in (self.output, self.notes, self.report)}
        for number in (*streams, self._bell.reading):
            poll.register(number, select.POLLIN)
        opened = False
        look = time.monotonic() + _LOOK
        while True:
            ended, status = os.waitpid(self._child, os.WNOHANG)
            if ended:
                return "", status
            now = time.monotonic()
            why = self._too_much(look <= now, now)
            if why:
                os.kill(self._child, signal.SIGKILL)
                return why, os.waitpid(self._child, 0)[1]
            look = now + _LOOK if look <= now else look
            for number, _ in poll.poll(max(min(self._deadline, look) - now, 0.001) * 1000):
                if number == self._bell.reading:
                    os.read(number, 4096)
                elif not streams[number].take():
                    poll.unregister(number)
            if not opened and self.report.data.endswith(LOADED):
                opened = True
                with contextlib.suppress(BrokenPipeError):  # it has left meanwhile
                    os.write(self._gate, self.word)

    def _too_much(self, look: bool, now: float) -> str:
        if now >= self._deadline:
            return "timeout"
        if self._act[0] == "script" and self.output.total > self.output.limit:
            return "output"
        if not look:
            return ""
        use = census.take()
        if use.seconds >= self._order.seconds:
            return "timeout"
        if use.memory > self._order.memory:
            return "memory"
        if self._folder and census.stored(self._folder) > self._order.disk:
            return "disk"
        return "processes" if use.processes > self._order.processes else ""


def _become_program(act: tuple[str, str, str], order: Order, left: walls.Left, theirs: tuple[int, ...]) -> NoReturn:
    """The child: its pipes at 0 to 4, nothing else open, every wall, then the act."""
    try:
        os.setsid()
        for place, number in enumerate([os.dup2(number, 100 + place) for place, number in enumerate(theirs)]):
            os.dup2(number, place, inheritable=place < 3)
        os.closerange(5, 256)
        standing = walls.shut(order, left)
        lines = "\n".join(f"{name}: {', '.join(means)}" for name, means in standing.items())
        frames.write_all(3, frames.pack([lines.encode()]))
        sys.path[:] = [path for path in sys.path if path != PLACE] + list(order.libraries)
        for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
            del sys.modules[name]
    except BaseException as error:
        frames.write_all(2, f"walls: {type(error).__name__}: {error}".encode())
        os._exit(125)
    acts.run(act, order.source, 3, 4)


def leave(child: int, left: walls.Left) -> NoReturn:
    """End this process and all it started: nobody waits for its answers any more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _kill_what_is_left(child, left)
    os._exit(0)


def _kill_what_is_left(child: int, left: walls.Left) -> None:
    """Every process of the act, also those that left its session: orphans come home to this process."""
    whole = left.namespaces and os.getpid() == 1
    while True:
        if whole:
            _kill(os.kill, -1)
        else:
            if child:
                _kill(os.killpg, child)
            for own in census.children(str(os.getpid())):
                _kill(os.kill, int(own))
        try:
            if not os.waitpid(-1, 0 if whole else os.WNOHANG)[0]:
                time.sleep(0.002)
        except ChildProcessError:
            return


def _kill(how: Callable[[int, int], None], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(number, signal.SIGKILL)


def _file_with(text: str, folder: str) -> int:
    """A file without a name, open at its start."""
    data = text.encode("utf-8", "surrogatepass")
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    if sys.platform == "linux":
        number = os.memfd_create("input")
    else:
        path = os.path.join(folder, "input")
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(path)
    frames.write_all(number, data)
    os.lseek(number, 0, os.SEEK_SET)
    return number

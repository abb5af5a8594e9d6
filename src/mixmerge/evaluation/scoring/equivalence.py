"""Whether two LaTeX answers mean the same number, expression, set or text.

Equal texts are equal, after spelling is made alike; the rest is asked of math-verify in a process of its own, which
ends when it takes too long: then they are not equal. It knows texts and that process.
"""

from __future__ import annotations

import atexit
import functools
import json
import re
import selectors
import subprocess
import sys
import time
from importlib import util
from pathlib import Path
from typing import Final, final

from mixmerge.errors import Problem, extra_missing
from mixmerge.evaluation.problems import TaskError

MAX_LATEX: Final = 1_000  # characters; longer answers and references are equal only as texts
PROGRAM: Final = Path(__file__).with_name("equivalence_worker.py")
READY: Final = b"ready\n"
LONGEST: Final = 64  # bytes that are read at once; a line is shorter
SECONDS: Final = 300.0  # by the clock, should the process neither answer nor be ended by its own limits

_DROPPED: Final = re.compile(r"\\(?:left|right|displaystyle|limits|[,!;: ])|\\\$|\$|~|\s")
_WRAPPED: Final = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_SAME: Final = (("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("{,}", ","), ("^{\\circ}", ""), ("^\\circ", ""))


def same(reference: str, answer: str) -> bool:
    """Whether an answer equals the reference. Raises MissingExtraError without math-verify."""
    wanted, given = spelled(reference), spelled(answer)
    if wanted == given and wanted:
        return True
    if not wanted or not given or max(len(answer), len(reference)) > MAX_LATEX:
        return False
    return _worker().ask(reference, answer)


def spelled(latex: str) -> str:
    """The text without what changes its looks only: spaces, sizes of brackets, fonts, dollar signs, degrees.

    >>> spelled(r"\\left( \\dfrac{1}{2}, \\text{ even} \\right).")
    '(\\\\frac{1}{2},even)'
    """
    text = _DROPPED.sub("", _WRAPPED.sub(r"\1", latex))
    for written, meant in _SAME:
        text = text.replace(written, meant)
    return text.rstrip(".")


def check() -> None:
    """Raises MissingExtraError without math-verify."""
    if util.find_spec("math_verify") is None:
        raise extra_missing("eval", "math_verify", "comparing mathematical answers")


@functools.cache
def _worker() -> Worker:
    """The process, started when it is first needed and ended with this one."""
    check()
    worker = Worker()
    atexit.register(worker.close)
    return worker


@final
class Worker:
    """Asks a process, one comparison at a time; a process that ended or does not answer is replaced.

    seconds: by the clock, for starting and for each answer.
    """

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, reference: str, answer: str) -> bool:
        """Whether math-verify finds them equal; False where it fails or reaches its limits.

        Raises TaskError where the process cannot be started: nothing could be compared then.
        """
        if self._process is None:
            self._start()
        found = self._answer(json.dumps([reference, answer]).encode() + b"\n")
        if found is None:
            self.close()
        return found == b"true\n"

    def _start(self) -> None:
        self._process = _started()
        if _line(self._process, self._seconds) == READY:
            return
        self.close()
        found = f"it ended, or was not ready after {self._seconds:g} s"
        rule, cure = "the process that compares mathematical answers starts", "see what `import math_verify` says"
        raise TaskError(Problem(rule, found, PROGRAM.name, f"{cure}; or leave m3_math out"))

    def _answer(self, question: bytes) -> bytes | None:
        """The process's line; None where there is none."""
        assert self._process is not None, "started before"
        assert self._process.stdin is not None, "asked through a pipe"
        try:
            self._process.stdin.write(question)
        except OSError:
            return None
        return _line(self._process, self._seconds)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _started() -> subprocess.Popen[bytes]:
    words = [sys.executable, "-P", "-W", "ignore", str(PROGRAM)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line, or None where none comes in time or the process ended."""
    assert process.stdout is not None, "answers through a pipe"
    line, end = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, end - time.monotonic())):
                return None
            part = process.stdout.read(LONGEST)
            if not part:
                return None
            line += part
    return line

"""How an act ended, from what is known of it: its report, its output, its status. It watches nothing.

Trusted code that reads untrusted bytes: a report is believed only where it repeats the supervisor's word.
"""

from __future__ import annotations

import os
import signal

from . import frames
from .order import Order

LOADED = b"loaded\n"


class Ended:
    """reason: as of an outcome, or "ended" where only the asker can judge. detail: one line. output: what is judged.

    standing: the walls, as lines `name: means, means`.
    """

    __slots__ = ("detail", "output", "reason", "standing")

    def __init__(self, reason: str, detail: str, output: bytes, standing: str) -> None:
        self.reason, self.detail, self.output, self.standing = reason, detail, output, standing


class Traces:
    """What an act left. killed: why the supervisor ended it, or "". status: its wait status. word: the supervisor's."""

    __slots__ = ("killed", "kind", "notes", "output", "report", "status", "word")

    def __init__(
        self, *, kind: str, killed: str, status: int, word: bytes, report: bytes, output: bytes, notes: bytes
    ) -> None:
        self.kind, self.killed, self.status, self.word = kind, killed, status, word
        self.report, self.output, self.notes = report, output, notes


def end_of(traces: Traces, order: Order) -> Ended:
    """The end that these traces tell of."""
    standing, said = after_walls(traces.report)
    if not standing:
        return Ended("refused", _last_line(traces.notes) or "it ended before its walls stood", b"", "")
    reason, detail, output = _ended(traces, said, order)
    return Ended(reason, detail, output, standing)


def after_walls(report: bytes) -> tuple[str, bytes]:
    """(the walls as lines, what was said after them); empty where the walls are not told yet."""
    found = frames.first(report)
    return (found[0].decode(), report[found[1] :]) if found else ("", b"")


def _ended(traces: Traces, said: bytes, order: Order) -> tuple[str, str, bytes]:
    if traces.killed:
        return (*_killed(traces.killed, order), b"")
    if traces.kind == "checks" and said == LOADED + b"passed " + traces.word:
        return "passed", "", b""
    if traces.kind == "call" and said.startswith(b"returned "):
        return "ended", "", said.partition(b" ")[2]
    if os.WIFSIGNALED(traces.status):
        number = os.WTERMSIG(traces.status)
        return "timeout" if number == signal.SIGXCPU else "crashed", f"ended by {_signal(number)}", b""
    code = os.WEXITSTATUS(traces.status)
    if traces.kind == "script" and code == 0:
        return "ended", "", traces.output
    told = _last_line(traces.notes) if traces.kind == "script" else _text(said.removeprefix(LOADED).partition(b"\n")[0])
    reason, _, detail = told.partition(" ")
    if reason in ("failed", "memory"):
        return reason, detail, b""
    return "failed", f"left with status {code} before its end", b""


def _killed(why: str, order: Order) -> tuple[str, str]:
    return {
        "timeout": ("timeout", f"not done after {order.seconds:g} s of a processor"),
        "memory": ("memory", f"its processes together held more than {order.memory} bytes"),
        "disk": ("failed", f"wrote more than {order.disk} bytes"),
        "processes": ("crashed", f"more than {order.processes} processes"),
        "output": ("failed", f"printed more than {order.output} bytes"),
    }[why]


def _signal(number: int) -> str:
    """Its name; real-time signals between the first and the last have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(notes: bytes) -> str:
    return _text(notes).rstrip().rpartition("\n")[2]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

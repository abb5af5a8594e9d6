"""The journal of a merge in progress: append-only lines beside the unfinished files, from which it can go on.

A line that was cut short is not there. What the journal says is written is checked against the bytes before it is
believed, so it needs no fsync of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mixmerge import fileio
from mixmerge.engine.events import Event, Restarted, TensorDone
from mixmerge.engine.statistics import Statistics, from_json, to_json
from mixmerge.errors import OutputError, Problem

JOURNAL: Final = "merge.journal"
FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Found:
    """What a journal holds. identity: of the plan and inputs it belongs to. done: tensor -> its last event."""

    identity: Mapping[str, Any]
    statistics: Statistics | None = None
    done: Mapping[str, TensorDone] = field(default_factory=dict)


class Journal:
    """Appends; one line a fact."""

    def __init__(self, folder: Path) -> None:
        """Opens the journal of a folder, or makes one, and keeps other processes from the merge until it is closed.

        Raises OutputError where another process is at it.
        """
        self.path = folder / JOURNAL
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if not (fileio.lock(self._fd) and self._is_there()):
            os.close(self._fd)
            rule, cure = "one process at a time writes a merge", "wait until it is done, or choose another folder"
            raise OutputError(Problem(rule, "another is at it", str(folder), cure))

    def _is_there(self) -> bool:
        """Whether the file still has its name: a merge that is done takes it away."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except FileNotFoundError:
            return False

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Forget what is there. identity: of the plan and inputs the merge belongs to."""
        os.ftruncate(self._fd, 0)
        self._append({"format": FORMAT, "identity": identity})

    def go_on(self) -> None:
        """Write behind what is there."""
        os.write(self._fd, b"\n")  # ends a line that was cut short

    def __call__(self, event: Event) -> None:
        """Listen to the engine."""
        if isinstance(event, TensorDone):
            self._append(
                {"done": event.name, "output": event.output, "inputs": list(event.inputs), "elected": event.elected}
            )
        elif isinstance(event, Restarted):
            self._append({"restarted": event.reason, "majority": event.majority})

    def measured(self, statistics: Statistics) -> None:
        """Note what measuring found."""
        self._append({"statistics": to_json(statistics)})

    def close(self) -> None:
        """Close the file; what was noted is in it."""
        os.close(self._fd)

    def _append(self, content: Mapping[str, Any]) -> None:
        os.write(self._fd, (json.dumps(content) + "\n").encode())


def read_journal(folder: Path) -> Found | None:
    """The journal in a folder, None where there is none that can be read."""
    try:
        lines = (folder / JOURNAL).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    entries = [entry for entry in map(_parsed, lines) if entry is not None]
    try:
        return _found(entries)
    except (KeyError, TypeError, ValueError, AttributeError):  # lines that are JSON, but not ours
        return None


def _found(entries: Sequence[Mapping[str, Any]]) -> Found | None:
    if not entries or entries[0].get("format") != FORMAT:
        return None
    statistics: Statistics | None = None
    done: dict[str, TensorDone] = {}
    for entry in entries[1:]:
        if "statistics" in entry:
            statistics = from_json(entry["statistics"])
        elif "restarted" in entry:
            done = {}
            if statistics is not None and entry["majority"] is not None:
                statistics = replace(statistics, majority=int(entry["majority"]), proven=True)
        elif "done" in entry:
            name = entry["done"]
            done[name] = TensorDone(name, entry["output"], tuple(entry["inputs"]), int(entry["elected"]))
    return Found(entries[0]["identity"], statistics, done)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None

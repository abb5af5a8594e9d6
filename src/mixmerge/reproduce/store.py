"""The folder of a run: what it is a run of, and what is known of each cell so far. Files only.

`reproduce.json` says what was asked; another run is refused. `cells/NAME.json` holds the scores of a cell as they come
in, so that the same command goes on where it stopped. Each file is there whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

from mixmerge import fileio
from mixmerge.errors import OutputError, Problem
from mixmerge.reproduce.grid import Arm

FORMAT: Final = "mixmerge reproduction 1"
IDENTITY: Final = "reproduce.json"

_TORN: Final = re.compile(r"\.reproduce\.json\.\d+\.tmp")
"""What a run leaves that was killed at once."""

SCORE: Final = frozenset({"score", "low", "high", "n", "items", "data", "record"})
"""What is kept of every measure, whatever else is."""

Record = dict[str, Any]


@final
class Store:
    """The folder of a run, which need not be there yet."""

    __slots__ = ("folder",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def problems(self, identity: Mapping[str, Any]) -> list[Problem]:
        """What is in the way of this run. identity: what it is a run of, plain values."""
        place = str(self.folder)
        if why := fileio.hopeless(self.folder):
            return [Problem("the output folder can be made", why, place, "choose another --out")]
        if self.folder.exists() and not self.folder.is_dir():
            return [Problem("a run is kept in a folder", "a file of that name", place, "choose another --out")]
        if not self.folder.is_dir() or all(_TORN.fullmatch(path.name) for path in self.folder.iterdir()):
            return []
        known = self._read(self.folder / IDENTITY)
        if known is None or known.get("format") != FORMAT:
            cure = "choose another --out, or empty it"
            return [Problem("the output folder is new, or that of an earlier run", "other files", place, cure)]
        asked = {"format": FORMAT, **identity}
        return [
            Problem(
                f"a run goes on with the {key} it began with", f"{asked[key]}, not {known.get(key)}", place,
                "say what was said before, or choose another --out",
            )
            for key in asked if known.get(key) != asked[key]
        ]  # fmt: skip

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Make the folder, and say in it what it is. Raises OutputError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            cure = "choose another --out"
            raise OutputError(Problem("the output folder can be made", str(error), str(self.folder), cure)) from error
        if not (self.folder / IDENTITY).exists():
            self.write(self.folder / IDENTITY, {"format": FORMAT, **identity})

    def cell(self, name: str) -> Record:
        """Arms of a cell: `recipe`, `ratios` and `measures` by name; empty where nothing is known yet."""
        path = self._cell(name)
        found = self._read(path)
        if found is not None and not _is_cell(found):
            raise _damaged(path, "not as it was written")
        return found or {}

    def arm(self, name: str, arm: Arm) -> Record:
        found: Record = self.cell(name).get(arm, {})
        return found

    def scores(self, name: str, arm: Arm) -> Record:
        """What was measured, by measure."""
        found: Record = self.arm(name, arm).get("measures", {})
        return found

    def add(self, name: str, arm: Arm, facts: Mapping[str, Any], measures: Mapping[str, Any]) -> None:
        """Keep scores of an arm, beside those it has. facts: of its merge."""
        whole = self.cell(name)
        old = whole.get(arm, {})
        whole[arm] = {**old, **facts, "measures": {**old.get("measures", {}), **measures}}
        self.write(self._cell(name), whole)

    def write(self, path: Path, value: Mapping[str, Any]) -> None:
        """As JSON; folders are made. Raises OutputError."""
        self.write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def write_text(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fileio.atomic_write(path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise OutputError(Problem("results can be written", str(error), str(path), "free space there")) from error

    def _cell(self, name: str) -> Path:
        return self.folder / "cells" / f"{name}.json"

    def _read(self, path: Path) -> Record | None:
        """None where there is no such file. Raises OutputError where it is not ours."""
        if fileio.hopeless(self.folder):
            return None
        try:
            found = json.loads(path.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(path, str(error)) from error
        if not isinstance(found, dict):
            raise _damaged(path, "not as it was written")
        return found


def _is_cell(found: Record) -> bool:
    """Whether it has the form that `Store.add` gives it."""
    arms = list(found.values())
    if not all(isinstance(arm, dict) and isinstance(arm.get("measures"), dict) for arm in arms):
        return False
    scores = [score for arm in arms for score in arm["measures"].values()]
    return all(isinstance(score, dict) and score.keys() >= SCORE for score in scores)


def _damaged(path: Path, found: str) -> OutputError:
    cure = "remove the file: what it held is measured again"
    return OutputError(Problem("a file of an earlier run can be read", found, str(path), cure))

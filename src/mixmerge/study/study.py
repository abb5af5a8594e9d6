"""A study on disk, to be read: its trials, its best, its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Study:
    """What STUDY_DIR holds. Nothing is computed again."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def trials(self) -> list[dict[str, Any]]:
        """One flat row a trial, for people and DataFrames: number, state, ratio…, value, one column a task."""
        raise NotImplementedError

    @property
    def best(self) -> dict[str, Any]:
        """The row of the winner: best objective on the validation items, the earlier one where two are equal."""
        raise NotImplementedError

    @property
    def summary(self) -> dict[str, Any]:
        """Everything the report shows: the content of report.json."""
        raise NotImplementedError

    def report(self, path: str | Path | None = None) -> Path:
        """Write report.html, report.md and report.json into a folder (the study's own); returns the HTML page."""
        raise NotImplementedError

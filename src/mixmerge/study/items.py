"""Scores of single items on disk: one append-only JSONL file a model and split.

A line is {"task", "item", "score"}: item is the item's number in its task, score what the metric gave it. A line that
a killed process did not finish is taken off; everything else is there for good.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixmerge import fileio
from mixmerge.errors import OutputError, Problem

FOLDER: Final = "items"
Found = dict[str, dict[int, float]]
"""Scores by task and item number."""

Indices = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def write_attacks(folder: Path, name: str, found: Mapping[str, Any]) -> None:
    """Store what attacks on a model found on its test examples: items/NAME.attacks.json."""
    path = folder / FOLDER / f"{name}.attacks.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fileio.atomic_write(path, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())


def read_attacks(folder: Path, name: str) -> dict[str, Any]:
    """The same; nothing where nothing is stored."""
    path = folder / FOLDER / f"{name}.attacks.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def trial_name(number: int) -> str:
    """Name of a trial's file."""
    return f"trial-{number:05d}"


def path_of(folder: Path, name: str, split: str) -> Path:
    """Where a model's scores are: items/NAME.SPLIT.jsonl in the study's folder."""
    return folder / FOLDER / f"{name}.{split}.jsonl"


def append(path: Path, scores: Mapping[str, tuple[Indices, Floats]]) -> None:
    """Store scores of items, by task, behind those that are there; on the device when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mend(path)
    lines = [
        json.dumps({"task": task, "item": int(item), "score": float(score)}) + "\n"
        for task, (items, values) in scores.items()
        for item, score in zip(items, values, strict=True)
    ]
    with path.open("ab") as file:
        file.write("".join(lines).encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Found:
    """What is stored; nothing where there is no file. Raises OutputError where something else is in it."""
    found: Found = {}
    if not path.is_file():
        return found
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line)
            found.setdefault(str(entry["task"]), {})[int(entry["item"])] = float(entry["score"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            told, cure = f"{type(error).__name__}: {error}", "take the file away: what it held is scored again"
            raise OutputError(Problem("scores of a study can be read", told, f"{path}:{number}", cure)) from error
    return found


def mend(path: Path) -> None:
    """Take off a last line that a killed process did not finish."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def mean(found: Mapping[int, float]) -> float:
    """Mean score of a task's items, added in the order of their numbers."""
    return float(np.mean([found[item] for item in sorted(found)]))

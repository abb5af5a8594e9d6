"""What an evaluation found, and the JSON that keeps it. It knows numbers and texts; it knows no models.

The JSON's first keys tell what was measured with what; `tasks` hold scores, intervals, sources of data and every item
with its prompt, answer and score. docs/eval.md lists the keys.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

from mixmerge import fileio
from mixmerge.errors import OutputError, Problem
from mixmerge.evaluation.lm_eval_tasks import Sample
from mixmerge.evaluation.numbers import Estimate

FORMAT: Final = "mixmerge evaluation 1"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task, scored. estimate: mean in [0, 1] and 95 % interval of the items that got a score; None where none did.

    seconds: asking and scoring. shortened: prompts that lost their beginning because the model's window is too small.
    unscored: items the judge gave no verdict on. data: sources, as records. version, citation: empty for tasks that
    state none.
    """

    name: str
    metric: str
    metric_words: str
    version: str
    citation: str
    fingerprint: str
    estimate: Estimate | None
    seconds: float
    shortened: int
    unscored: int
    data: tuple[Mapping[str, Any], ...]
    samples: tuple[Sample, ...]

    def record(self, *, samples: bool) -> dict[str, Any]:
        """As the JSON states it. samples: with every item."""
        whole = {field: getattr(self, field) for field in _PLAIN}
        whole["score"] = None if self.estimate is None else asdict(self.estimate)
        whole["data"] = [dict(source) for source in self.data]
        if samples:
            whole["samples"] = [_sample(sample) for sample in self.samples]
        return whole


_PLAIN: Final = (
    "name", "metric", "metric_words", "version", "citation", "fingerprint", "seconds", "shortened", "unscored",
)  # fmt: skip


def _sample(sample: Sample) -> dict[str, Any]:
    score = None if math.isnan(sample.score) else sample.score
    return {"item": sample.index, "prompt": sample.prompt, "answer": sample.answer, "score": score}


@final
@dataclass(frozen=True, slots=True)
class Skipped:
    """A task of a suite that was left out. why: what it needs that nobody allowed. cure: how to allow it."""

    name: str
    why: str
    cure: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """model: as it was named. commit: of a model of the hub. prompt: style. allowed: `code_execution` and `judge`."""

    model: str
    commit: str | None
    parameters: int
    prompt: str
    limit: int | None
    device: str
    compute: str
    batch_size: int
    allowed: Mapping[str, Any]
    versions: Mapping[str, str]
    skipped: tuple[Skipped, ...]
    tasks: tuple[TaskResult, ...]

    def record(self, *, samples: bool = True) -> dict[str, Any]:
        """As JSON keeps it. samples: with every item's prompt, answer and score."""
        plain = {name: getattr(self, name) for name in _FIRST}
        return {
            "format": FORMAT, **plain, "allowed": dict(self.allowed), "versions": dict(self.versions),
            "skipped": [asdict(one) for one in self.skipped],
            "tasks": [task.record(samples=samples) for task in self.tasks],
        }  # fmt: skip

    def text(self, *, samples: bool = True) -> str:
        """The record as JSON text, in UTF-8's reach: half characters of a model's answer are escaped."""
        return json.dumps(self.record(samples=samples), indent=1, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Put the record there, whole or not at all. Raises OutputError."""
        try:
            fileio.atomic_write(path, self.text().encode("utf-8"))
        except OSError as error:
            raise OutputError(Problem("the results can be written", str(error), str(path), "choose --out")) from error


def shortened_note(count: int) -> str:
    """What is told of prompts that were shortened, where some were."""
    words = "1 prompt lost its beginning" if count == 1 else f"{count} prompts lost their beginning"
    return f"{words}: the model's window is too small"


def unscored_note(count: int) -> str:
    """What is told of items without a score, where there are some."""
    return "1 item without a verdict is left out" if count == 1 else f"{count} items without a verdict are left out"


_FIRST: Final = ("model", "commit", "parameters", "prompt", "limit", "device", "compute", "batch_size")


def check_out(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where results cannot be written, before there are any. Raises OutputError."""
    if os.path.isdir(path):
        raise OutputError(Problem("results are written into a file", "a folder", str(path), "add a file name"))
    if not os.path.isdir(path.absolute().parent):
        cure = "make the folder first"
        raise OutputError(Problem("the folder of the results exists", "no such folder", str(path.parent), cure))
    if why := fileio.hopeless(path):
        raise OutputError(Problem("the results can be written", why, str(path), "choose another --out"))
    if fileio.exists(path) and not overwrite:
        cure = "name another file, or say --overwrite"
        raise OutputError(Problem("results do not replace a file", "it exists", str(path), cure))


@final
@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know before it goes on."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """Answers of a task so far."""

    task: str
    done: int
    total: int


@final
@dataclass(frozen=True, slots=True)
class Scored:
    """A task is done."""

    result: TaskResult


Event = Note | Asked | Scored
Listener = Callable[[Event], None]

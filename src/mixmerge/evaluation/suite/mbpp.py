"""MBPP: short Python programs from one sentence and three tests (Austin et al. 2021, arXiv 2108.07732), 500 problems.

Scored are tasks 11 to 510, the paper's test set, with all their tests. The tests are shown, as in the paper: without
them nobody knows the function's name and the order of its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mixmerge.evaluation.execution import Checks, Program
from mixmerge.evaluation.scoring.code_text import program as program_of
from mixmerge.evaluation.suite import _code
from mixmerge.evaluation.suite._task import DataFile, Row, SuiteTask

FIRST, LAST = 11, 510  # the paper's test set; 1 to 10 are for few-shot prompts, the rest for training
_LONGEST: Final = 4_000  # characters of tests shown; beyond it (task 493 only) the call's name stands for them
_ASKED: Final = "Write a Python program for this task. Answer with code."
_DEFINED: Final = re.compile(r"^\s*(?:def|class)\s+(\w+)", re.MULTILINE)
_CALLED: Final = re.compile(r"\w+")


def tested(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The names the reference defines and the tests use, in the tests' order."""
    defined = _DEFINED.findall(row["code"])
    used = _CALLED.findall("\n".join([row.get("test_setup_code") or "", *row["test_list"]]))
    return tuple(dict.fromkeys(word for word in used if word in defined))


def program(row: Mapping[str, Any], answer: str) -> Program:
    """What is run for an answer: its program, then the task's setup and tests."""
    names = tested(row)
    tests = "\n".join([row.get("test_setup_code") or "", *row["test_list"]])
    return Program(program_of(answer, names[0]), Checks(tests.replace("\r\n", "\n"), keep=names))


def _instruction(row: Mapping[str, Any]) -> str:
    shown = "\n".join(row["test_list"])
    if len(shown) > _LONGEST:
        return f"{_ASKED}\n\n{row['text'].strip()}\nThe function's name is {tested(row)[0]}."
    return f"{_ASKED}\n\n{row['text'].strip()}\nIt passes these tests:\n{shown}"


def _select(rows: list[Row]) -> list[Row]:
    chosen = [row for row in rows if FIRST <= row["task_id"] <= LAST]
    for row in chosen:
        texts = (row["text"], row["code"], *row["test_list"])
        if not row["test_list"] or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"text, code and tests of task {row['task_id']} are not texts")
        if not tested(row):
            raise ValueError(f"the tests of task {row['task_id']} use nothing that its code defines")
    return chosen


TASK: Final = SuiteTask(
    name="mbpp",
    summary="Short Python programs written from a sentence and three tests.",
    data=(
        DataFile(
            hub="google-research-datasets/mbpp",
            config="full",
            split="test",
            names=("mbpp.jsonl", "mbpp.json", "mbpp.parquet"),
            columns=("task_id", "text", "code", "test_list"),
            published="mbpp/mbpp.jsonl of github.com/google-research/google-research, or the dataset on the hub",
        ),
    ),
    select=_select,
    instruction=_instruction,
    max_tokens=1024,
    score_many=_code.scorer(program, _code.GIB),
    needs=("code_execution",),
    ready=_code.ready,
    metric=_code.METRIC,
    metric_words="share of answers that pass the tests of its task",
    version="1",
    citation="Austin et al. 2021, Program Synthesis with Large Language Models, arXiv 2108.07732",
)

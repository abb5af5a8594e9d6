"""LiveBench, coding: problems of recent contests, to be solved or finished (White et al. 2024, arXiv 2406.19314).

Scored as LiveBench does: the last fenced block of an answer, after the given beginning where there is one, must pass
every public and hidden test. Hidden tests are read without unpickling (`scoring.packed_text`). Questions of LiveBench's
other coding tasks (unit tests with libraries, repositories) are left out: they need software that is not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from mixmerge.evaluation.bounds import MAX_VALUES, values_in
from mixmerge.evaluation.execution import Calls, Program, Scripts
from mixmerge.evaluation.scoring.code_text import last_block
from mixmerge.evaluation.scoring.packed_text import unpacked
from mixmerge.evaluation.suite import _code
from mixmerge.evaluation.suite._livebench import is_current
from mixmerge.evaluation.suite._task import DataFile, Row, SuiteTask

TASKS: Final = ("LCB_generation", "coding_completion")

Case = tuple[str, str]


def program(row: Mapping[str, Any], answer: str) -> Program:
    """What is run for an answer: with one function where the question names it, else as a script."""
    code = last_block(answer)
    begun = row.get("partial_solution") or ""
    source = code if code.startswith(begun) else f"{begun}\n{code}"
    name = function_of(row)
    given = cases(row["public_test_cases"], row["private_test_cases"])
    return Program(source, Scripts(given) if name is None else Calls(name, given))


def function_of(row: Mapping[str, Any]) -> str | None:
    """The function that the tests call; None where they are texts for standard input. Raises ValueError."""
    original = row["original_json"]
    original = json.loads(original) if isinstance(original, str) else original
    name = json.loads(original["metadata"]).get("func_name")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"func_name is a name, not {name!r}")
    return name


@lru_cache(maxsize=1)
def cases(public: str, private: str) -> tuple[Case, ...]:
    """(input, expected output) pairs. Raises ValueError where they are not as published."""
    try:
        hidden = json.loads(private)
    except ValueError:
        text = unpacked(private)
        if values_in(text.encode("utf-8", "surrogatepass")) > MAX_VALUES:
            raise ValueError(f"hidden tests of more than {MAX_VALUES} values") from None
        hidden = json.loads(text)
    found = [*json.loads(public), *hidden]
    if not found:
        raise ValueError("a question has tests")
    for case in found:
        if not (isinstance(case, dict) and isinstance(case.get("input"), str) and isinstance(case.get("output"), str)):
            raise ValueError("a test has an input and an output, both texts")
    return tuple((case["input"], case["output"]) for case in found)


def _select(rows: list[Row]) -> list[Row]:
    chosen = [row for row in rows if row["task"] in TASKS and is_current(row)]
    for row in chosen:
        place = f"question {row.get('question_id', '?')}"
        turns = row["turns"]
        if not isinstance(turns, list) or not turns or not isinstance(turns[0], str):
            raise TypeError(f"turns are a list of texts, the first one is asked: {place}")
        try:
            name = function_of(row)
            for arguments, expected in cases(row["public_test_cases"], row["private_test_cases"]):
                _ = name is None or [json.loads(text) for text in (*arguments.split("\n"), expected)]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{place}: {error}") from None
    return chosen


TASK: Final = SuiteTask(
    name="livebench_coding",
    summary="Problems of recent contests, solved or finished in Python, run against public and hidden tests.",
    data=(
        DataFile(
            hub="livebench/coding",
            config=None,
            split="test",
            names=("livebench_coding.jsonl", "livebench_coding.json", "livebench_coding.parquet"),
            columns=("turns", "task", "public_test_cases", "private_test_cases", "original_json", "partial_solution"),
            published="dataset livebench/coding of the hub (test), rows of tasks LCB_generation and coding_completion",
        ),
    ),
    select=_select,
    instruction=lambda row: str(row["turns"][0]),
    max_tokens=2048,
    score_many=_code.scorer(program, 4 * _code.GIB),
    needs=("code_execution",),
    ready=_code.ready,
    metric=_code.METRIC,
    metric_words="share of answers that pass all tests of its question",
    version="1",
    citation="White et al. 2024, LiveBench, arXiv 2406.19314",
)

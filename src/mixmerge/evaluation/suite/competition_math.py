"""MATH: competition mathematics (Hendrycks et al. 2021, arXiv 2103.03874), 5,000 test problems of seven subjects.

Asked as WizardMath is: the problem alone, the answer started with "Let's think step by step."
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mixmerge.evaluation.scoring.boxed import last_boxed
from mixmerge.evaluation.scoring.equivalence import check, same
from mixmerge.evaluation.suite._task import DataFile, Row, SuiteTask

STARTS: Final = "Let's think step by step."
SUBJECTS: Final = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
    "precalculus",
)  # fmt: skip
MAX_TEXT: Final = 50_000  # characters of an answer that are read, from its end

_SAID: Final = re.compile(r"\banswer is:?(.*)", re.IGNORECASE)
_STOP: Final = re.compile(r"\.\s|\.$")
_MATHS: Final = re.compile(r"\$([^$]+)\$|\\\((.{1,1000}?)\\\)")  # longer ones equal nothing


def final_answer(text: str) -> str | None:
    """The result an answer states, as LaTeX: in its last box, else behind its last "the answer is"; None without."""
    text = text[-MAX_TEXT:]
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    said = _SAID.findall(text)
    if not said:
        return None
    maths = _MATHS.search(said[-1])
    if maths is not None:
        return str(maths[1] or maths[2]).strip()
    return _STOP.split(said[-1].strip(), maxsplit=1)[0].strip()


def _select(rows: list[Row]) -> list[Row]:
    for number, row in enumerate(rows):
        if not isinstance(row["problem"], str) or not isinstance(row["solution"], str):
            raise TypeError(f"problem and solution are texts, but not in row {number}")
        if last_boxed(row["solution"]) is None:
            raise ValueError(f"a solution has its result in \\boxed{{}}, but not in row {number}")
    return rows


def _score(row: Mapping[str, Any], answer: str) -> float:
    wanted, given = last_boxed(row["solution"]), final_answer(answer)
    assert wanted is not None, "rows without a result were refused"
    return float(given is not None and same(wanted, given))


def _part(subject: str) -> DataFile:
    endings = ("jsonl", "json", "parquet", "tsv", "csv")
    return DataFile(
        hub="EleutherAI/hendrycks_math",
        config=subject,
        split="test",
        names=tuple(f"{stem}.{ending}" for stem in ("math_test", f"math_test_{subject}") for ending in endings),
        columns=("problem", "solution"),
        published="dataset EleutherAI/hendrycks_math of the hub, one configuration a subject, split test",
    )


TASK: Final = SuiteTask(
    name="math",
    summary="Competition mathematics.",
    data=tuple(map(_part, SUBJECTS)),
    select=_select,
    instruction=lambda row: str(row["problem"]).strip(),
    starts=lambda row: STARTS,  # noqa: ARG005
    max_tokens=2048,
    score=_score,
    ready=lambda rows: check(),  # noqa: ARG005
    metric="exact_match",
    metric_words="share of answers whose result equals the reference's, by math-verify",
    version="1",
    citation="Hendrycks et al. 2021, Measuring Mathematical Problem Solving With the MATH Dataset, arXiv 2103.03874",
)

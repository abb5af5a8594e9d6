"""LiveBench typos: the verdicts of LiveBench's own scorer (commit b0fb577), item selection and prompts.

The expected verdicts were got by running that scorer on these answers; it is no part of the project.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.evaluation.scoring.typos import is_corrected
from mixmerge.evaluation.suite.livebench_typos import TASK

TRUTH = "We introduce “fair” models, don't we? They work."
WRONG = "We inctroduce “fair” models, don't we? They work."

TABLE = [
    (TRUTH, 1),
    (f"  {TRUTH}  \n", 1),
    (f"Here it is:\n\n{TRUTH}\n\nI corrected one word.", 1),
    (f"```\n{TRUTH}\n```", 1),
    (f"> {TRUTH}", 1),
    ("", 0),
    ("\n \n", 0),
    (WRONG, 0),
    (TRUTH.replace("“", '"').replace("”", '"'), 0),
    (TRUTH.replace("'", "’"), 0),
    (TRUTH.lower(), 0),
    (TRUTH[:-1], 0),
    (TRUTH.replace("? They", "?\nThey"), 1),
    (TRUTH.replace("? They", "?\n\nThey"), 1),
    (TRUTH.replace("? They", "? \nThey"), 0),
    (TRUTH.replace("? They", "?  They"), 0),
    (f"<solution>{TRUTH}</solution>", 1),
    (f"<solution>\n{TRUTH}\n</solution>", 1),
    (f"<solution>{WRONG}</solution>", 0),
    (f"{TRUTH}\n<solution>{WRONG}</solution>", 0),
    (f"{TRUTH}\n<solution>\n{WRONG}\n</solution>", 1),
    (f"<solution>{WRONG}</solution> or <solution>{TRUTH}</solution>", 1),
    (f"<solution>{TRUTH}</solution> or <solution>{WRONG}</solution>", 0),
    (f"<solution>{TRUTH}", 1),
    (f"{TRUTH}</solution>", 1),
    ("<solution></solution>" + TRUTH, 0),
    (f"So --- {TRUTH} --- done", 1),
    (f"So --- {WRONG} --- {TRUTH}", 0),
    (f"{TRUTH} --- {WRONG} --- ", 0),
    (f"a --- b --- {TRUTH} --- c", 1),
    (f"{TRUTH}\nso --- x --- y", 0),
    (f"---\n{TRUTH}\n---", 1),
    (f"<think>{TRUTH}</think>{WRONG}", 0),
    (f"<think>\nhm\n</think>\n{TRUTH}", 1),
    (f"<think>{TRUTH}", 1),
]


@pytest.mark.parametrize("mark", ["<think>", "</think>", "<solution>", "</solution>", " --- ", "<solution>\n"])
def test_long_answers_are_read_in_bounded_time(mark: str) -> None:
    assert not is_corrected(TRUTH, mark * 50_000)


@pytest.mark.parametrize(("answer", "verdict"), TABLE)
def test_verdicts_are_livebenchs(answer: str, verdict: int) -> None:
    assert is_corrected(TRUTH, answer) == bool(verdict)
    assert TASK.score is not None
    assert TASK.score(row(), answer) == float(verdict)


@given(st.text(st.characters(exclude_characters="\n<>-"), min_size=1), st.text(), st.text())
def test_the_text_alone_on_a_line_is_right_whatever_is_said_around_it(truth: str, before: str, after: str) -> None:
    around = [part.replace("<", "").replace(" --- ", "") for part in (before, after)]
    if truth == truth.strip():
        assert is_corrected(truth, f"{around[0]}\n{truth}\n{around[1]}")


def row(**changed: Any) -> dict[str, Any]:
    """A question as LiveBench's table of language tasks holds it."""
    return {
        "question_id": "1",
        "category": "language",
        "task": "typos",
        "turns": [f"Please output this exact text, with no changes at all except for the misspellings.\n\n{WRONG}"],
        "ground_truth": TRUTH,
        "livebench_release_date": "2024-11-25",
        "livebench_removal_date": "",
        "movie_name": None,
        **changed,
    }


def test_the_typos_of_the_release_are_asked_as_they_are() -> None:
    rows = [
        row(),
        row(task="connections", ground_truth="a\nb"),
        row(livebench_removal_date="2024-11-25"),
        row(livebench_release_date="2025-04-25"),
        row(livebench_release_date=None, livebench_removal_date=None),
    ]
    chosen = TASK.select(rows)
    assert chosen == [rows[0], rows[4]]
    assert TASK.instruction(chosen[0]) == rows[0]["turns"][0]


@pytest.mark.parametrize("changed", [{"ground_truth": " "}, {"ground_truth": None}, {"turns": []}, {"turns": "x"}])
def test_rows_of_another_form_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        TASK.select([row(**changed)])

"""GSM8K's scorer against a table of answers, against lm-eval's own filters, and against laws."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.evaluation import TaskError
from mixmerge.evaluation.scoring.final_number import MAX_TEXT, final_number, stated_number
from mixmerge.evaluation.suite.data import load
from mixmerge.evaluation.suite.gsm8k import TASK

DATA = Path(__file__).parents[4] / "shared" / "data"

ANSWERS: list[tuple[str, str, int]] = [
    # reference, answer, score
    ("18", "She makes 9 * 2 = $18 every day.\n#### 18", 1),
    ("18", "#### 18.00", 1),
    ("18", "####18", 1),
    ("18", "#### $18", 1),
    ("18", "The answer is: 18", 1),
    ("18", "The answer is 18.", 1),
    ("18", "the answer is **$18** per day", 1),
    ("18", "**Answer:** 18 dollars", 1),
    ("18", "The answer is 9 * 2 = 18 dollars. She had 3 eggs.", 1),
    ("18", "The answer is: \\boxed{18}", 1),
    ("18", "so $\\boxed{18}$ in 7 days", 1),
    ("18", "She makes 18 dollars.", 1),
    ("18", "18", 1),
    ("18", "18.", 1),
    ("18", "-18", 0),
    ("18", "She makes 17 dollars, not 18, so 17.", 0),
    ("18", "The answer is 17. Or maybe 18?", 0),
    ("18", "#### 17", 0),
    ("18", "180", 0),
    ("18", "118", 0),
    ("18", "18.5", 0),
    ("18", "1,8", 0),
    ("18", "", 0),
    ("18", "   \n", 0),
    ("18", "I do not know.", 0),
    ("18", "eighteen", 0),
    ("18", "#### Step 1: add\n9 + 9 is 18", 1),
    ("18", "#### 1. Add\nThat makes 18", 1),
    ("18", "The answer is 17\nThe answer is 18", 1),
    ("70000", "He made a profit of $70,000.", 1),
    ("70000", "70,000$", 1),
    ("70000", "70000.0", 1),
    ("70000", "70.000", 0),
    ("1,450,000", "1450000", 1),
    ("1,450,000", "\\boxed{1{,}450{,}000}", 1),
    ("50", "50%", 1),
    ("50", "The answer is 50\\%.", 1),
    ("-3", "It is -3 degrees.", 1),
    ("-3", "The answer is: -3", 1),
    ("-3", "x = - 3", 1),
    ("-3", "x = \u22123", 1),
    ("-3", "-$3", 1),
    ("3", "16 - 13 = 3", 1),
    ("3", "from 16-3", 1),
    ("3", "- 3 apples", 1),
    ("0.5", "He needs 1/2 of it", 1),
    ("0.5", "The answer is .5", 1),
    ("0.5", "\\boxed{\\frac{1}{2}}", 1),
    ("18", "The answer is $\\dfrac{36}{2}$ dollars.", 1),
    ("-0.5", "x = -\\frac{1}{2}", 1),
    ("1", "The answer is $\\frac{1}{2}$.", 0),
    ("2", "\\boxed{\\frac{1}{2}}", 0),
    ("1800", "1\\,800 dollars", 1),
    ("500", "Rs.500", 1),
    ("2", "3 1/2 / 0", 0),
    ("12345678901234567890", "12345678901234567891", 0),
]


def row(reference: str) -> dict[str, Any]:
    return {"question": "?", "answer": f"Because.\n#### {reference}"}


def score(reference: str, answer: str) -> float:
    assert TASK.score is not None
    return TASK.score(row(reference), answer)


@pytest.mark.parametrize(("reference", "answer", "wanted"), ANSWERS)
def test_verdicts(reference: str, answer: str, wanted: int) -> None:
    assert score(reference, answer) == wanted


DIFFERENT = {
    "#### 18.00": "lm-eval compares texts, and 18.00 is not 18 to it",
    "#### 1. Add\nThat makes 18": "a heading with a number is a result to lm-eval",
}


def lm_eval_verdict(reference: str, answer: str) -> float | None:
    """What lm-eval's own gsm8k says with its filter for `#### NUMBER`; None where that finds nothing."""
    import lm_eval.tasks
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters.extraction import RegexFilter
    from lm_eval.tasks._yaml_loader import load_yaml

    settings = load_yaml(Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k.yaml", resolve_func=False)
    pattern = settings["filter_list"][0]["filter"][0]["regex_pattern"]
    metric = settings["metric_list"][0]
    ((found,),) = RegexFilter(regex_pattern=pattern).apply([[answer]], [row(reference)])
    if found == "[invalid]":
        return None
    ways = {key: metric[key] for key in ("regexes_to_ignore", "ignore_case", "ignore_punctuation")}
    return float(exact_match_fn(predictions=[found], references=[row(reference)["answer"]], **ways)["exact_match"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lm_evals_verdict_where_it_has_one() -> None:
    compared = 0
    for reference, answer, wanted in ANSWERS:
        verdict = lm_eval_verdict(reference, answer)
        if verdict is not None and answer not in DIFFERENT:
            assert verdict == wanted, answer
            compared += 1
        elif verdict is not None:
            assert verdict != wanted, DIFFERENT[answer]
    assert compared >= 2


whole_numbers = st.integers(-(10**9), 10**9)


@given(whole_numbers, st.sampled_from(["{}", "{:,}", "{}.0", "{:,}.00"]), st.sampled_from(["$", "", "€"]))
def test_any_spelling_of_a_number_is_that_number(number: int, form: str, currency: str) -> None:
    sign, text = "-" * (number < 0), form.format(abs(number))
    for answer in (
        f"#### {sign}{currency}{text}",
        f"The answer is: {sign}{currency}{text}.",
        f"So 3 and then {sign}{currency}{text} it is",
    ):
        assert final_number(answer) == number
    assert stated_number(f"x #### {number:,}") == number


@given(whole_numbers, whole_numbers)
def test_right_only_when_equal(reference: int, answer: int) -> None:
    assert score(f"{reference:,}", f"The answer is {answer}") == float(reference == answer)


@given(st.text(alphabet="0123456789.,-/$% #=\nansweri\\boxd{}:", max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    found = final_number(text)
    assert found is None or isinstance(found, Fraction)


@pytest.mark.parametrize(
    "text", ["9" * 200_000, "#### " * 40_000, "answer is " * 9_000, "1/" * 100_000, "\\boxed{" * 30_000, "-" * 200_000]
)
def test_long_texts_are_read_in_bounded_time(text: str) -> None:
    final_number(text)
    assert final_number("7 " + "x" * MAX_TEXT) is None


def test_references_of_the_real_test_set() -> None:
    if not (DATA / "gsm8k_test.jsonl").is_file():
        pytest.skip("the data is not on this machine")
    rows = load({"m3_gsm8k": TASK}, DATA)["m3_gsm8k"].rows
    assert len(rows) == 1319
    assert TASK.score is not None
    assert all(TASK.score(item, item["answer"]) == 1.0 for item in rows)
    assert all(TASK.score(item, other["answer"]) == 0.0 for item, other in pairwise(rows[:3]))


@pytest.mark.parametrize(
    "wrong",
    [{"question": 3, "answer": "#### 1"}, {"question": "?", "answer": "1"}, {"question": "?", "answer": "####"}],
)
def test_rows_of_another_form_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "gsm8k_test.jsonl").write_text("\n".join(json.dumps(item) for item in (row("1"), wrong)))
    with pytest.raises(TaskError, match="row 1"):
        load({"m3_gsm8k": TASK}, tmp_path)

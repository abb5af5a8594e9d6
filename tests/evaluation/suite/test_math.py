"""MATH's scorer: boxes, a table of answers, hostile expressions, and the process that compares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.evaluation import TaskError
from mixmerge.evaluation.scoring import equivalence, equivalence_worker
from mixmerge.evaluation.scoring.boxed import last_boxed
from mixmerge.evaluation.scoring.equivalence import Worker, spelled
from mixmerge.evaluation.suite.competition_math import SUBJECTS, TASK, final_answer
from mixmerge.evaluation.suite.data import load

BOXES: list[tuple[str, str | None]] = [
    (r"\boxed{7}", "7"),
    (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
    (r"\boxed{1} no, \boxed{ 2 }", "2"),
    (r"\boxed{\text{(B)}}", r"\text{(B)}"),
    (r"\boxed{\{1,2\}}", r"\{1,2\}"),
    (r"\boxed{a\boxed{b}c}", r"a\boxed{b}c"),
    (r"\fbox{3}", "3"),
    (r"$\boxed 7$", "7"),
    (r"$\boxed 7.", "7"),
    (r"\boxed{3} and \boxed{4", "3"),
    (r"\boxed{}", ""),
    (r"\boxed", None),
    ("7", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "wanted"), BOXES)
def test_boxes(text: str, wanted: str | None) -> None:
    assert last_boxed(text) == wanted


nested = st.recursive(
    st.text(alphabet="ab1 +", max_size=5),
    lambda inner: st.builds("{}{{{}}}".format, st.sampled_from(["", r"\frac", r"\boxed"]), inner),
)


@given(nested, st.text(alphabet="ab {$", max_size=10))
def test_what_is_boxed_comes_back(inside: str, before: str) -> None:
    assert last_boxed(before + r"\boxed{" + inside + "} so") == inside.strip()


FINAL: list[tuple[str, str | None]] = [
    ("The answer is: 12.", "12"),
    ("The answer is 12. Indeed.", "12"),
    ("The answer is $x^2$ there", "x^2"),
    (r"The answer is \(3.5\).", "3.5"),
    (r"The answer is: 4 \boxed{5}", "5"),
    ("The answer is: 1\nThe answer is: 2", "2"),
    ("I think 12", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "wanted"), FINAL)
def test_final_answers(text: str, wanted: str | None) -> None:
    assert final_answer(text) == wanted


@pytest.mark.parametrize("text", ["\\(", "$", ". ", "answer is ", "\\boxed{"])
def test_long_texts_are_read_in_bounded_time(text: str) -> None:
    final_answer("The answer is " + text * 25_000)


VERDICTS: list[tuple[str, str, int]] = [
    # reference's box, answer, score
    (r"\frac{1}{2}", r"\boxed{\dfrac{1}{2}}", 1),
    (r"\frac{1}{2}", r"\boxed{0.5}", 1),
    (r"\frac{1}{2}", r"\boxed{1/2}", 1),
    (r"\frac12", r"\boxed{\frac{1}{2}}", 1),
    (r"\frac{1}{2}", r"\boxed{\frac{2}{1}}", 0),
    (r"\frac{\sqrt{3}}{3}", r"\boxed{\frac{1}{\sqrt{3}}}", 1),
    (r"2\sqrt{2}", r"\boxed{\sqrt{8}}", 1),
    ("10,080", r"\boxed{10080}", 1),
    (r"10{,}080", r"\boxed{10,080}", 1),
    (r"\$18.90", r"\boxed{18.9}", 1),
    (r"12\text{ cm}", r"\boxed{12}", 1),
    ("12", r"\boxed{12\text{ cm}^2}", 1),
    (r"90^\circ", r"\boxed{90}", 1),
    (r"50\%", r"\boxed{50}", 1),
    (r"50\%", r"\boxed{0.5}", 1),
    ("(1,2]", r"\boxed{\left( 1, 2 \right]}", 1),
    ("(1,2]", r"\boxed{[1,2]}", 0),
    (r"x \in [-2,7]", r"\boxed{[-2,7]}", 1),
    (r"\{1,2\}", r"\boxed{\{2,1\}}", 1),
    ("6,-2", r"\boxed{-2,6}", 1),
    ("x^2+2x+1", r"\boxed{(x+1)^2}", 1),
    ("x^2+2x+1", r"\boxed{(x+2)^2}", 0),
    ("x=5", r"\boxed{5}", 1),
    (r"\text{June 20}", r"\boxed{June 20}", 1),
    (r"\text{Evelyn}", "The answer is: Evelyn.", 1),
    (r"\text{Evelyn}", "The answer is: Angela.", 0),
    (r"\text{(B)}", r"\boxed{(B)}", 1),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", 1),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\boxed{\begin{pmatrix}2\\1\end{pmatrix}}", 0),
    ("3", r"\boxed{-3}", 0),
    ("3", "The answer is: 3", 1),
    ("3", "3", 0),
    ("3", r"\boxed{}", 0),
    ("3", "", 0),
    ("3", r"\boxed{\text{}}", 0),
    ("3", r"\boxed{" + "3+" * 600 + "}", 0),
    (r"\pi", r"\boxed{3.14159}", 0),
]


@pytest.fixture(scope="module", autouse=True)
def worker() -> Iterator[None]:
    """The process is ended with these tests."""
    yield
    if equivalence._worker.cache_info().currsize:
        equivalence._worker().close()


def score(reference: str, answer: str) -> float:
    assert TASK.score is not None
    return TASK.score({"problem": "?", "solution": f"It is $\\boxed{{{reference}}}$."}, answer)


@pytest.mark.parametrize(("reference", "answer", "wanted"), VERDICTS)
def test_verdicts(reference: str, answer: str, wanted: int) -> None:
    assert score(reference, answer) == wanted


def test_spelling_is_not_meaning() -> None:
    assert spelled(r"\left( \tfrac{1}{2}, \text{ even} \right).") == r"(\frac{1}{2},even)"
    assert spelled("12") != spelled("21")


HOSTILE = ["9^{9^{9^{9}}}", r"\begin{matrix}" * 20, "(" * 400, "\\" * 300]


def test_hostile_expressions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process with a second of the processor each; what cannot be compared is not equal, and the next one is."""
    import resource

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import equivalence_worker as w; w.SECONDS = 1; w.main()"
    )  # fmt: skip
    folder = str(Path(equivalence_worker.__file__).parent)

    def started() -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", "-W", "ignore", "-c", code, folder]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0)

    monkeypatch.setattr(equivalence, "_started", started)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    worker = Worker(seconds=600)
    try:
        for text in HOSTILE:
            assert worker.ask("9", text) is False
        assert worker.ask("2", r"\frac{4}{2}") is True
    finally:
        worker.close()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 20 * len(HOSTILE)


@pytest.mark.parametrize("code", ["import sys; sys.stdin.read()", "import nothing_of_that_name"])
def test_a_process_that_cannot_start_is_told_and_no_answer_is_wrong_for_it(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def broken() -> subprocess.Popen[bytes]:
        pipe, words = subprocess.PIPE, [sys.executable, "-c", code]
        started.append(subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0))
        return started[-1]

    monkeypatch.setattr(equivalence, "_started", broken)
    worker = Worker(seconds=0.5)
    for _ in range(2):
        with pytest.raises(TaskError, match=r"not ready after 0\.5 s"):
            worker.ask("1", "1")
    assert all(process.poll() is not None for process in started)


def test_a_stricter_limit_of_the_machine_stands() -> None:
    """As on macOS, where there is none of address space, or under `ulimit`: the process starts all the same."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
        equivalence_worker._limit(resource.RLIMIT_CORE, 1 << 62)
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        assert hard == before[1]
        assert soft in (1 << 62, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_parts_of_the_test_set(tmp_path: Path) -> None:
    for number, subject in enumerate(SUBJECTS):
        item = {"problem": f"{number}?", "level": "Level 1", "type": subject, "solution": rf"\boxed{{{number}}}"}
        (tmp_path / f"math_test_{subject}.jsonl").write_text(json.dumps(item))
    found = load({"m3_math": TASK}, tmp_path)["m3_math"]
    assert [item["type"] for item in found.rows] == list(SUBJECTS)
    assert len(found.sources) == 7
    assert TASK.score is not None
    assert all(TASK.score(item, item["solution"]) == 1.0 for item in found.rows)


@pytest.mark.parametrize("wrong", [{"problem": "?", "solution": "7"}, {"problem": "?", "solution": None}])
def test_rows_of_another_form_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "math_test.jsonl").write_text(json.dumps(wrong))
    with pytest.raises(TaskError, match="row 0"):
        load({"m3_math": TASK}, tmp_path)

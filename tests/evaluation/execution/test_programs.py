"""Programs that mean no harm: verdicts, order, the three kinds of tests, limits, and what stops a call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixmerge.evaluation.execution import (
    Calls,
    Checks,
    Confinement,
    Limits,
    Outcome,
    Program,
    Scripts,
    interpreter,
    run_programs,
)
from mixmerge.evaluation.execution import confinement as module
from mixmerge.evaluation.problems import TaskError

LIMITS = Limits(seconds=30)


def outcome(source: str, tests: Checks | Scripts | Calls) -> Outcome:
    (found,) = run_programs([Program(source, tests)], LIMITS, 1)
    return found


@pytest.mark.usefixtures("programs")
def test_outcomes_come_in_order_from_any_number_of_workers() -> None:
    given = [
        Program(f"import time\ntime.sleep({(7 - n) / 50})\nx = {n % 3}", Checks("assert x == 0")) for n in range(7)
    ]
    once, twice = (run_programs(given, LIMITS, workers) for workers in (1, 3))
    assert [found.passed for found in once] == [True, False, False, True, False, False, True]
    assert once == twice


@pytest.mark.usefixtures("programs")
def test_a_long_program_arrives_whole_however_slowly_its_interpreter_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than a pipe holds, and asked after so often that nothing could be sent in between."""
    monkeypatch.setattr(interpreter, "_LOOK", 0.001)
    (found,) = run_programs([Program(f"x = {'1' * 4000!r}\n" * 100, Checks("assert len(x) == 4000"))], LIMITS, 1)
    assert found == Outcome(True, "passed")


@pytest.mark.usefixtures("programs")
def test_no_programs_need_no_walls() -> None:
    assert run_programs([], LIMITS, 2) == []


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("def f(): return [][1]", "IndexError: list index out of range (line 1 of program)"),
        ("def f(): return 2", "AssertionError"),
        ("def g(): return 1", "NameError: name 'f' is not defined"),
        ("x = 1\ny = x / 0", "before its tests: ZeroDivisionError: division by zero (line 2 of program)"),
        ("def f(", "before its tests: SyntaxError: '(' was never closed (program, line 1)"),
        ("def f(): raise ValueError('a\\nb' * 500)", None),
    ],
)
def test_a_failure_is_told_in_one_bounded_line(source: str, detail: str | None) -> None:
    found = outcome(source, Checks("assert f() == 1"))
    assert (found.passed, found.reason) == (False, "failed")
    assert "\n" not in found.detail
    assert len(found.detail) <= 400
    assert detail is None or found.detail == detail


@pytest.mark.usefixtures("programs")
def test_what_programs_usually_do_works() -> None:
    source = (
        "from __future__ import annotations\nimport re, math, random, collections, dataclasses, typing, pickle\n"
        "@dataclasses.dataclass\nclass Point:\n    x: typing.ClassVar[int] = 1\n    y: int = 2\n"
        "assert pickle.loads(pickle.dumps(Point(3))).y == 3\nif __name__ == '__main__':\n    raise SystemExit\n"
        "draw = random.random()\norder = list({'a', 'b', 'c', 'd', 'e', 'f'})\nprint('é')\n"
    )
    (first, again) = run_programs([Program(source, Checks("assert False, (draw, order)"))] * 2, LIMITS, 2)
    assert first.detail.startswith("AssertionError: (0.84")
    assert first == again


@pytest.mark.usefixtures("programs")
def test_installed_packages_can_be_imported() -> None:
    assert outcome(
        "import numpy as np\nx = np.arange(4).reshape(2, 2) @ np.ones(2)", Checks("assert x.sum() == 6")
    ).passed


# Scripts.

ECHO = "n = int(input())\nprint(sum(int(input()) for _ in range(n)))\n"


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("source", "passed"),
    [
        (ECHO, True),
        ("import sys\nlines = sys.stdin.read().split()\nprint(sum(map(int, lines[1:])))", True),
        ("print(sum(map(int, open(0).read().split()[1:])))", True),
        ("import os\ndata = os.read(0, 99).split()\nos.write(1, b'%d' % sum(map(int, data[1:])))", True),
        ("def main():\n    print(sum(int(input()) for _ in range(int(input()))))\n"
         "if __name__ == '__main__': main()", True),
        (ECHO + "exit()", True),
        (ECHO + "import sys\nsys.exit(0)", True),
        (ECHO + "import os\nsys.stdout.flush()\nos._exit(0)", True),
        ("import threading\ndef main():\n    time.sleep(0.1)\n    print(6)\nimport time\n"
         "threading.Thread(target=main).start()\ninput()\n", False),
        (ECHO + "raise ValueError", False),
        (ECHO + "import sys\nsys.exit(1)", False),
        ("print(6)", False),
        ("print(accumulate([1]))\n", False),
    ],
)  # fmt: skip
def test_scripts(source: str, passed: bool) -> None:
    tests = Scripts((("3\n1\n2\n3\n", "6\n"), ("1\n5", "5")))
    assert outcome(source, tests).passed is passed


@pytest.mark.usefixtures("programs")
def test_a_thread_ends_before_its_script() -> None:
    source = "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print(input()))).start()\n"
    assert outcome(source, Scripts((("a", "a"), ("b", "b")))).passed


@pytest.mark.usefixtures("programs")
def test_what_contests_take_for_granted() -> None:
    source = "print(gcd(4, 6), deque([1])[0], sys.getrecursionlimit() > 1000)"
    granted, bare = (outcome(source, Scripts((("", "2 1 True"),), granted=given)) for given in (True, False))
    assert granted.passed
    assert bare.detail == "case 1: NameError: name 'gcd' is not defined (line 1 of program)"


@pytest.mark.usefixtures("programs")
def test_the_first_wrong_case_is_told() -> None:
    found = outcome("print(int(input()) * 2)", Scripts((("1", "2"), ("2", "5"), ("x", "0"))))
    assert found == Outcome(False, "failed", "case 2: printed '4', not '5'")
    assert outcome("print(int(input()) * 2)", Scripts((("x", "0"),))).detail.startswith("case 1: ValueError: invalid")


@pytest.mark.usefixtures("programs")
def test_expected_answers_are_nowhere_in_the_program_process() -> None:
    source = (
        "import gc, sys\nframe, seen = sys._getframe(), []\nwhile frame:\n    seen.append(str(frame.f_locals))\n"
        "    frame = frame.f_back\nprint(''.join(reversed('51801174')) in ''.join(seen) + str(gc.get_objects()))\n"
    )
    assert (
        outcome(source, Scripts((("", "47110815"),), granted=False)).detail == "case 1: printed 'False', not '47110815'"
    )


# Calls.


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("source", "passed"),
    [
        ("def f(a, b): return [a, b]", True),
        ("def f(a, b): return (a, b)", True),
        ("class Solution:\n    def f(self, a: List[int], b: int) -> List[int]: return [a, b]", True),
        ("import numpy\ndef f(a, b): return [[numpy.int64(a[0])], float(b)]", True),
        ("def f(a, b): return [tuple(a), b]", False),
        ("def f(a, b): return a, str(b)", False),
        ("def f(a, b): return None", False),
        ("def f(a, b): return f", False),
        ("def f(a, b):\n    x = []\n    x.append(x)\n    return x", False),
        ("def f(a, b): return float('nan')", False),
        ("def f(a): return a", False),
        ("def g(a, b): return a", False),
        ("import os\ndef f(a, b): os._exit(0)", False),
    ],
)
def test_calls(source: str, passed: bool) -> None:
    found = outcome(source, Calls("f", (("[1]\n2", "[[1], 2]"), ("[1]\n2", "[[1], 2]"))))
    assert found.passed is passed
    assert passed or found.reason == "failed"


@pytest.mark.usefixtures("programs")
def test_keys_of_dicts_stay_what_they_are() -> None:
    by_text, by_number = '{"1": 2}', "def f(a): return {1: 2}"
    assert not outcome(by_number, Calls("f", (("0", by_text),))).passed
    assert outcome("def f(a): return {'1': 2}", Calls("f", (("0", by_text),))).passed


# What stops a call.


def test_without_a_wall_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    poor = Confinement({"files": (), "network": ("seccomp",), "processes": (), "others": ("seccomp",)}, "why not")
    monkeypatch.setattr(module, "walls", lambda: poor)
    trace = tmp_path / "trace"
    with pytest.raises(TaskError) as refused:
        run_programs([Program(f"open({str(trace)!r}, 'w')", Checks(""))], LIMITS, 1)
    (problem,) = refused.value.problems
    assert "writing and deleting files outside a temporary folder, starting processes without end" in problem.value
    assert "(why not)" in problem.value
    assert "weak=True" in problem.cure
    assert not trace.exists()


@pytest.mark.usefixtures("programs")
def test_weak_runs_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "walls", lambda: Confinement({}))
    assert run_programs([Program("x = 1", Checks("assert x == 1"))], LIMITS, 1, weak=True)[0].passed


@pytest.mark.usefixtures("programs")
def test_an_interpreter_that_dies_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    from mixmerge.evaluation.execution import interpreter

    monkeypatch.setattr(interpreter, "_START", "raise SystemExit('no library')")
    assert outcome("x = 1", Checks("")) == Outcome(False, "refused", "no library")


def test_results_can_be_recorded() -> None:
    text = json.dumps(Confinement({"files": ("Landlock",), "network": ()}).as_json())
    assert text == '{"files": ["Landlock"], "network": []}'

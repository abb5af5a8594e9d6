"""Where a list is asked for: a name by itself is one name, and what can be no list is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mixmerge
from mixmerge.errors import CheckpointError
from mixmerge.evaluation import TaskError, load_tasks
from mixmerge.evaluation.lists import names, numbers


@pytest.fixture
def items(tmp_path: Path) -> Path:
    file = tmp_path / "sums.jsonl"
    rows = [{"prompt": f"{n}+1=", "choices": ["1", "0"], "answer": n % 2} for n in range(10, 16)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_name_by_itself_is_one_name() -> None:
    assert names("m3_gsm8k", "tasks") == names(["m3_gsm8k"], "tasks") == ("m3_gsm8k",)
    assert names(Path("a"), "tasks") == (str(Path("a")),)
    assert names(("a", Path("b")), "tasks") == ("a", str(Path("b")))
    assert names([], "tasks") == ()
    assert numbers([2, 1], "seeds") == (2, 1)


@pytest.mark.parametrize("given", [5, 0.5, {"a": 1}, b"ab", None, True])
def test_what_is_no_list_is_told(given: Any) -> None:
    with pytest.raises(TaskError) as refused:
        names(given, "tasks")
    (problem,) = refused.value.problems
    assert (problem.rule, problem.value, problem.place) == ("a name, or a list of names", repr(given), "tasks")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("given", [5, {1: 1}, "12", None])
def test_what_is_no_list_of_numbers_is_told(given: Any) -> None:
    with pytest.raises(TaskError, match=r"^a list of whole numbers"):
        numbers(given, "seeds")


@pytest.mark.parametrize("kind", [str, Path])
def test_one_task_may_be_named_by_itself(kind: type, zoo: Path, items: Path) -> None:
    alone, listed = (mixmerge.evaluate(zoo / "adder", tasks) for tasks in (kind(items), [items]))
    assert [task.name for task in alone.tasks] == ["sums"]
    assert alone.tasks[0].estimate == listed.tasks[0].estimate
    assert [task.name for task in load_tasks(kind(items))] == ["sums"]


def test_a_task_that_is_no_list_is_told_with_all_else(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as refused:
        mixmerge.evaluate(tmp_path / "none", {"m3": 1}, limit=0)  # type: ignore[arg-type]
    assert [one.rule for one in refused.value.problems][::2] == ["limit is at least 1", "a name, or a list of names"]


@pytest.mark.parametrize("kind", [str, Path])
def test_one_model_may_be_attacked_by_itself(kind: type, items: Path, tmp_path: Path) -> None:
    with pytest.raises((TaskError, CheckpointError)) as refused:
        mixmerge.attack(kind(tmp_path / "none"), items, "stresstest", prompt_text="add {content}=")
    (problem,) = refused.value.problems
    assert str(tmp_path / "none") in f"{problem.place} {problem.value}"


def test_lists_of_an_attack_are_told(zoo: Path, items: Path) -> None:
    with pytest.raises(TaskError) as refused:
        mixmerge.attack({"a": 1}, items, "stresstest", protect=3, seeds=7)  # type: ignore[arg-type]
    assert [problem.place for problem in refused.value.problems] == ["models", "protect", "seeds"]


def test_one_protected_word_is_a_word(zoo: Path, items: Path) -> None:
    found = mixmerge.attack(
        zoo / "adder", items, "stresstest", protect="carefully", prompt_text="add carefully {content}=", limit=2
    )
    assert found.settings["protect"] == ("carefully",)
    assert [result.model for result in found.results] == [str(zoo / "adder")]

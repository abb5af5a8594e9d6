"""Tasks and their division; JSONL files good and bad."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.evaluation import (
    ChoiceItem,
    TargetItem,
    Task,
    TaskError,
    item_weights,
    jsonl,
    load_task,
    load_tasks,
    split,
)
from mixmerge.evaluation.problems import LISTED

GOOD = {"prompt": "1+1=", "target": "2"}


def task(count: int) -> Task:
    return Task("t", tuple(TargetItem(f"{number}=", str(number)) for number in range(count)))


@given(st.integers(2, 300), st.floats(0.0, 1.0), st.integers(0, 2**31))
def test_a_split_is_a_partition(count: int, fraction: float, seed: int) -> None:
    found = split(task(count), fraction, seed)
    assert sorted([*found.validation, *found.test]) == list(range(count))
    assert found.validation.size
    assert found.test.size
    assert (np.diff(found.validation) > 0).all()
    again = split(task(count), fraction, seed)
    assert (found.validation == again.validation).all()


def test_a_split_is_stable_when_items_are_added() -> None:
    few, many = split(task(100), 0.4, 7), split(task(1000), 0.4, 7)
    assert few.validation.tolist() == [number for number in many.validation if number < 100]


def test_the_fraction_is_met_and_seeds_differ() -> None:
    sizes = [split(task(10_000), 0.3, seed).validation.size for seed in range(3)]
    assert all(abs(size - 3000) < 200 for size in sizes)
    assert len(set(sizes)) > 1


def test_equal_items_stay_on_one_side() -> None:
    items = task(50).items
    found = split(Task("t", items * 3), 0.5, 1)
    on_both = {items[number % 50] for number in found.validation} & {items[number % 50] for number in found.test}
    assert not on_both


def test_the_authors_sets_win() -> None:
    found = split(replace(task(10), validation=3), 0.9, 1)
    assert found.validation.tolist() == [0, 1, 2]
    assert found.test.tolist() == list(range(3, 10))


def test_one_item_cannot_be_divided() -> None:
    with pytest.raises(TaskError, match="two different items"):
        split(Task("t", (TargetItem("a", "b"),) * 5), 0.5, 1)


def test_item_weights_make_the_mean_of_means() -> None:
    sizes, weights = [3, 5, 2], [1.0, 2.0, 4.0]
    scores = np.random.default_rng(0).random(10)
    parts = np.split(scores, [3, 8])
    expected = sum(w * part.mean() for w, part in zip(weights, parts, strict=True)) / 7
    assert np.average(scores, weights=item_weights(sizes, weights)) == pytest.approx(expected)
    assert item_weights(sizes, weights).mean() == pytest.approx(1.0)


def test_a_fingerprint_sees_items_and_nothing_else() -> None:
    one = task(4)
    assert one.fingerprint == replace(one, name="u", weight=2.0).fingerprint
    assert one.fingerprint != replace(one, items=one.items[:3]).fingerprint
    assert one.fingerprint != replace(one, items=one.items[::-1]).fingerprint


def write(path: Path, *lines: object) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", GOOD, "", {"prompt": "é?", "choices": [" a", " b"], "answer": 1})
    found = load_task(path, weight=2.0)
    assert (found.name, found.weight, len(found)) == ("sums", 2.0, 2)
    assert found.items == (TargetItem("1+1=", "2"), ChoiceItem("é?", (" a", " b"), 1))


CHOICE = {"prompt": "p", "choices": ["a", "b"], "answer": 0}

BAD = [
    ("{", "is JSON"),
    ("[1]", "JSON object"),
    ("NaN", "NaN"),
    ('{"prompt": "a", "prompt": "b", "target": "c"}', "given twice"),
    ('{"prompt": "\\ud800", "target": "c"}', "prompt is a text"),
    ("[" * 100_000, "nested too deeply"),
    ({"prompt": "p"}, "'target'"),
    ({"target": "p"}, "'prompt'"),
    ({**GOOD, "prompt": 1}, "prompt is a text"),
    ({**GOOD, "target": None}, "target is a text"),
    ({**GOOD, "target": ""}, "a target is one line"),
    ({**GOOD, "target": "a\nb"}, "a target is one line"),
    ({**GOOD, "target": "a "}, "spaces at its end"),
    ({**GOOD, "tarjet": "a"}, "did you mean 'target'"),
    ({**GOOD, **CHOICE}, "no other keys"),
    ({"prompt": "p", "choices": ["a", "b"]}, "'answer'"),
    ({"prompt": "p", "answer": 0}, "'choices'"),
    ({**CHOICE, "choices": ["a"]}, "2 to 1000 choices"),
    ({**CHOICE, "choices": ["a", "a"]}, "differ from each other"),
    ({**CHOICE, "choices": ["a", ""]}, "none of them empty"),
    ({**CHOICE, "choices": "ab"}, "list of texts"),
    ({**CHOICE, "choices": ["a", 1]}, "list of texts"),
    ({**CHOICE, "choices": ["a", ["b"]]}, "list of texts"),
    ({**CHOICE, "answer": 2}, "index of a choice"),
    ({**CHOICE, "answer": -1}, "index of a choice"),
    ({**CHOICE, "answer": True}, "index of a choice"),
    ({**CHOICE, "answer": "0"}, "index of a choice"),
    ({**CHOICE, "answer": 0.0}, "index of a choice"),
]


@pytest.mark.parametrize(("line", "told"), BAD, ids=[told for _, told in BAD])
def test_a_bad_line_is_told_with_its_place(tmp_path: Path, line: object, told: str) -> None:
    path = write(tmp_path / "bad.jsonl", GOOD, line)
    with pytest.raises(TaskError, match=told) as caught:
        load_task(path)
    assert f"{path}:2" in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_bad_lines_are_told_at_once_and_the_flood_is_counted(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.jsonl", "{", GOOD, "{"), write(tmp_path / "two.jsonl", *["{"] * 50)
    with pytest.raises(TaskError) as caught:
        load_tasks([one, two])
    assert f"{one}:1" in str(caught.value)
    assert f"{one}:3" in str(caught.value)
    assert f"{two}:1" in str(caught.value)
    assert f"and {52 - LISTED} more problems" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.jsonl"
    path.write_bytes(content)
    with pytest.raises(TaskError, match="at least one item"):
        load_task(path)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="No such file") as caught:
        load_tasks([tmp_path / "absent.jsonl"])
    assert len(caught.value.problems) == 1
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"prompt": "\xe9", "target": "c"}')
    with pytest.raises(TaskError, match="not UTF-8"):
        load_task(path)


def test_limits_of_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "big.jsonl", GOOD, GOOD, GOOD)
    monkeypatch.setattr(jsonl, "MAX_LINES", 2)
    with pytest.raises(TaskError, match="at most 2 lines"):
        load_task(path)
    monkeypatch.setattr(jsonl, "MAX_LINES", 100)
    monkeypatch.setattr(jsonl, "MAX_VALUES", 5)
    with pytest.raises(TaskError, match=r"at most 5 values(?s:.)*up to"):
        load_task(path)
    monkeypatch.setattr(jsonl, "MAX_BYTES", 20)
    with pytest.raises(TaskError, match="at most 20 bytes"):
        load_task(path)


def test_two_files_are_the_sets_of_one_task(tmp_path: Path) -> None:
    test = write(tmp_path / "sums.test.jsonl", {"prompt": "2+2=", "target": "4"})
    other = write(tmp_path / "other.jsonl", GOOD)
    validation = write(tmp_path / "sums.validation.jsonl", GOOD)
    found = load_tasks([test, other, validation], {"sums": 3.0})
    assert [(item.name, item.weight, item.validation) for item in found] == [("sums", 3.0, 1), ("other", 1.0, None)]
    assert split(found[0], 0.5, 0).test.tolist() == [1]


def test_one_set_is_a_task_where_nothing_is_divided(tmp_path: Path) -> None:
    for name in ("test", "validation"):
        (found,) = load_tasks([write(tmp_path / f"sums.{name}.jsonl", GOOD)], divided=False)
        assert (found.name, len(found)) == ("sums", 1)
    (both,) = load_tasks(
        [tmp_path / "sums.validation.jsonl", write(tmp_path / "sums.test.jsonl", {"prompt": "2+2=", "target": "4"})],
        divided=False,
    )
    assert len(both) == 2


def test_sets_that_do_not_fit(tmp_path: Path) -> None:
    validation = write(tmp_path / "sums.validation.jsonl", GOOD)
    with pytest.raises(TaskError, match="no test set"):
        load_tasks([validation])
    with pytest.raises(TaskError, match="in both sets"):
        load_tasks([validation, write(tmp_path / "sums.test.jsonl", GOOD)])
    with pytest.raises(TaskError, match="one file for each set"):
        load_tasks([validation, write(tmp_path / "sums.jsonl", GOOD)])


def test_names_and_weights_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    first, second = write(tmp_path / "sums.jsonl", GOOD), write(tmp_path / "sub" / "sums.jsonl", GOOD)
    with pytest.raises(TaskError, match="one file for each set"):
        load_tasks([first, second])
    with pytest.raises(TaskError, match="did you mean 'sums'"):
        load_tasks([first], {"sum": 1.0})
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(TaskError, match="above 0"):
            load_tasks([first], {"sums": weight})


def test_a_yaml_file_is_a_task_of_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text("task: mine\n")
    with pytest.raises(TaskError, match="named by the folder they are in") as caught:
        load_tasks([file])
    [problem] = caught.value.problems
    assert (problem.place, problem.cure) == (str(file), f"name {tmp_path}")

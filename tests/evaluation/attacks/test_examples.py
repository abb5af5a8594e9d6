"""Labelled sentences from files: the published forms, what is wrong with others, and which examples are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import MixmergeError
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.attacks import examples
from mixmerge.evaluation.attacks.examples import TASKS, Example, Examples, chosen, load_examples

SENTENCES = [("a charming journey .", 1), ("bleak \" and 'desperate", 0), ("it 's café", 1), ("so so", 0)]
SHARED = Path(__file__).parents[4] / "shared" / "data"


def sst2(folder: Path, name: str = "sst2_test.tsv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("sentence\tlabel\n" + "".join(f"{text} \t{label}\n" for text, label in SENTENCES), "utf-8")
    return folder


def cola(folder: Path) -> Path:
    for name, rows in (("in_domain", SENTENCES[:3]), ("out_of_domain", SENTENCES[3:])):
        lines = (f"gj04\t{label}\t{'' if label else '*'}\t{text}\n" for text, label in rows)
        (folder / f"cola_{name}_dev.tsv").write_text("".join(lines), "utf-8")
    return folder


def as_examples() -> tuple[Example, ...]:
    return tuple(Example(text, label) for text, label in SENTENCES)


def test_published_tables(tmp_path: Path) -> None:
    found = load_examples("sst2", sst2(tmp_path))
    assert found.rows == as_examples()
    assert found.labels == (" negative", " positive")
    assert [source.rows for source in found.sources] == [4]
    acceptability = load_examples("cola", cola(tmp_path))
    assert acceptability.rows == as_examples()
    assert [source.rows for source in acceptability.sources] == [3, 1]
    assert acceptability.digest != found.digest  # other labels


def test_every_form_of_a_file_gives_the_same_examples(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    rows = [{"sentence": text, "label": label, "idx": number} for number, (text, label) in enumerate(SENTENCES)]
    for name in ("jsonl", "parquet", "glue"):
        (tmp_path / name).mkdir()
    (tmp_path / "jsonl" / "sst2.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    parquet.write_table(Table.from_pylist(rows), tmp_path / "parquet" / "sst2.parquet")
    sst2(tmp_path / "glue", "SST-2/dev.tsv")
    found = [load_examples("sst2", tmp_path / name) for name in ("jsonl", "parquet", "glue")]
    assert all(one.rows == as_examples() for one in found)
    assert len({one.digest for one in found}) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published data is not here")
def test_the_published_sets() -> None:
    assert len(load_examples("sst2", SHARED).rows) == 872
    assert len(load_examples("cola", SHARED).rows) == 527 + 516


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sentence\tlabel\na\tb\tc\n", ("sst2_test.tsv:2", "3 cells")),
        ("sentence\tlabel\na\t2\n", ("a label is 0 to 1", "'2'", ", row 0")),
        ("sentence\tlabel\na\t-1\n", ("a label is 0 to 1", "hidden")),
        ("sentence\tlabel\n \t1\n", ("an example has a sentence",)),
        ("sentence\tlabel\n", ("at least one row",)),
        ("", ("at least one row",)),
        ("sentence;label\na;1\n", ("sst2_test.tsv:1", "a cell for every column")),
    ],
)
def test_wrong_tables(tmp_path: Path, content: str, told: tuple[str, ...]) -> None:
    (tmp_path / "sst2_test.tsv").write_text(content)
    with pytest.raises(TaskError) as caught:
        load_examples("sst2", tmp_path)
    assert all(text in str(caught.value) for text in told)


def test_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sst2_test.tsv").write_text("sentence\tlabel\n" + "\n" * 50 + "a\t1\n")
    assert len(load_examples("sst2", tmp_path).rows) == 1
    monkeypatch.setattr(examples, "MAX_VALUES", 50)
    with pytest.raises(TaskError, match="at most 50 values"):
        load_examples("sst2", tmp_path)


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    (tmp_path / "cola_in_domain_dev.tsv").write_text("a\t1\t\tb\n")
    with pytest.raises(TaskError) as caught:
        load_examples("cola", tmp_path)
    for text in ("cola_out_of_domain_dev.tsv", "nyu-mll/glue", "sentence and label", str(tmp_path)):
        assert text in str(caught.value)
    (tmp_path / "sst2_test.tsv").write_bytes(b"sentence\tlabel\n\xff\t1\n")
    with pytest.raises(TaskError, match="UTF-8"):
        load_examples("sst2", tmp_path)
    with pytest.raises(TaskError, match="no such folder"):
        load_examples("sst2", tmp_path / "nowhere")


def test_tasks_from_files(tmp_path: Path) -> None:
    path = tmp_path / "polite.jsonl"
    lines = [{"prompt": f"text {n}", "choices": [" no", " yes"], "answer": n % 2} for n in range(3)]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = load_examples(str(path))
    assert (found.task, found.labels, found.prompt) == ("polite", (" no", " yes"), None)
    assert found.rows == tuple(Example(f"text {n}", n % 2) for n in range(3))
    for wrong in ({"prompt": "a", "target": "b"}, {"prompt": "a", "choices": [" yes", " no"], "answer": 0}):
        path.write_text("\n".join(map(json.dumps, [*lines, wrong])))
        with pytest.raises(TaskError, match="the same choices"):
            load_examples(str(path))


@pytest.mark.parametrize("name", ["sst", "SST2", "nothing.jsonl"])
def test_unknown_tasks(name: str) -> None:
    with pytest.raises(MixmergeError) as caught:
        load_examples(name)
    assert name in str(caught.value)


def test_which_examples_are_taken() -> None:
    rows = tuple(Example(f"sentence {number}", number % 2) for number in range(200))

    def taken(given: tuple[Example, ...], limit: int | None, seed: int = 0) -> tuple[Example, ...]:
        return chosen(Examples("t", (" a", " b"), None, given, ()), limit, seed)

    assert taken(rows, None) == rows
    first = taken(rows, 30)
    assert len(first) == len(set(first)) == 30
    assert taken(tuple(reversed(rows)), 30) == first  # the text decides, not the place in the file
    assert taken(rows, 60)[:30] == first
    assert taken(rows, 30, seed=1) != first
    assert len(taken(rows, 1000)) == 200
    assert 5 <= sum(row.answer for row in first) <= 25


def test_prompts_of_the_tasks_can_be_attacked() -> None:
    from mixmerge.evaluation.attacks.words import attackable, template

    for task in TASKS.values():
        prompt = template(task.prompt)
        assert task.prompt.count("{content}") == 1
        words = [prompt.words[number].casefold() for number in attackable(prompt, task.labels)]
        assert len(words) >= 6
        assert not {label.strip() for label in task.labels} & set(words)


def test_without_a_folder_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from mixmerge.evaluation.suite.data import Source

    asked = []

    def from_hub(name: str, data: Any, problems: Any) -> Any:
        asked.append((name, data.hub, data.config, data.split))
        rows = [{"sentence": f"{text} ", "label": label, "idx": 0} for text, label in SENTENCES]
        return rows, Source("hub", data.hub, data.config, data.split, "c" * 40, len(rows), "")

    monkeypatch.setattr(examples, "from_hub", from_hub)
    found = load_examples("cola")
    assert asked == [("cola", "nyu-mll/glue", "cola", "validation")]
    assert found.rows == as_examples()
    assert found.sources[0].version == "c" * 40

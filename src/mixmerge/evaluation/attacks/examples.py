"""The labelled sentences an attack is scored on: SST-2, CoLA, or a JSONL file of choices; and which of them are taken.

Published text tables have neither quotes nor a common header, so they are read here; other formats and the hub as
everywhere in Mixmerge. Which examples are taken depends on a seed and their text alone, so every model is attacked on
the same ones, whatever file they came from. It knows files and sentences; it asks no model.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import xxhash

from mixmerge.errors import Problem, nearest
from mixmerge.evaluation.bounds import MAX_VALUES, values_of
from mixmerge.evaluation.loading import SUFFIX, load_task
from mixmerge.evaluation.problems import Problems, TaskError, shorten
from mixmerge.evaluation.suite._task import DataFile
from mixmerge.evaluation.suite.data import Source, digest, from_hub
from mixmerge.evaluation.suite.formats import MAX_BYTES, read_rows
from mixmerge.evaluation.tasks import ChoiceItem

SEED: Final = 0
"""Of the selection of examples, unless said otherwise."""

COLUMNS: Final = ("sentence", "label")
_COLA: Final = 4  # cells of a line of CoLA: source, label, the author's mark, sentence


@final
@dataclass(frozen=True, slots=True)
class Example:
    """content: stands in the prompt's placeholder. answer: index of its label."""

    content: str
    answer: int


@final
@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled texts. labels: as a model writes them, with the space before. prompt: the task's own, None: has none."""

    task: str
    labels: tuple[str, ...]
    prompt: str | None
    rows: tuple[Example, ...]
    sources: tuple[Source, ...]

    @property
    def digest(self) -> str:
        """xxh3-128 of labels and rows: equal digests, equal examples in equal order."""
        rows = [{"content": row.content, "label": self.labels[row.answer]} for row in self.rows]
        return digest([{"labels": list(self.labels)}, *rows])


@final
@dataclass(frozen=True, slots=True)
class Published:
    """A task everybody means the same by. folders: file sets accepted in the data folder, the usual one first."""

    labels: tuple[str, ...]
    prompt: str
    folders: tuple[tuple[str, ...], ...]
    hub: DataFile


TASKS: Final[Mapping[str, Published]] = {
    "sst2": Published(
        (" negative", " positive"),
        "Read the review and decide whether its sentiment is positive or negative.\n"
        "Review: {content}\nIs the sentiment positive or negative? Answer:",
        (("sst2_test.tsv",), ("SST-2/dev.tsv",), ("sst2.jsonl",), ("sst2.parquet",), ("sst2.csv",)),
        DataFile(
            "nyu-mll/glue", "sst2", "validation", ("sst2_test.tsv",), COLUMNS,
            "the development set of SST-2 in GLUE (gluebenchmark.com/tasks, or the dataset nyu-mll/glue of the hub)",
        ),
    ),
    "cola": Published(
        (" unacceptable", " acceptable"),
        "Read the sentence and decide whether its grammar is acceptable or unacceptable.\n"
        "Sentence: {content}\nIs the grammar acceptable or unacceptable? Answer:",
        (
            ("cola_in_domain_dev.tsv", "cola_out_of_domain_dev.tsv"), ("CoLA/dev.tsv",), ("cola.jsonl",),
            ("cola.parquet",), ("cola.csv",),
        ),
        DataFile(
            "nyu-mll/glue", "cola", "validation", ("cola_in_domain_dev.tsv",), COLUMNS,
            "both development sets of CoLA (nyu-mll.github.io/CoLA, or the dataset nyu-mll/glue of the hub)",
        ),
    ),
}  # fmt: skip
"""GLUE's validation sets, which PromptBench attacks; label 0 first."""


def load_examples(task: str, data_dir: Path | None = None) -> Examples:
    """All examples of a task. task: a name of `TASKS`, or a JSONL file of choices (docs/explore.md).

    In a file's items `prompt` is what stands in the placeholder, and all items have the same choices. data_dir: a
    folder of plain files for the named tasks; None: the hub. Raises TaskError with everything that is wrong.
    """
    if task in TASKS:
        return _published(task, TASKS[task], data_dir)
    if task.endswith(SUFFIX) or os.path.isfile(task):
        return _from_file(Path(task))
    cure = f"{nearest(task, TASKS)}; or name a file of items that ends in {SUFFIX}"
    raise TaskError(Problem("an attack's task is sst2, cola or a JSONL file", repr(task), "--task", cure))


def chosen(examples: Examples, limit: int | None, seed: int = SEED) -> tuple[Example, ...]:
    """At most `limit` examples, the same for the same seed and texts; None: all, in the order of the file.

    Those with the smallest xxh3-64 of (seed, text), in that order: a random selection without randomness to consume.
    """
    if limit is None:
        return examples.rows
    keyed = [
        (xxhash.xxh3_64_intdigest(f"{seed}\0{row.content}".encode()), number)
        for number, row in enumerate(examples.rows)
    ]
    return tuple(examples.rows[number] for _, number in heapq.nsmallest(limit, keyed))


def _published(name: str, task: Published, data_dir: Path | None) -> Examples:
    problems = Problems()
    parts: list[tuple[list[dict[str, Any]], Source]] = []
    if data_dir is None:
        found = from_hub(name, task.hub, problems)
        parts += [found] if found is not None else []
    else:
        for path in _files(name, task, data_dir, problems):
            rows = _table(path, problems) if path.suffix == ".tsv" else read_rows(path, COLUMNS, problems)
            source = Source("file", str(path), task.hub.config, task.hub.split, None, len(rows), digest(rows))
            parts.append((rows, source))
    examples = [
        _example(row, len(task.labels), f"{source.place}, row {number}", problems)
        for rows, source in parts
        for number, row in enumerate(rows)
    ]
    problems.raise_if_any()
    rows_ = tuple(one for one in examples if one is not None)
    return Examples(name, task.labels, task.prompt, rows_, tuple(source for _, source in parts))


def _files(name: str, task: Published, data_dir: Path, problems: Problems) -> Sequence[Path]:
    """The first set of files the folder has in full."""
    for names in task.folders:
        paths = [data_dir / file for file in names]
        if all(map(os.path.isfile, paths)):
            return paths
    sets = " or ".join(" with ".join(names) for names in task.folders)
    cure = f"{sets}; tables of {' and '.join(COLUMNS)}, as published: {task.hub.published}"
    found = f"no {' and no '.join(task.folders[0])}" if os.path.isdir(data_dir) else "no such folder"
    problems.add(f"the data folder holds the data of {name}", found, str(data_dir), cure)
    return ()


def _table(path: Path, problems: Problems) -> list[dict[str, Any]]:
    """Rows of a published table: cells between tabs, never quoted; with a header, or CoLA's four cells without one."""
    try:
        if path.stat().st_size > MAX_BYTES:
            problems.add(f"a data file has at most {MAX_BYTES} bytes", "more", str(path), "use a part of it")
            return []
        if values_of(path, b"\t\n") > MAX_VALUES:
            problems.add(f"a data file has at most {MAX_VALUES} values", "more", str(path), "use a part of it")
            return []
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except OSError as error:
        problems.add("a data file can be read", error.strerror or str(error), str(path), "check path and permissions")
        return []
    except UnicodeDecodeError as error:
        problems.add("a text table is UTF-8", f"byte {error.start} is not", str(path), "save it as UTF-8")
        return []
    header = lines[0].split("\t") if lines else []
    named = all(column in header for column in COLUMNS)
    columns = header if named else ["source", "label", "mark", "sentence"]
    places = {column: columns.index(column) for column in COLUMNS}
    rows = []
    for number, line in enumerate(lines[named:], 1 + named):
        cells = line.split("\t")
        if len(cells) == len(columns) and line.strip():
            rows.append({column: cells[place] for column, place in places.items()})
        elif line.strip():
            cure = f"a header with {' and '.join(COLUMNS)}, or {_COLA} cells a line as in CoLA"
            problems.add("a line has a cell for every column", f"{len(cells)} cells", f"{path}:{number}", cure)
    if not rows:
        problems.add("a data file has at least one row", "none", str(path), "check the file")
    return rows


def _example(row: Mapping[str, Any], labels: int, place: str, problems: Problems) -> Example | None:
    label, sentence = str(row["label"]).strip(), row["sentence"]
    if not isinstance(sentence, str) or not sentence.strip():
        problems.add("an example has a sentence", shorten(sentence), place, "remove the row")
        return None
    if label not in map(str, range(labels)):
        cure = "use the set whose labels are published: -1 stands for a hidden one"
        problems.add(f"a label is 0 to {labels - 1}", shorten(label), place, cure)
        return None
    return Example(sentence.strip(), int(label))


def _from_file(path: Path) -> Examples:
    items = load_task(path).items
    choices = [item for item in items if isinstance(item, ChoiceItem)]
    labels = choices[0].choices if choices else ()
    if len(choices) < len(items) or any(item.choices != labels for item in choices):
        rule = "every item of an attacked task has the same choices: they are the labels"
        cure = 'write {"prompt": the text, "choices": [" no", " yes"], "answer": index}, with the same choices'
        raise TaskError(Problem(rule, "items that differ, or have none", str(path), cure))
    rows = [{"content": item.prompt, "label": item.answer} for item in choices]
    source = Source("file", str(path), None, "all", None, len(rows), digest(rows))
    return Examples(
        path.name.removesuffix(SUFFIX), labels, None, tuple(Example(item.prompt, item.answer) for item in choices),
        (source,),
    )  # fmt: skip

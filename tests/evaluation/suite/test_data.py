"""Data of a suite: the same rows from any format, everything wrong told at once, sources recorded."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mixmerge.checkpoint.strict_json import parse_json
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.bounds import values_in
from mixmerge.evaluation.suite import DataFile, SuiteTask, formats
from mixmerge.evaluation.suite.data import load

ROWS = [
    {"question": "One\tand 1?", "answer": "#### 2"},
    {"question": 'He said "é",\nthen left.', "answer": "#### -1,000"},
]
ENDINGS = ("jsonl", "json", "parquet", "tsv", "csv")


def part(**changes: Any) -> DataFile:
    given = {
        "hub": "owner/set", "config": "main", "split": "test", "columns": ("question", "answer"),
        "names": tuple(f"rows.{ending}" for ending in ENDINGS), "published": "somewhere",
    }  # fmt: skip
    return DataFile(**(given | changes))


def task(*parts: DataFile, select: Callable[[Any], Any] = lambda rows: rows) -> SuiteTask:
    return SuiteTask(
        name="rows", summary="", data=parts or (part(),), select=select, instruction=lambda row: row["question"],
        max_tokens=1, score=lambda row, answer: 1.0, metric="m", metric_words="", version="1", citation="",
    )  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_rows_from_any_format(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"rows.{ending}", ROWS)
    found = load({"t": task()}, tmp_path)["t"]
    assert list(found.rows) == ROWS
    (source,) = found.sources
    assert (source.kind, source.place, source.rows, source.split) == ("file", str(path), 2, "test")
    assert source.digest == "3f4a4944e0e63900baeab27f4c101e6e"
    assert source.record()["digest"] == source.digest
    assert load({"t": task()}, tmp_path, limit=1)["t"].rows == (ROWS[0],)


def test_another_row_has_another_digest(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", ROWS)
    before = load({"t": task()}, tmp_path)["t"].sources[0].digest
    write(tmp_path / "rows.jsonl", ROWS[::-1])
    assert load({"t": task()}, tmp_path)["t"].sources[0].digest != before


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    wanted = {"m3_a": task(part(names=("a.jsonl", "a.tsv"))), "m3_b": task(part(names=("b.parquet",)))}
    with pytest.raises(TaskError) as told:
        load(wanted, tmp_path)
    first, second = told.value.problems
    assert (first.value, first.place) == ("no a.jsonl", str(tmp_path))
    assert first.cure == "put a.jsonl there (or .tsv), with columns question, answer; published: somewhere"
    assert second.rule == "the data folder holds the data of m3_b"
    with pytest.raises(TaskError, match="the data folder exists"):
        load(wanted, tmp_path / "nowhere")


def test_parts_in_one_file_or_in_several(tmp_path: Path) -> None:
    parts = tuple(part(config=name, names=("all.jsonl", f"all_{name}.jsonl")) for name in "xy")
    with pytest.raises(TaskError, match=r"put all.jsonl there, or each of all_x.jsonl, all_y.jsonl,"):
        load({"t": task(*parts)}, tmp_path)
    write(tmp_path / "all_x.jsonl", ROWS[:1])
    with pytest.raises(TaskError, match=r"or all_y.jsonl"):
        load({"t": task(*parts)}, tmp_path)
    write(tmp_path / "all_y.jsonl", ROWS[1:])
    assert list(load({"t": task(*parts)}, tmp_path)["t"].rows) == ROWS
    write(tmp_path / "all.jsonl", ROWS[:1])
    found = load({"t": task(*parts)}, tmp_path)["t"]
    assert (len(found.rows), len(found.sources)) == (1, 1)


BROKEN: list[tuple[str, bytes, str]] = [
    ("jsonl", b'{"question": "a", "answer": "b"}\n{"question": \n', r"rows.jsonl:2"),
    ("jsonl", b'{"question": "a"}\n', r"no answer among question.*(?s:.)*rows.jsonl:1"),
    ("jsonl", b'{"question": "a", "question": "b", "answer": ""}\n', r"given twice"),
    ("jsonl", b'{"question": "a", "answer": NaN}\n', r"NaN is not a JSON number"),
    ("jsonl", b"[1]\n", r"a row is an object"),
    ("jsonl", b"\xff\n", r"not UTF-8"),
    ("jsonl", b'{"question": "\\uD83D", "answer": "b"}\n', r"whole characters(?s:.)*ud83d(?s:.)*rows.jsonl:1"),
    ("json", b'[{"question": "a", "answer": "\\udc00"}]', r"whole characters"),
    ("jsonl", b"\n", r"at least one row"),
    ("json", b'{"question": "a"}', r"the file is a list"),
    ("json", b"[" * 100_000, r"nested too deeply"),
    ("parquet", b"PAR1 not really", r"the file is Parquet"),
    ("tsv", b"question\tanswer\na\tb\tc\n", r"3 and 2(?s:.)*rows.tsv:2"),
    ("tsv", b'question\tanswer\n"a\tb\n', r"cells quoted(?s:.)*rows.tsv:"),
    ("csv", b"question,reply\na,b\n", r"no answer among question, reply"),
    ("csv", b"question,answer\n\xff,b\n", r"UTF-8(?s:.)*xff' is not(?s:.)*rows.csv:1 or after"),
    ("csv", b"question,answer,answer\na,b,c\n", r"different names(?s:.)*'answer' twice(?s:.)*rows.csv:1"),
]


@pytest.mark.parametrize(("ending", "content", "told"), BROKEN)
def test_malformed_files_name_the_line(ending: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / f"rows.{ending}").write_bytes(content)
    with pytest.raises(TaskError, match=told):
        load({"t": task()}, tmp_path)


def test_pairs_of_halves_are_characters(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "\\ud83d\\ude00", "answer": "\\\\ud800"}\n', "utf-8")
    assert load({"t": task()}, tmp_path)["t"].rows == ({"question": "\U0001f600", "answer": "\\ud800"},)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    from pyarrow import parquet

    monkeypatch.setattr(formats, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(formats, "MAX_VALUES", 10_000)
    once = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 5_000, pyarrow.int32()), ["x" * 1_000])
    inside = pyarrow.ListArray.from_arrays(pyarrow.array([0, 50_000], pyarrow.int32()), pyarrow.nulls(50_000))
    for column in (once, once.dictionary_decode(), inside):
        path = tmp_path / "rows.parquet"
        parquet.write_table(pyarrow.table({"question": column, "answer": column}), path)
        assert path.stat().st_size < 10_000
        with pytest.raises(TaskError, match="at most 1000000 rows, 10000 values and 1000000 bytes, unpacked"):
            load({"t": task()}, tmp_path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_ROWS", 1)
    for ending in ENDINGS:
        path = write(tmp_path / f"rows.{ending}", ROWS)
        with pytest.raises(TaskError, match="at most 1 "):
            load({"t": task()}, tmp_path)
        path.unlink()
    monkeypatch.setattr(formats, "MAX_BYTES", 10)
    write(tmp_path / "rows.jsonl", ROWS[:1])
    with pytest.raises(TaskError, match="at most 10 bytes"):
        load({"t": task()}, tmp_path)


@pytest.mark.parametrize("ending", ["jsonl", "json", "tsv", "csv"])
def test_values_are_counted_before_they_are_made(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_VALUES", 50)
    path = write(tmp_path / f"rows.{ending}", ROWS)
    assert len(load({"t": task()}, tmp_path)["t"].rows) == 2
    write(path, ROWS * 20)
    with pytest.raises(TaskError, match=r"at most 50 values(?s:.)*up to"):
        load({"t": task()}, tmp_path)


def test_what_is_parsed_at_once_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_PIECE", 100)
    monkeypatch.setitem(formats._FORMATS, "json", replace(formats._FORMATS["json"], bytes=100))
    write(tmp_path / "rows.json", ROWS)
    with pytest.raises(TaskError, match=r"at most 100 bytes(?s:.)*one object a line into a .jsonl file"):
        load({"t": task()}, tmp_path)
    write(tmp_path / "rows.jsonl", [*ROWS, {**ROWS[0], "answer": "x" * 100}])
    with pytest.raises(TaskError, match=r"a line has at most 100 bytes(?s:.)*rows.jsonl:5"):
        load({"t": task()}, tmp_path)


HOSTILE = {
    "lists": "[" + "[]," * 50_000 + "0]",
    "objects": "[" + "{}," * 50_000 + "0]",
    "names": "[" + '{"":0},' * 50_000 + "0]",
    "new names": json.dumps([{f"{n:x}": n} for n in range(50_000)], separators=(",", ":")),
    "one object": json.dumps({f"{n:x}": "ab" for n in range(50_000)}, separators=(",", ":")),
    "numbers": "[" + "1e9," * 50_000 + "0]",
    "texts": "[" + '"ab",' * 50_000 + '""]',
    "an emoji among many": json.dumps(["\U0001f600" + "x" * 500_000], ensure_ascii=False),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_memory_is_bounded_by_values_and_characters(text: str) -> None:
    """What the limits promise: 150 bytes a value, and four of each character, decoded and again where it is kept."""
    data = text.encode()
    tracemalloc.start()
    try:
        parse_json(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 150 * values_in(data) + 8 * len(data) + 10_000


def test_rows_of_another_form_are_told(tmp_path: Path) -> None:
    def select(rows: list[Any]) -> list[Any]:
        raise ValueError("no #### in row 0")

    write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(TaskError, match="no #### in row 0"):
        load({"t": task(select=select)}, tmp_path)
    with pytest.raises(TaskError, match="none of 2"):
        load({"t": task(select=lambda rows: [])}, tmp_path)


def test_a_package_that_ships_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site" / "some_rows"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('its code is not run')")
    (folder / "data.json").write_text(json.dumps(ROWS))
    info = tmp_path / "site" / "some_rows-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-rows\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    shipped = part(package="some-rows", read=lambda place: json.loads((place / "data.json").read_text()))
    for data_dir in (None, tmp_path):
        (source,) = load({"t": task(shipped)}, data_dir)["t"].sources
        assert (source.kind, source.place, source.version, source.rows) == ("package", "some-rows", "1.2", 2)
    shutil.rmtree(info)  # a checkout that happens to be on the path
    assert load({"t": task(shipped)}, None)["t"].sources[0].version is None


class Hub:
    """Stands in for `datasets` and the hub's client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, version: str = "4.1.0", sha: str | None = "a" * 40) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.columns = ["question", "answer"]
        datasets = ModuleType("datasets")
        datasets.__version__ = version  # type: ignore[attr-defined]
        datasets.load_dataset = self.load_dataset  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", datasets)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(dataset_info=self.info))
        self.sha = sha

    def info(self, name: str, timeout: float) -> Any:
        if self.sha is None:
            raise ConnectionError("offline")
        return SimpleNamespace(sha=self.sha)

    def load_dataset(self, *names: Any, **named: Any) -> Any:
        self.asked.append((*names, named))
        if names[0] == "gone/set":
            raise FileNotFoundError("no such dataset")
        return SimpleNamespace(column_names=self.columns, to_list=lambda: [dict(row) for row in ROWS])


def test_the_hub_at_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    found = load({"t": task()}, None)["t"]
    assert hub.asked == [("owner/set", "main", {"split": "test", "revision": "a" * 40})]
    assert (found.sources[0].kind, found.sources[0].version, list(found.rows)) == ("hub", "a" * 40, ROWS)
    hub.columns = ["q", "answer"]
    with pytest.raises(TaskError, match="no question"):
        load({"t": task()}, None)


def test_a_cached_copy_has_no_commit_and_old_libraries_run_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, version="3.6.0", sha=None)
    assert load({"t": task()}, None)["t"].sources[0].version is None
    assert hub.asked[0][-1] == {"split": "test", "revision": None, "trust_remote_code": False}


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch)
    with pytest.raises(TaskError) as told:
        load({"m3_t": task(part(hub="gone/set")), "m3_u": task(part(hub="gone/set"))}, None)
    assert [problem.place for problem in told.value.problems] == ["dataset gone/set"] * 2
    assert "--data-dir DIR and put rows.jsonl there" in told.value.problems[0].cure


def test_a_hub_that_does_not_answer_for_a_task_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch)
    parts = tuple(part(config=name, hub="gone/set", names=("all.jsonl", f"all_{name}.jsonl")) for name in "xy")
    with pytest.raises(TaskError) as told:
        load({"t": task(*parts)}, None)
    (problem,) = told.value.problems
    assert "put all.jsonl there, or each of all_x.jsonl, all_y.jsonl," in problem.cure

"""A merge that is killed or stopped leaves nothing that looks finished and can be resumed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.conftest import Family
from engine.interrupting import StopError, recipes, state
from mixmerge import api
from mixmerge.checkpoint import CheckpointWriter
from mixmerge.engine import Engine, PassStarted, Restarted, TensorDone
from mixmerge.engine.journal import JOURNAL, read_journal
from mixmerge.engine.statistics import Statistics, TensorStatistics, from_json, to_json
from mixmerge.errors import InterruptedMergeError, NonFiniteError, OutputError
from mixmerge.recipe import canonical
from support import models
from support.merging import Recorder, recipe_of

HERE = Path(__file__).parent


AT: dict[str, list[tuple[str, int]]] = {
    "paper": [("event", 1), ("event", 3), ("event", 9), ("event", 14), ("write", 3), ("small", 2), ("publish", 1)],
    "mergekit": [("event", 2), ("event", 12), ("event", 16), ("event", 22), ("write", 1), ("write", 6), ("small", 3)],
    "linear": [("event", 2), ("event", 4), ("write", 7), ("published", 1)],
}


@pytest.fixture(scope="module")
def killed(
    families: dict[str, Family], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Iterator[tuple[Any, ...]]]:
    """Every killed merge: its recipe, place of death and folder."""
    root = tmp_path_factory.mktemp("killed")
    orders: list[tuple[str, tuple[str, int], Path]] = []
    for name, places in AT.items():
        orders += [(name, at, root / f"{name}-{at[0]}-{at[1]}") for at in places]
    named = recipes(families["bf16"])
    content = [{"recipe": canonical(named[name]), "out": str(out), "at": at} for name, at, out in orders]
    (root / "orders.json").write_text(json.dumps({"orders": content}))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "crash_driver.py"), str(root / "orders.json")],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[:-1] == ["killed"] * len(orders), done.stdout + done.stderr
    return lambda: iter(orders)


def test_kill_nine_anywhere(
    killed: Callable[[], Iterator[tuple[str, tuple[str, int], Path]]], families: dict[str, Family], tmp_path: Path
) -> None:
    named = recipes(families["bf16"])
    whole = {}
    for name, recipe in named.items():
        api.merge(recipe, tmp_path / name)
        whole[name] = state(tmp_path / name)
    for name, at, out in killed():
        if at[0] == "published":
            assert state(out) == whole[name], "it had been finished"
            continue
        assert not out.exists(), (name, at)
        assert out.with_name(out.name + ".partial").is_dir()
        with pytest.raises(OutputError, match="--resume"):
            api.merge(named[name], out)
        api.merge(named[name], out, resume=True, threads=2)
        assert state(out) == whole[name], (name, at)
        assert not out.with_name(out.name + ".partial").exists()


@pytest.mark.parametrize("name", ["mergekit", "paper"])
def test_what_is_there_is_not_merged_again(name: str, stopped: Any) -> None:
    recipe, out, partial, whole = stopped(name)
    found = read_journal(partial)
    assert found is not None
    heard = Recorder()
    api.merge(recipe, out, resume=True, listeners=[heard])
    names = {event.name for event in heard.of(TensorDone)}
    assert not names & found.done.keys()
    assert len(names) + len(found.done) == 7
    assert [event.name for event in heard.of(PassStarted)] == ["merging"], "statistics are in the journal"
    assert state(out) == whole


@pytest.mark.parametrize("name", ["mergekit", "linear"])
def test_bytes_that_are_not_what_the_journal_says_are_written_again(name: str, stopped: Any) -> None:
    recipe, out, partial, whole = stopped(name)
    found = read_journal(partial)
    assert found is not None
    first = next(iter(found.done))
    file = partial / "model.safetensors"
    data = bytearray(file.read_bytes())
    length = int.from_bytes(data[:8], "little")
    begin, _ = json.loads(data[8 : 8 + length])[first]["data_offsets"]
    data[8 + length + begin] ^= 0xFF
    file.write_bytes(data)
    heard = Recorder()
    api.merge(recipe, out, resume=True, listeners=[heard])
    assert first in {event.name for event in heard.of(TensorDone)}
    assert state(out) == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-7],
        lambda data: data + b'{"done": "lm_head.we',
        lambda data: data + b"\0\xff\xfe\n",
        lambda data: data + b"[1, 2]\n\n\n",
        lambda data: b"",
        lambda data: data[:20],
        lambda data: b"{}\n" + data,
        lambda data: data.replace(b'"statistics"', b'"statisti"'),
    ],
    ids=["torn", "begun", "binary", "other", "empty", "no-identity", "not-first", "no-statistics"],
)
@pytest.mark.parametrize("name", ["mergekit", "paper"])
def test_a_damaged_journal_costs_work_only(name: str, damage: Callable[[bytes], bytes], stopped: Any) -> None:
    recipe, out, partial, whole = stopped(name)
    journal = partial / JOURNAL
    journal.write_bytes(damage(journal.read_bytes()))
    api.merge(recipe, out, resume=True)
    assert state(out) == whole


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _scrawled(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:9] + b"?" + data[10:])


@pytest.mark.parametrize(
    "damage", [Path.unlink, _cut, _scrawled, lambda path: path.write_bytes(b"")], ids=["gone", "cut", "header", "empty"]
)
def test_damaged_files_are_begun_afresh_and_that_is_told(damage: Callable[[Path], Any], stopped: Any) -> None:
    recipe, out, partial, whole = stopped()
    damage(partial / "model.safetensors")
    heard = Recorder()
    api.merge(recipe, out, resume=True, listeners=[heard])
    [told] = heard.of(Restarted)
    assert str(partial / "model.safetensors") in told.reason
    assert len(heard.of(TensorDone)) == 7, "all of it is merged again"
    assert state(out) == whole


def test_a_lost_journal_is_told(stopped: Any) -> None:
    recipe, out, partial, whole = stopped()
    (partial / JOURNAL).unlink()
    heard = Recorder()
    api.merge(recipe, out, resume=True, listeners=[heard])
    assert [JOURNAL in event.reason for event in heard.of(Restarted)] == [True]
    assert state(out) == whole


@pytest.mark.parametrize("line", ['{"statistics": 3}', '{"done": "x"}', '{"done": "x", "output": "", "inputs": 1}'])
def test_a_journal_of_strange_lines_costs_work_only(line: str, stopped: Any) -> None:
    recipe, out, partial, whole = stopped()
    with (partial / JOURNAL).open("a") as journal:
        journal.write(line + "\n")
    api.merge(recipe, out, resume=True)
    assert state(out) == whole


def test_folders_made_for_a_refused_output_go_again(families: dict[str, Family], tmp_path: Path) -> None:
    """Only the empty ones, and only those made for it."""
    family = families["bf16"]
    bad = shutil.copytree(family.sources[1], tmp_path / "bad")
    for file in bad.glob("*.safetensors"):
        data = file.read_bytes()
        file.write_bytes(data[:-2] + b"\xc0\x7f")  # a NaN
    (tmp_path / "there").mkdir()
    recipe = recipe_of("linear", [family.sources[0], bad], dialect="paper")
    for out in (tmp_path / "there" / "a" / "b" / "out", tmp_path / "there" / "out"):
        with pytest.raises(NonFiniteError):
            api.merge(recipe, out)
        assert list((tmp_path / "there").iterdir()) == []
    near = tmp_path / "there" / "a"

    def meanwhile(_: object) -> None:
        (near / "diary.txt").write_text("somebody else's")

    with pytest.raises(NonFiniteError):
        api.merge(recipe, near / "b" / "out", listeners=[meanwhile])
    assert [path.name for path in near.iterdir()] == ["diary.txt"]


def test_twice_interrupted(stopped: Any) -> None:
    recipe, out, _, whole = stopped("mergekit", 2)

    def stop(event: object) -> None:
        if isinstance(event, TensorDone):
            raise StopError

    for _ in range(2):
        with pytest.raises(StopError):
            api.merge(recipe, out, resume=True, threads=1, listeners=[stop])
    api.merge(recipe, out, resume=True)
    assert state(out) == whole


def test_resuming_what_was_never_begun(families: dict[str, Family], tmp_path: Path) -> None:
    recipe = recipes(families["bf16"])["linear"]
    api.merge(recipe, tmp_path / "a")
    api.merge(recipe, tmp_path / "b", resume=True)
    assert state(tmp_path / "a") == state(tmp_path / "b")


def _touched(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("weights", "they have changed: files of the models\n"),
        ("time", "they have changed: files of the models\n"),
        ("recipe", "they have changed: the recipe\n"),
        ("shards", "fix:   say the --shard-size it began with"),
    ],
)
def test_a_merge_is_resumed_with_what_it_began_with(change: str, told: str, stopped: Any, tmp_path: Path) -> None:
    recipe, out, partial, _ = stopped()
    before = models.digest_tree(partial)
    options: dict[str, Any] = {}
    weights = sorted((tmp_path / "model-1").glob("*.safetensors"))[0]
    if change == "weights":
        weights.write_bytes(weights.read_bytes()[:-2] + b"\1\1")
    elif change == "time":
        _touched(weights)
    elif change == "recipe":
        from dataclasses import replace

        recipe = replace(recipe, seed=77)
    else:
        options["shard_size"] = 2000
    with pytest.raises(InterruptedMergeError, match=told):
        api.merge(recipe, out, resume=True, **options)
    assert models.digest_tree(partial) == before, "the work of hours is not thrown away"
    assert not out.exists()
    api.merge(recipe, out, overwrite=True, **options)
    assert out.is_dir()
    assert not partial.exists()


def test_threads_and_memory_may_change_on_the_way(stopped: Any) -> None:
    recipe, out, _, whole = stopped()
    api.merge(recipe, out, resume=True, threads=3, memory=400 * 2**20)
    assert state(out) == whole


def test_a_model_that_is_overwritten_stays_until_the_new_one_is_whole(
    families: dict[str, Family], tmp_path: Path
) -> None:
    named = recipes(families["bf16"])
    out = tmp_path / "out"
    api.merge(named["linear"], out)
    old = models.tree_bytes(out)

    def stop(event: object) -> None:
        if isinstance(event, TensorDone):
            raise StopError

    with pytest.raises(StopError):
        api.merge(named["mergekit"], out, overwrite=True, listeners=[stop])
    assert models.tree_bytes(out) == old
    with pytest.raises(OutputError, match="is a new one"):
        api.merge(named["mergekit"], out, resume=True)
    api.merge(named["mergekit"], out, resume=True, overwrite=True)
    api.merge(named["mergekit"], tmp_path / "whole")
    assert state(out) == state(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_what_may_not_be_overwritten_is_told_first(families: dict[str, Family], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "diary.txt").write_text("precious")
    heard = Recorder()
    with pytest.raises(OutputError, match="must be a model or empty"):
        api.merge(recipes(families["bf16"])["linear"], tmp_path / "out", overwrite=True, listeners=[heard])
    assert (tmp_path / "out" / "diary.txt").read_text() == "precious"
    assert not heard.events
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(("restarts", "again"), [(0, 7 + 4), (1, 4)], ids=["guessed", "counted"])
def test_killed_where_the_guess_is_wrong(
    restarts: int, again: int, families: dict[str, Family], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The majority sign was guessed wrong, and the process ends in the first pass or the second, three tensors in."""
    recipe = recipes(families["bf16"])["paper"]
    api.merge(recipe, tmp_path / "whole")
    measured = Engine.measure

    def wrong(self: Engine, plan: Any) -> Statistics:
        found = measured(self, plan)
        return replace(found, majority=-found.majority)

    monkeypatch.setattr(Engine, "measure", wrong)
    done = [0, 0]

    def stop(event: object) -> None:
        if isinstance(event, Restarted):
            done[1] = 0
            done[0] += 1
        done[1] += isinstance(event, TensorDone)
        if done == [restarts, 3]:
            raise StopError

    with pytest.raises(StopError):
        api.merge(recipe, tmp_path / "out", threads=1, listeners=[stop])
    journal = read_journal(tmp_path / "out.partial")
    assert journal is not None
    assert len(journal.done) == 3, "of another pass nothing is remembered"
    heard = Recorder()
    api.merge(recipe, tmp_path / "out", resume=True, listeners=[heard])
    assert len(heard.of(TensorDone)) == again
    assert state(tmp_path / "out") == state(tmp_path / "whole")


def test_statistics_survive_the_journal() -> None:
    own = TensorStatistics((0.1, float("inf")), (3, 2**62), (-1.0, 1e-45), (1 / 3, 2.5))
    for statistics in (
        Statistics({"w": own, "v": TensorStatistics()}, (0.1, 5e-324), -1, False),
        Statistics({}, None, 0, True),
    ):
        assert from_json(json.loads(json.dumps(to_json(statistics)))) == statistics


def test_the_first_error_of_any_thread_ends_the_run(families: dict[str, Family], tmp_path: Path) -> None:
    calls = []

    def fail(event: object) -> None:
        calls.append(event)
        if len(calls) == 3:
            raise RuntimeError("a listener's own")

    with pytest.raises(RuntimeError, match="a listener's own"):
        api.merge(recipes(families["smooth"])["linear"], tmp_path / "out", threads=3, listeners=[fail])
    assert not (tmp_path / "out").exists()
    assert len(calls) < 10


def test_the_writer_is_not_asked_for_more_than_the_plan_says(large: Family, tmp_path: Path) -> None:
    """Every element of every tensor is written once."""
    counts: dict[str, np.ndarray] = {}
    write = CheckpointWriter.write

    def counted(self: CheckpointWriter, name: str, first: int, data: np.ndarray) -> None:
        shape = self._spans[name]
        seen = counts.setdefault(name, np.zeros(shape.count, np.int64))
        seen[first : first + data.size // shape.dtype.itemsize] += 1
        write(self, name, first, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointWriter, "write", counted)
        api.merge(recipes(large)["mergekit"], tmp_path / "out", threads=2)
    assert {name: values.size for name, values in counts.items()} == {n: v.size for n, v in large.values[0].items()}
    assert all((values == 1).all() for values in counts.values())

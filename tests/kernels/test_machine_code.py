"""Compiled loops as stored machine code: the same answers without Numba, and what happens where nothing can be kept."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixmerge
from kernels.test_kernels_equal_definition import lowered, raw_rows, scratch
from mixmerge.kernels import LANES, RULES, TILE, _compiled, _loop, _store
from mixmerge.kernels._compile import compiled
from mixmerge.kernels._compiled import OverRows
from mixmerge.kernels._loop import Loop, taken_apart

Cache = Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty place for compiled loops."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Pair(NamedTuple):
    """A tuple as loops are told."""

    left: np.ndarray
    factor: np.float32


def twice(number):  # type: ignore[no-untyped-def]
    return 2 * number


def weighed(rows, count, pair, key, bits):  # type: ignore[no-untyped-def]
    """A number that depends on every argument, and on both dimensions of the array that has two."""
    total = np.int64(count) * 3 + np.int64(key & np.uint64(0xFFFF)) * 5 + np.int64(bits) * 7
    total += np.int64(pair.factor * np.float32(2)) * 11
    for k in range(len(pair.left)):
        total += pair.left[k] * (k + 13)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            total += rows[i, j] * (i * 17 + j + 1)
    return total


def weighed_in_python(rows: np.ndarray, count: int, pair: Pair, key: int, bits: int) -> int:
    total = count * 3 + (key & 0xFFFF) * 5 + bits * 7 + int(pair.factor * 2) * 11
    total += sum(int(value) * (k + 13) for k, value in enumerate(pair.left))
    return total + sum(int(value) * (i * 17 + j + 1) for (i, j), value in np.ndenumerate(rows))


def doubled_in_place(values):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        values[i] = values[i] * 2


def halved(number):  # type: ignore[no-untyped-def]
    return number / 2


def allocated(count):  # type: ignore[no-untyped-def]
    return np.int64(np.ones(count, np.int64).sum())


def files(cache: Cache) -> list[Path]:
    return sorted(cache.rglob("*.code"))


def kernels() -> dict[str, OverRows]:
    """Those that choose among loops."""
    named = {name: kernel for name, kernel in vars(_compiled).items() if isinstance(kernel, OverRows)}
    return named | {f"merge_block_{rule}": kernel for rule, kernel in _compiled.MERGE_BLOCK.items()}


def loops() -> dict[str, Loop]:
    """All that the package calls."""
    alone = {name: loop for name, loop in vars(_compiled).items() if isinstance(loop, Loop)}
    chosen = [loop for kernel in kernels().values() for loop in (*kernel.loops.values(), *kernel.pairs.values())]
    return alone | {loop.name: loop for loop in chosen}


SORTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dared": {"dare": 1},
    "drawn": {"sparse": 2},
}


def called_for_nothing() -> None:
    """Every loop once, over no elements or the fewest it takes; those of the rules for one kind of tensor each."""
    low, raw = lowered([2, 1, 2]), raw_rows(np.random.default_rng(0), [2, 1, 2], 8, odd=False)
    bits, counts = np.zeros((2, 1), np.uint32), np.zeros((2, 1), np.int64)
    windows, tables = np.zeros((2, 3), np.uint32), np.zeros((2, 256), np.int64)
    for rule, kind in zip(RULES, itertools.cycle(SORTS)):
        asked = low._replace(**SORTS[kind])
        _compiled.MERGE_BLOCK[rule](raw, 0, 0, asked, np.zeros(16, np.uint8), *scratch(2))
    for name, sort in SORTS.items():
        asked = low._replace(**sort)
        _compiled.l1_block(raw, 0, 0, asked, np.zeros((2, 1, 2)), np.zeros(LANES), *scratch(2))
        if name == "drawn":
            continue
        _compiled.histogram_block(raw, 0, 0, asked, 2, windows, counts[:, 0].copy(), tables, *scratch(2))
        _compiled.survey_block(raw, 0, 0, asked, windows, counts[:, 0].copy(), tables, *scratch(2))
        _compiled.equal_block(raw, 0, 0, asked, low.limits, counts, *scratch(2))
        _compiled.equal_place(raw, 0, 0, asked, np.float32(0.5), 1, 1, *scratch(2))
        pair = asked._replace(codes=np.array([2, 2, 2]))
        _compiled.survey_block(raw, 0, 0, pair, windows, counts[:, 0].copy(), tables, *scratch(2))
        for rule, changes in PAIRS.items():
            one = pair._replace(**changes)
            if rule == "sum" and name == "plain":
                one = one._replace(codes=np.array([2, 2, -1]))
            for settled in (0, 1):
                out = np.zeros(16, np.uint8)
                _compiled.MERGE_BLOCK[rule](raw, 0, 0, one._replace(settled=settled), out, *scratch(2))
    _compiled.settle_block(raw, 0, 0, low._replace(dare=1), bits, *scratch(2))
    _compiled.stay_block(low.keys[0], 0, 0, np.uint64(0), bits[0], scratch(2)[1])
    floats = np.zeros(8, np.float32)
    _compiled.add_low_rank(
        floats, 0, floats.reshape(4, 2), floats.reshape(2, 4), np.float32(1), np.zeros(TILE, np.float32)
    )


PAIRS: dict[str, dict[str, Any]] = {"sum": {"delta": 0}, "delta_sum": {}, "elect_mix_pair": {"sparse": 1}}


def test_every_loop_is_kept_as_machine_code() -> None:
    """None is left to Numba's own calls and cache, which would cost every merge the import of it."""
    called_for_nothing()
    called = {name: loop for name, loop in loops().items() if loop._calls}
    others = {name for name in loops() if name not in called}
    assert all(name.startswith("merge_block_") for name in others), "one kind a rule is enough"
    assert len(loops()) - len(others) >= 2 + len(RULES) + 7 + 10 + 1 + 3
    for name, loop in called.items():
        assert loop.ready, name
        assert _store.any_kept(loop.name), name
        assert all(call.__qualname__.startswith("_native") for call in loop._calls.values()), name
        assert _loop._UNKNOWN not in {item for form in loop._calls for item in form}, name


def test_every_loop_has_a_function_of_its_name() -> None:
    """What is compiled for it, some day."""
    for name, loop in loops().items():
        assert loop._find().py_func.__name__ == name
    assert len(loops()) == 2 + (3 * len(RULES) + 7) + (4 * 2 + 2) + 1 + 3


@pytest.mark.parametrize(
    ("changes", "count", "name"),
    [
        ({}, 8, "merge_pair_elect_mix_pair_plain"),
        ({"dare": 1}, 8, "merge_pair_elect_mix_pair_dared"),
        ({"dare": 1, "settled": 1}, 8, "merge_pair_elect_mix_pair_settled"),
        ({}, 7, "merge_block_elect_mix_pair_plain"),
        ({"majority": np.float32(0)}, 8, "merge_block_elect_mix_pair_plain"),
        ({"codes": np.array([2, 1, 2])}, 8, "merge_block_elect_mix_pair_plain"),
        ({"out_code": 0}, 8, "merge_block_elect_mix_pair_plain"),
        ({"dare": 2}, 8, "merge_block_elect_mix_pair_dared"),
    ],
)
def test_a_merge_compiles_one_loop(changes: dict[str, Any], count: int, name: str) -> None:
    """The one for its tensors: compiling takes seconds each, and all of them a minute and more."""
    kernel = _compiled.MERGE_BLOCK["elect_mix_pair"]
    low, raw = lowered([2, 2, 2], sparse=1)._replace(**changes), np.zeros((3, 64), np.uint8)
    loop, _ = kernel.chosen(raw, 0, count, low, np.zeros(64, np.uint8), *scratch(2))
    assert loop.name == name


def test_what_is_made_ready_merges_nothing(cache: Cache) -> None:
    low, raw = lowered([2, 2, -1], delta=0, out_code=2), np.full((2, 64), 0x7F, np.uint8)
    out, rest = np.zeros(64, np.uint8), scratch(2)
    call = (_compiled.Merging("sum", ("plain",)), raw, 0, 8, low, out, *rest)
    assert not _compiled.ready(*call)
    _compiled.make_ready(*call)
    assert _compiled.ready(*call)
    assert not out.any()
    assert not rest[2].any()
    assert [file.name.split("-")[0] for file in files(cache)] == ["merge_pair_sum_plain"]


MERGING = """
import sys
from mixmerge.cli import run
status = run(sys.argv[1:])
print("loaded:", *(name for name in ("numba", "scipy", "torch", "transformers") if name in sys.modules))
sys.exit(status)
"""


@pytest.mark.parametrize("options", [["linear"], ["ties"], ["ties", "--dare", "0.2"]], ids=" ".join)
def test_a_merge_after_the_first_does_not_import_numba(options: list[str], tmp_path: Path) -> None:
    """It takes most of a second, longer than merging a small model does."""
    zoo = Path(mixmerge.__file__).parent / "zoo"
    base = [] if options == ["linear"] else ["--base", str(zoo / "base")]
    for place in ("first", "second"):
        words = ["merge", "--method", *options, *base, str(zoo / "adder"), str(zoo / "sorter"), "--ratio", "0.5"]
        done = subprocess.run(
            [sys.executable, "-c", MERGING, *words, "-o", str(tmp_path / place)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded:\n"), done.stdout


numbers = st.integers(-(2**31), 2**31)


@given(
    rows=st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=0, max_size=4),
    left=st.lists(numbers, max_size=5),
    count=numbers,
    factor=st.integers(-1000, 1000),
    key=st.integers(0, 2**64 - 1),
    bits=st.integers(0, 2**32 - 1),
)
def test_arguments_arrive_as_they_are(
    rows: list[list[int]], left: list[int], count: int, factor: int, key: int, bits: int
) -> None:
    pair = Pair(np.array(left, np.int64), np.float32(factor))
    table = np.array(rows, np.int64).reshape(len(rows), 3)
    expected = weighed_in_python(table, count, pair, key, bits)
    assert WEIGHED(table, count, pair, np.uint64(key), np.uint32(bits)) == expected


WEIGHED = Loop("weighed", lambda: compiled(weighed))


def test_stored_code_gives_what_numba_gave(cache: Cache) -> None:
    arguments = np.arange(6).reshape(2, 3), 4, Pair(np.arange(3), np.float32(1.5)), np.uint64(7), np.uint32(8)
    first = Loop("weighed", lambda: compiled(weighed))
    assert not first.ready
    found = first(*arguments)
    assert first.ready
    again = Loop("weighed", lambda: pytest.fail("it was compiled again"))
    assert again.ready
    assert again(*arguments) == found == weighed_in_python(*arguments)  # type: ignore[arg-type]
    assert len(files(cache)) == 1


def test_a_loop_without_a_result(cache: Cache) -> None:
    values = np.arange(4, dtype=np.float32)
    assert Loop("doubled", lambda: compiled(doubled_in_place))(values) is None
    assert values.tolist() == [0, 2, 4, 6]
    assert len(files(cache)) == 1


DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "no digest": lambda data: b"\n" + data,
    "no text": lambda data: b"\xff\xfe\n\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_not_run_but_made_again(cache: Cache, damage: str) -> None:
    assert Loop("twice", lambda: compiled(twice))(21) == 42
    (file,) = files(cache)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    assert Loop("twice", lambda: compiled(twice))(21) == 42
    assert json.loads(file.read_bytes().split(b"\n")[1])[1] == "int64"


def test_a_place_that_cannot_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a read-only container: compiled in every process."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    loop = Loop("twice", lambda: compiled(twice))
    assert not loop.ready
    assert loop(21) == 42
    assert loop.ready


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        (halved, 3, 1.5),
        (allocated, 5, 5),
        (doubled_in_place, np.zeros((4, 2), np.float32)[:, 0], None),
        (twice, np.float64(1.5), 3.0),
    ],
    ids=["another result", "its own memory", "an array with gaps", "another number"],
)
def test_what_cannot_be_kept_is_called_by_numba(cache: Cache, function: Any, argument: Any, expected: Any) -> None:
    assert Loop("odd", lambda: compiled(function))(argument) == expected
    assert not files(cache)


@pytest.mark.parametrize("error", [RuntimeError("LLVM IR parsing error"), AttributeError("fndesc")], ids=repr)
@pytest.mark.parametrize("where", ["_compile.emitted", "_store.address_of"])
def test_where_llvm_or_another_numba_refuses_numba_calls(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(f"mixmerge.kernels.{where}", refuse)
    loop = Loop("twice", lambda: compiled(twice))
    assert [loop(21), loop(4)] == [42, 8]


def test_threads_that_come_first_together_compile_once(cache: Cache) -> None:
    made = []

    def find() -> Any:
        made.append(1)
        return compiled(twice)

    loop = Loop("twice", find)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(loop, range(64))) == [2 * i for i in range(64)]
    assert made == [1]
    assert len(files(cache)) == 1


COMING = """
from mixmerge.kernels._compile import compiled
from mixmerge.kernels._loop import Loop
made = []
def twice(number):
    return 2 * number
def find():
    made.append(1)
    return compiled(twice)
assert Loop("twice", find)(21) == 42
print(len(made))
"""


def test_processes_that_come_first_together_compile_once(cache: Cache) -> None:
    """As the workers of a study do: the others wait, and take what the first one keeps."""
    command = [sys.executable, "-c", COMING]
    coming = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=100)[0] for process in coming]
    assert sorted(told) == ["0\n", "0\n", "1\n"]
    assert len(files(cache)) == 1


def test_nobody_waits_for_ever(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be stopped in the middle of it."""
    monkeypatch.setattr(_store, "_PATIENCE", 0.01)
    loop = Loop("twice", lambda: compiled(twice))
    with _store.turn("twice", str(taken_apart((21,))[0])):
        assert loop(21) == 42
    assert len(files(cache)) == 1


def test_a_tuple_is_taken_apart_anew_where_it_is_another() -> None:
    """The same one is not, in all calls for the blocks of a tensor."""
    one, other = Pair(np.arange(3), np.float32(1)), Pair(np.arange(4), np.float32(2))
    for pair in (one, other, one, other, other):
        form, words = taken_apart((pair, 5))
        assert words[2] == len(pair.left)
        assert words[-2:] == [pair.factor, 5]
        assert form[:2] == ("Pair", 2)


@pytest.mark.parametrize(
    ("variable", "value", "same"),
    [("NUMBA_OPT", "1", False), ("NUMBA_CPU_NAME", "generic", False), ("NUMBA_NUM_THREADS", "1", True)],
)
def test_the_folder_is_another_for_other_settings(variable: str, value: str, same: bool) -> None:
    program = "from mixmerge.kernels._store import cache_folder; print(cache_folder())"
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **more}
        ).stdout
        for more in ({}, {variable: value})
    }
    assert (len(seen) == 1) is same


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_folder_is_named_after_the_text_of_the_kernels(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: a kernel that was edited or upgraded never meets old machine code."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    seen = []
    for text in ("a = 1\n", "a = 2\n"):
        texts = tmp_path / f"kernels{len(seen)}"
        texts.mkdir()
        (texts / "_rules.py").write_text(text)
        monkeypatch.setattr(_store, "__file__", str(texts / "_store.py"))
        seen.append(_store.cache_folder())
        assert seen[-1] == _store.cache_folder()
        assert seen[-1].is_relative_to(tmp_path / "cache")
    assert seen[0] != seen[1]

"""Checkpoints written: lay-out, any order from any thread, interruptions, and publishing."""

from __future__ import annotations

import errno
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from mixmerge import fileio
from mixmerge.checkpoint import (
    DTYPES,
    CheckpointWriter,
    ShardLayout,
    TensorSpec,
    lay_out,
    open_checkpoint,
    partial_folder,
    publish,
    writer,
)
from mixmerge.checkpoint.header import format_header
from mixmerge.errors import OutputError

F32, BF16, U8 = DTYPES["F32"], DTYPES["BF16"], DTYPES["U8"]

SPECS = [TensorSpec(f"layer.{i}.weight", BF16, (30, 7 + i)) for i in range(6)]


def contents(spec: TensorSpec) -> np.ndarray:
    """Bytes that differ from tensor to tensor."""
    return np.random.default_rng(sum(spec.name.encode())).integers(0, 256, spec.nbytes, dtype=np.uint8)


def write(folder: Path, layouts: tuple[ShardLayout, ...]) -> Path:
    with CheckpointWriter(folder, layouts) as writer:
        for layout in layouts:
            for span in layout.spans:
                writer.write(span.name, 0, contents(TensorSpec(span.name, span.dtype, span.shape)))
        writer.finish()
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (3, 4)], ids=str)
def test_what_we_write_safetensors_reads(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    spec = TensorSpec("t", dtype, shape)
    odd = TensorSpec("odd", U8, (3,))
    layouts = lay_out([odd, spec], 10**9)
    raw = contents(spec) % 2 if dtype.name == "BOOL" else contents(spec)
    with CheckpointWriter(tmp_path, layouts) as writer:
        writer.write("t", 0, raw)
        writer.write("odd", 0, contents(odd))
        writer.finish()
    theirs = load_file(tmp_path / "model.safetensors")["t"]
    assert (str(theirs.dtype), tuple(theirs.shape)) == (f"torch.{dtype.torch_name}", shape)
    assert theirs.reshape(-1).view(torch.uint8).numpy().tobytes() == raw.tobytes()


def test_one_file_has_no_index_and_its_layout_is_the_file(tmp_path: Path) -> None:
    (layout,) = lay_out(SPECS, 10**9)
    write(tmp_path, (layout,))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    data = (tmp_path / "model.safetensors").read_bytes()
    assert len(data) == layout.size
    assert data.startswith(layout.header)
    assert [span.name for span in layout.spans] == [spec.name for spec in SPECS]
    assert [span.file for span in layout.spans] == [Path("model.safetensors")] * 6


def test_shards_have_an_index_that_transformers_knows(tmp_path: Path) -> None:
    layouts = lay_out(SPECS, 1000)
    write(tmp_path, layouts)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(spec.nbytes for spec in SPECS)
    assert index["weight_map"] == {span.name: layout.file for layout in layouts for span in layout.spans}
    assert layouts[0].file == f"model-00001-of-{len(layouts):05d}.safetensors"
    checkpoint = open_checkpoint(tmp_path, "a")
    assert {n: (s.dtype, s.shape) for n, s in checkpoint.tensors.items()} == {s.name: (s.dtype, s.shape) for s in SPECS}


def test_nothing_to_write_is_one_empty_file(tmp_path: Path) -> None:
    write(tmp_path, lay_out([], 100))
    assert load_file(tmp_path / "model.safetensors") == {}


LIST = st.lists(st.tuples(st.sampled_from([F32, BF16, U8]), st.integers(0, 40)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(LIST, st.integers(1, 100))
def test_a_layout_keeps_every_tensor_in_order_aligned_and_within_the_size(
    rows: list[tuple[Any, int]], shard_size: int
) -> None:
    specs = [TensorSpec(f"t{i}", dtype, (size,)) for i, (dtype, size) in enumerate(rows)]
    layouts = lay_out(specs, shard_size)
    groups = [sorted(int(span.name[1:]) for span in layout.spans) for layout in layouts]
    assert [i for group in groups for i in group] == list(range(len(specs)))
    assert layouts == lay_out(specs, shard_size)
    for layout in layouts:
        data = sum(span.nbytes for span in layout.spans)
        assert layout.size == len(layout.header) + data
        assert data <= shard_size or len([s for s in layout.spans if s.nbytes]) == 1
        assert all(span.offset % span.dtype.itemsize == 0 for span in layout.spans)


def test_no_file_has_more_tensors_than_its_header_can_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices may stack small layers by the thousand."""
    specs = [TensorSpec(f"w\n{number}\N{GREEK SMALL LETTER ALPHA}", DTYPES["F32"], (2, 3)) for number in range(40)]
    monkeypatch.setattr(writer, "MAX_STATED", 1000)
    layouts = lay_out(specs, 10**9)
    assert len(layouts) > 1
    assert all(len(layout.header.rstrip()) < 1000 + 100 for layout in layouts)
    assert [span.name for layout in layouts for span in layout.spans] == [spec.name for spec in specs]


@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1),
    shape=st.lists(st.integers(0, 2**15), max_size=4),
    before=st.integers(0, 2**61),
)
def test_what_a_tensor_takes_of_a_header_is_not_underestimated(name: str, shape: list[int], before: int) -> None:
    spec = TensorSpec(name, DTYPES["F8_E4M3FNUZ"], tuple(shape))
    room = TensorSpec("\0", DTYPES["I8"], (before,))
    both, alone = (len(format_header(specs, {})) for specs in ([room, spec], [room]))
    assert name == room.name or both - alone <= writer._stated_bytes(spec) + 8


def test_many_threads_in_any_order_write_what_one_writes(tmp_path: Path) -> None:
    layouts = lay_out(SPECS, 1000)
    jobs = [(spec, first, 13) for spec in SPECS for first in range(0, spec.count, 13)]
    random.Random(0).shuffle(jobs)
    writer = CheckpointWriter(tmp_path / "many", layouts)

    def block(job: tuple[TensorSpec, int, int]) -> None:
        spec, first, count = job
        writer.write(spec.name, first, contents(spec)[2 * first : 2 * (first + count)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(block, jobs))
    writer.finish()
    assert everything(tmp_path / "many") == everything(write(tmp_path / "one", layouts))


def test_all_but_the_latest_is_let_go_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a merge does not push out of memory what others read; in whatever file it lies."""
    forgotten: list[tuple[int, int, int]] = []
    forget = fileio.forget

    def noting(fd: int, offset: int, size: int) -> None:
        forget(fd, offset, size)
        forgotten.append((os.fstat(fd).st_ino, offset, size))

    monkeypatch.setattr(fileio, "forget", noting)
    monkeypatch.setattr(writer, "RECENT", 3000)
    layouts = lay_out([TensorSpec(f"w{i}", U8, (4000,)) for i in range(2)], 4000)
    data = np.arange(4000, dtype=np.uint16).astype(np.uint8)
    blocks = [(f"w{i}", at) for i in range(2) for at in range(0, 4000, 1000)]
    with CheckpointWriter(tmp_path, layouts) as out:
        for name, at in blocks:
            out.write(name, at, data[at : at + 1000])
        out.finish()
    places = {span.name: (tmp_path / layout.file, span.offset) for layout in layouts for span in layout.spans}
    expected = [(places[name][0].stat().st_ino, places[name][1] + at, 1000) for name, at in blocks[:-3]]
    assert forgotten == expected
    for path, offset in places.values():
        assert path.read_bytes()[offset:] == data.tobytes()


def test_an_interrupted_checkpoint_is_taken_up_again(tmp_path: Path) -> None:
    layouts = lay_out(SPECS, 1000)
    first = CheckpointWriter(tmp_path / "a", layouts)
    for spec in SPECS[:3]:
        first.write(spec.name, 0, contents(spec))
    first.close()
    assert not (tmp_path / "a" / "model.safetensors.index.json").exists()
    with CheckpointWriter(tmp_path / "a", layouts, resume=True) as second:
        out = np.empty(10, np.uint8)
        second.read_back(SPECS[1].name, 3, 5, out)
        np.testing.assert_array_equal(out, contents(SPECS[1])[6:16])
        for spec in SPECS[3:]:
            second.write(spec.name, 0, contents(spec))
        second.finish()
    assert everything(tmp_path / "a") == everything(write(tmp_path / "b", layouts))


def test_files_that_are_not_those_laid_out_are_not_taken_up(tmp_path: Path) -> None:
    layouts = lay_out(SPECS, 1000)
    CheckpointWriter(tmp_path, layouts).close()
    (tmp_path / layouts[0].file).unlink()
    os.truncate(tmp_path / layouts[1].file, 100)
    with (tmp_path / layouts[2].file).open("r+b") as file:
        file.write(b"\1")
    with pytest.raises(OutputError) as caught:
        CheckpointWriter(tmp_path, layouts, resume=True)
    message = str(caught.value)
    assert "no such file" in message
    assert f"100 bytes instead of {layouts[1].size:,}" in message
    assert "states other tensors" in message


def test_files_in_the_way_are_not_overwritten(tmp_path: Path) -> None:
    layouts = lay_out(SPECS, 1000)
    (tmp_path / layouts[1].file).write_text("precious")
    with pytest.raises(OutputError, match="resume the merge") as caught:
        CheckpointWriter(tmp_path, layouts)
    assert layouts[1].file in str(caught.value)
    assert everything(tmp_path) == {layouts[1].file: b"precious"}


def test_a_full_disk_is_told_before_writing_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fileio.preallocate
    calls: list[int] = []

    def full(fd: int, size: int) -> None:
        calls.append(size)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, size)

    monkeypatch.setattr(fileio, "preallocate", full)
    with pytest.raises(OSError, match="No space") as caught:
        CheckpointWriter(tmp_path / "out", lay_out(SPECS, 1000))
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "out").iterdir()) == []


def test_aborting_removes_what_was_created(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, lay_out(SPECS, 1000))
    writer.write(SPECS[0].name, 0, contents(SPECS[0]))
    writer.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("first", "size"), [(-1, 2), (0, SPECS[0].nbytes + 2), (SPECS[0].count, 2), (0, 3)])
def test_data_outside_its_tensor_is_our_bug(tmp_path: Path, first: int, size: int) -> None:
    with CheckpointWriter(tmp_path, lay_out(SPECS, 10**9)) as writer, pytest.raises(AssertionError):
        writer.write(SPECS[0].name, first, np.zeros(size, np.uint8))


def folder_with(path: Path, name: str = "model.safetensors", text: str = "new") -> Path:
    path.mkdir()
    (path / name).write_text(text)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_publishing_gives_the_folder_its_name(tmp_path: Path) -> None:
    out = tmp_path / "my.model"
    assert partial_folder(out) == tmp_path / "my.model.partial"
    publish(folder_with(partial_folder(out)), out, overwrite=False)
    assert names(tmp_path) == ["my.model"]
    assert everything(out) == {"model.safetensors": b"new"}


def test_publishing_does_not_overwrite_unasked(tmp_path: Path) -> None:
    out = folder_with(tmp_path / "out", text="old")
    with pytest.raises(OutputError, match="is a new one"):
        publish(folder_with(partial_folder(out)), out, overwrite=False)
    assert everything(out) == {"model.safetensors": b"old"}
    assert names(tmp_path) == ["out", "out.partial"]


@pytest.mark.parametrize("old", ["model", "empty", "link"])
def test_publishing_over_an_old_model(tmp_path: Path, old: str) -> None:
    out = tmp_path / "out"
    if old == "empty":
        out.mkdir()
    else:
        folder_with(out if old == "model" else tmp_path / "elsewhere", text="old")
    if old == "link":
        out.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    publish(folder_with(partial_folder(out)), out, overwrite=True)
    assert everything(out) == {"model.safetensors": b"new"}
    assert names(tmp_path) == (["elsewhere", "out"] if old == "link" else ["out"])
    if old == "link":
        assert everything(tmp_path / "elsewhere") == {"model.safetensors": b"old"}


def test_publishing_never_replaces_what_is_no_model(tmp_path: Path) -> None:
    out = folder_with(tmp_path / "thesis", "chapter1.tex")
    with pytest.raises(OutputError, match=r"chapter1\.tex"):
        publish(folder_with(partial_folder(out)), out, overwrite=True)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="a file"):
        publish(folder_with(partial_folder(file)), file, overwrite=True)
    assert names(out) == ["chapter1.tex"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_publication_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    out = tmp_path / "out"
    partial = folder_with(partial_folder(out))
    if existing:
        folder_with(out, text="old")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == partial:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output"):
        publish(partial, out, overwrite=True)
    assert names(tmp_path) == (["out", "out.partial"] if existing else ["out.partial"])
    assert not existing or everything(out) == {"model.safetensors": b"old"}


def test_publishing_what_is_not_there_leaves_the_old_model(tmp_path: Path) -> None:
    out = folder_with(tmp_path / "out", text="old")
    with pytest.raises(FileNotFoundError):
        publish(partial_folder(out), out, overwrite=True)
    assert everything(out) == {"model.safetensors": b"old"}


def test_an_unfinished_checkpoint_does_not_look_finished(tmp_path: Path) -> None:
    with CheckpointWriter(tmp_path, lay_out(SPECS, 1000)) as writer:
        writer.write(SPECS[0].name, 0, contents(SPECS[0]))
    assert not (tmp_path / "model.safetensors.index.json").exists()


def test_without_positioned_calls_the_same_files_come_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = lay_out(SPECS, 1000)
    expected = everything(write(tmp_path / "modern", layouts))
    for call in ("preadv", "pwrite", "posix_fallocate"):
        monkeypatch.delattr(os, call, raising=False)
    assert everything(write(tmp_path / "bare", layouts)) == expected
    checkpoint = open_checkpoint(tmp_path / "bare", "a")
    out = np.empty(SPECS[2].nbytes, np.uint8)
    checkpoint.read_into(checkpoint.tensors[SPECS[2].name], 0, SPECS[2].count, out)
    np.testing.assert_array_equal(out, contents(SPECS[2]))

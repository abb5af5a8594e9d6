"""Checkpoints opened: files of every kind, each corruption with its message, reads from many threads."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixmerge.checkpoint import DTYPES, Checkpoint, open_checkpoint, quantisation, reader
from mixmerge.checkpoint.folder import LocalFolder
from mixmerge.errors import CheckpointError, ModelNotFoundError

SaveRaw = Callable[..., Path]


def refusal(folder: Path, kind: type[CheckpointError] = CheckpointError) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder, "expert")
    assert type(caught.value) is kind
    assert all("model 'expert'" in problem.place for problem in caught.value.problems)
    assert all(problem.cure or problem.rule.startswith("and ") for problem in caught.value.problems)
    return str(caught.value)


def sharded(folder: Path, **shards: dict[str, torch.Tensor]) -> Path:
    """Files a.safetensors, b.safetensors, ... with an index that agrees with them."""
    folder.mkdir(exist_ok=True)
    weight_map = {}
    for name, tensors in shards.items():
        copies = {tensor: values.clone() for tensor, values in tensors.items()}  # safetensors refuses aliases
        save_file(copies, folder / f"{name}.safetensors")
        weight_map |= dict.fromkeys(tensors, f"{name}.safetensors")
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def bytes_of(checkpoint: Checkpoint, name: str) -> bytes:
    span = checkpoint.tensors[name]
    out = np.empty(span.nbytes, np.uint8)
    checkpoint.read_into(span, 0, span.count, out)
    return out.tobytes()


ONES = torch.ones(4)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (3, 4)], ids=str)
def test_what_safetensors_wrote_is_read(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    raw = torch.arange(count * dtype.itemsize, dtype=torch.uint8)
    raw = raw % 2 if dtype.name == "BOOL" else raw
    values = raw.view(getattr(torch, dtype.torch_name)).reshape(shape)
    save_file({"t": values, "other": ONES}, tmp_path / "model.safetensors", {"format": "pt"})
    with open_checkpoint(tmp_path, "a") as checkpoint:
        span = checkpoint.tensors["t"]
        assert (span.dtype, span.shape, span.count) == (dtype, shape, count)
        assert bytes_of(checkpoint, "t") == raw.numpy().tobytes()


def test_shards_and_config_are_put_together(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "with+plus", b={"z": ONES, "y": ONES * 2}, a={"x": ONES * 3})
    (folder / "config.json").write_text('{"rope": Infinity, "layers": 2, "layers": 3}')
    checkpoint = open_checkpoint(folder, "a")
    assert list(checkpoint.tensors) == ["x", "y", "z"]
    assert [file.name for file in checkpoint.files] == ["a.safetensors", "b.safetensors"]
    assert checkpoint.config == {"rope": float("inf"), "layers": 3}
    assert bytes_of(checkpoint, "y") == (ONES * 2).numpy().tobytes()
    assert checkpoint.is_local
    assert "3 tensors" in repr(checkpoint)
    checkpoint.close()


def test_the_only_files_are_the_weights_without_an_index(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "part1.safetensors")
    save_file({"y": ONES}, tmp_path / "part2.safetensors")
    assert list(open_checkpoint(tmp_path, "a").tensors) == ["x", "y"]
    assert open_checkpoint(tmp_path, "a").config is None


def test_the_only_index_may_have_another_name(tmp_path: Path) -> None:
    folder = sharded(tmp_path, a={"x": ONES})
    (folder / "model.safetensors.index.json").rename(folder / "diffusion.safetensors.index.json")
    save_file({"stray": ONES}, folder / "stray.safetensors")
    assert list(open_checkpoint(folder, "a").tensors) == ["x"]


def test_a_file_the_index_does_not_name_is_no_part_of_the_model(tmp_path: Path) -> None:
    folder = sharded(tmp_path, a={"x": ONES})
    save_file({"x": ONES}, folder / "consolidated.safetensors")
    assert [file.name for file in open_checkpoint(folder, "a").files] == ["a.safetensors"]


def test_model_safetensors_wins_over_other_files(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")
    save_file({"x": ONES}, tmp_path / "consolidated.safetensors")
    assert [file.name for file in open_checkpoint(tmp_path, "a").files] == ["model.safetensors"]


def test_links_as_in_the_cache_of_the_hub_are_followed(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--o--m" / "snapshots" / "abc"
    (tmp_path / "models--o--m" / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    save_file({"x": ONES}, tmp_path / "models--o--m" / "blobs" / "f00d")
    (snapshot / "model.safetensors").symlink_to("../../blobs/f00d")
    assert bytes_of(open_checkpoint(snapshot, "a"), "x") == ONES.numpy().tobytes()


def test_ranges_of_elements_from_many_threads(tmp_path: Path) -> None:
    values = {f"s{i}": torch.arange(100, dtype=torch.int32) + 1000 * i for i in range(6)}
    checkpoint = open_checkpoint(sharded(tmp_path, **{name: {name: v} for name, v in values.items()}), "a")

    def read(i: int) -> bool:
        name, first, count = f"s{i % 6}", i % 50, i % 40
        out = np.empty(4 * count, np.uint8)
        checkpoint.read_into(checkpoint.tensors[name], first, count, out)
        return bool((out.view(np.int32) == values[name].numpy()[first : first + count]).all())

    with checkpoint, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(600)))


def test_ranges_outside_a_tensor_are_our_bug(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path, "a") as checkpoint:
        for first, count, size in [(-1, 1, 4), (4, 1, 4), (0, 5, 20), (0, 2, 4)]:
            with pytest.raises(AssertionError):
                checkpoint.read_into(checkpoint.tensors["x"], first, count, np.empty(size, np.uint8))


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path, "a")
    before = checkpoint.identity()
    assert before == checkpoint.identity()
    assert before[0][:2] == ("model.safetensors", checkpoint.files[0].stat().st_size)
    os.utime(checkpoint.files[0], ns=(1, 1))
    assert checkpoint.identity() != before


def test_a_file_cut_after_it_was_opened(tmp_path: Path) -> None:
    save_file({"my.tensor": ONES}, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path, "expert")
    os.truncate(checkpoint.files[0], checkpoint.files[0].stat().st_size - 4)
    with pytest.raises(CheckpointError) as caught:
        bytes_of(checkpoint, "my.tensor")
    for part in ("model 'expert'", "model.safetensors", "tensor 'my.tensor'", "4 bytes too early"):
        assert part in str(caught.value)


def test_a_file_removed_after_it_was_opened(tmp_path: Path) -> None:
    save_file({"my.tensor": ONES}, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path, "expert")
    checkpoint.files[0].unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        bytes_of(checkpoint, "my.tensor")


def test_no_folder_or_a_file_instead(tmp_path: Path) -> None:
    assert "nothing there" in refusal(tmp_path / "missing", ModelNotFoundError)
    (tmp_path / "x.safetensors").touch()
    assert "the folder the file is in" in refusal(tmp_path / "x.safetensors", ModelNotFoundError)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "consolidated.00.pth", "model.gguf"])
def test_weights_of_another_format(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    message = refusal(tmp_path)
    assert file in message
    assert "save_pretrained" in message


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "no safetensors file" in refusal(tmp_path)


def test_truncation_is_told_with_file_and_tensor(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")
    os.truncate(tmp_path / "model.safetensors", (tmp_path / "model.safetensors").stat().st_size - 1)
    message = refusal(tmp_path)
    assert "truncated" in message
    assert "model.safetensors, tensor 'x'" in message


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert "0 bytes" in refusal(tmp_path)


def test_all_files_are_checked_before_anything_is_said(tmp_path: Path) -> None:
    folder = sharded(tmp_path, a={"x": ONES}, b={"y": ONES}, c={"z": ONES})
    os.truncate(folder / "a.safetensors", 20)
    os.truncate(folder / "c.safetensors", 4)
    (folder / "config.json").write_text("[]")
    message = refusal(folder)
    assert "a.safetensors" in message
    assert "c.safetensors" in message
    assert "config.json is a JSON object" in message
    assert "b.safetensors" not in message


def test_headers_of_many_files_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is short enough; thousands of them would still fill the memory."""
    model = sharded(tmp_path, **{name: {name: ONES} for name in "abcd"})
    lengths = [8 + int.from_bytes(file.read_bytes()[:8], "little") for file in sorted(tmp_path.glob("*.safetensors"))]
    monkeypatch.setattr(reader, "MAX_HEADERS", sum(lengths))
    assert len(open_checkpoint(model, "expert").tensors) == 4
    monkeypatch.setattr(reader, "MAX_HEADERS", sum(lengths) - 1)
    told = refusal(model)
    assert f"together at most {sum(lengths) - 1} bytes" in told
    assert "in 4 files" in told


def test_long_headers_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginnings of files come from several threads, as from the hub; a plan counts the memory of one header."""
    model = sharded(tmp_path, **{name: {name: ONES} for name in "abcd"})
    own, meeting, met = LocalFolder.read, Barrier(2), list[str]()
    monkeypatch.setattr(reader, "_GUESS", 16)
    monkeypatch.setattr(LocalFolder, "workers", 4)

    def read(self: LocalFolder, name: str, offset: int, size: int) -> bytes:
        if offset:
            with contextlib.suppress(BrokenBarrierError):
                meeting.wait(0.1)
                met.append(name)
        return own(self, name, offset, size)

    monkeypatch.setattr(LocalFolder, "read", read)
    assert list(open_checkpoint(model, "expert").tensors) == ["a", "b", "c", "d"]
    assert met == []


def test_headers_behind_the_bound_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sharded(tmp_path, **{name: {name: ONES} for name in "abcd"})
    read: list[str] = []
    own = LocalFolder.read
    monkeypatch.setattr(reader, "MAX_HEADERS", 1)
    monkeypatch.setattr(LocalFolder, "read", lambda self, name, *span: read.append(name) or own(self, name, *span))
    refusal(model)
    assert [name for name in read if name.endswith(".safetensors")] == ["a.safetensors"]


def test_files_without_a_tensor(tmp_path: Path) -> None:
    save_file({}, tmp_path / "model.safetensors")
    assert "the weight files of a model hold tensors" in refusal(tmp_path)


def test_a_long_header_is_read_in_two_steps(save_raw: SaveRaw) -> None:
    names = [f"layer.{i:05d}.weight" for i in range(3000)]
    header = {n: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, n in enumerate(names)}
    assert list(open_checkpoint(save_raw(header, bytes(3000)), "a").tensors) == names


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/etc/outside.safetensors",
        "sub/x.safetensors",
        "..\\outside.safetensors",
        "C:x.safetensors",
        "..",
        "",
        "x.bin",
        "a\0.safetensors",
    ],
)
def test_an_index_that_points_out_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = sharded(tmp_path / "model", a={"x": ONES})
    save_file({"y": ONES}, tmp_path / "outside.safetensors")
    write_index(folder, {"x": "a.safetensors", "y": name})
    message = refusal(folder)
    assert "without any path" in message
    assert repr(name) in message
    assert "index.json" in message


def test_an_index_that_names_a_missing_file(tmp_path: Path) -> None:
    folder = sharded(tmp_path, a={"x": ONES}, b={"y": ONES}, c={"z": ONES})
    (folder / "a.safetensors").unlink()
    (folder / "c.safetensors").unlink()
    message = refusal(folder)
    assert "no 'a.safetensors'" in message
    assert "no 'c.safetensors'" in message


def test_an_index_and_files_that_disagree(tmp_path: Path) -> None:
    folder = sharded(tmp_path, a={"x": ONES, "extra": ONES}, b={"y": ONES})
    write_index(folder, {"x": "a.safetensors", "y": "a.safetensors", "w": "b.safetensors"})
    message = refusal(folder)
    assert "a.safetensors lacks it" in message
    assert "tensor 'y'" in message
    assert "b.safetensors lacks it" in message
    assert "tensor 'w'" in message
    assert "holds a tensor the index lacks" in message
    assert "tensor 'extra'" in message


def test_a_tensor_in_two_files(tmp_path: Path) -> None:
    message = refusal(sharded(tmp_path, a={"x": ONES, "w": ONES}, b={"x": ONES, "y": ONES}))
    assert "in a.safetensors and in b.safetensors" in message
    assert "tensor 'x'" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "JSON in UTF-8"),
        ("[]", "has a weight_map"),
        ("{}", "has a weight_map"),
        ('{"weight_map": {}}', "has a weight_map"),
        ('{"weight_map": ["x"]}', "has a weight_map"),
        ('{"weight_map": {"x": 1}}', "tensor 'x'"),
        ('{"weight_map": {"x": "a.safetensors", "x": "a.safetensors"}}', "'x' is given twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, text: str, told: str) -> None:
    folder = sharded(tmp_path, a={"x": ONES})
    (folder / "model.safetensors.index.json").write_text(text)
    assert told in refusal(folder)


def test_an_index_or_config_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sharded(tmp_path, a={"x": ONES})
    monkeypatch.setattr("mixmerge.checkpoint.reader.MAX_CONFIG", 10)
    (folder / "config.json").write_text(" " * 11)
    assert "config.json is at most 10 bytes" in refusal(folder)
    monkeypatch.setattr("mixmerge.checkpoint.index.MAX_INDEX", 10)
    assert "an index file is at most 10 bytes" in refusal(folder)


def test_numbered_files_without_an_index_must_be_complete(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "model-00001-of-00003.safetensors")
    save_file({"y": ONES}, tmp_path / "model-00003-of-00003.safetensors")
    assert "no 'model-00002-of-00003.safetensors'" in refusal(tmp_path)


def test_two_sets_of_weights(tmp_path: Path) -> None:
    folder = sharded(tmp_path, a={"x": ONES})
    save_file({"x": ONES}, folder / "model.safetensors")
    assert "one set of weights" in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}"])
def test_a_config_that_is_no_json(tmp_path: Path, text: str) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    assert "config.json is JSON in UTF-8" in refusal(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").chmod(0)
    assert "Permission denied" in refusal(tmp_path)


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"x": ONES}, tmp_path / "model.safetensors")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("mixmerge.fileio.read_exact", fail)
    assert "Input/output error" in refusal(tmp_path)


def spans(save_raw: SaveRaw, tensors: dict[str, str], config: Any = None) -> Checkpoint:
    """A checkpoint of tensors with one element each, by name and dtype."""
    header, begin = {}, 0
    for name, dtype in tensors.items():
        end = begin + DTYPES[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": [1], "data_offsets": [begin, end]}
        begin = end
    folder = save_raw(header, bytes(begin))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return open_checkpoint(folder, "a")


@pytest.mark.parametrize(
    "tensors",
    [
        {"l.weight": "F8_E4M3", "l.weight_scale": "F32"},
        {"l.weight": "F8_E4M3", "l.weight_scale_inv": "F32"},
        {"l.weight": "F8_E4M3", "l.scale": "F32"},
        {"w1": "F8_E4M3", "w1_scale": "F32"},
        {"l.qweight": "I32", "l.qzeros": "I32", "l.scales": "F16", "l.g_idx": "I32"},
        {"l.weight": "U8", "l.weight.absmax": "F32", "l.weight.quant_state.bitsandbytes__nf4": "U8"},
        {"l.weight": "I8", "l.SCB": "F32"},
        {"l.weight_packed": "I32", "l.weight_shape": "I64"},
        {"mlp.experts.down_proj_blocks": "U8", "mlp.experts.down_proj_scales": "U8"},
        {"l.weight": "U32", "l.scales": "BF16", "l.biases": "BF16"},
        {"l.weight": "F8_E4M3", "l.s": "F8_E8M0"},
    ],
    ids=lambda tensors: list(tensors)[-1],
)
def test_quantised_checkpoints_are_recognised_by_their_tensors(save_raw: SaveRaw, tensors: dict[str, str]) -> None:
    assert "quantisation" in (quantisation(spans(save_raw, tensors)) or "")


def test_quantised_checkpoints_are_recognised_by_their_config(save_raw: SaveRaw) -> None:
    config = {"quantization_config": {"quant_method": "fp8"}}
    assert "'fp8'" in (quantisation(spans(save_raw, {"l.weight": "F8_E4M3"}, config)) or "")


@pytest.mark.parametrize(
    "tensors",
    [
        {"l.weight": "F8_E4M3"},
        {"logit_scale": "F32", "l.weight": "BF16"},
        {"norm.scale": "F32", "norm.weight": "F32"},
        {"layer_scale.gamma": "F32", "input_scale": "F32"},
    ],
    ids=lambda tensors: next(iter(tensors)),
)
def test_parameters_that_are_merely_called_scale_are_weights(save_raw: SaveRaw, tensors: dict[str, str]) -> None:
    assert quantisation(spans(save_raw, tensors, {"quantization_config": None})) is None

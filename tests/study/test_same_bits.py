"""What was scored is what is written: every method, live and on disk, bit for bit, and the same score."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from mixmerge.methods import METHODS
from mixmerge.recipe import canonical, parse_recipe
from mixmerge.study import explore, export
from mixmerge.study.space import Point
from mixmerge.study.workbench import Plain, Setup, Workbench, score_folder

RATIO = (0.372519, 0.627481)
METHODS_AND_DARE = [(*key, dare) for key in METHODS for dare in (False, True) if not (dare and key[0] == "mergekit")]


def live_bits(bench: Workbench, subject: Any) -> dict[str, np.ndarray]:
    live = bench.prepare(subject)
    return {name: tensor.data.copy() for name, tensor in live.tensors().items()}


def file_bits(folder: Path, dtype: Any) -> dict[str, np.ndarray]:
    import torch

    integers = {torch.bfloat16: torch.int16, torch.float32: torch.int32}[dtype]
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.to(dtype).view(integers).numpy().reshape(-1) for name, tensor in tensors.items()}


@pytest.mark.parametrize("compute", ["bfloat16", "float32"])
@pytest.mark.parametrize(("dialect", "method", "dare"), METHODS_AND_DARE)
def test_live_is_what_merge_writes(tiny, tmp_path, dialect, method, dare, compute) -> None:
    import torch

    from mixmerge import api

    text = tiny.recipe.replace("linear", method) + f"dialect: {dialect}\nseed: 5\n"
    text += "dare: {drop_rate: 0.3}\n" if dare else ""
    if (dialect, method) == ("mergekit", "linear"):  # there a base is one more source
        text = text.replace(f"base_model: {tiny.base}\n", "")
    recipe = parse_recipe(text)
    setup = Setup(canonical(recipe), (), tmp_path / "scratch", threads=1, compute=compute)
    with closing(Workbench(setup)) as bench:
        assert bench.faithful
        live_bits(bench, Point({"model": (0.9, 0.1)}, {}))
        live = live_bits(bench, Point({"model": RATIO}, {}))
    fixed = text.replace("{alpha: 0.5}", f"{{ratio: [{RATIO[0]}, {RATIO[1]}]}}")
    api.merge(fixed, tmp_path / "out", threads=1)
    written = file_bits(tmp_path / "out", getattr(torch, compute))
    assert live.keys() == written.keys()
    for name, bits in written.items():
        assert np.array_equal(live[name].view(bits.dtype), bits), name


def test_plain_is_the_method_without_mixup(tiny, tmp_path) -> None:
    import torch

    from mixmerge import api

    recipe = parse_recipe(tiny.recipe.replace("linear", "task_arithmetic"))
    with closing(Workbench(Setup(canonical(recipe), (), tmp_path / "scratch", threads=1))) as bench:
        live = live_bits(bench, Plain())
    plain = tiny.recipe.replace("linear", "task_arithmetic").replace("mixup: {alpha: 0.5}", "dialect: paper")
    api.merge(plain, tmp_path / "out", threads=1)
    for name, bits in file_bits(tmp_path / "out", torch.float32).items():
        assert np.array_equal(live[name].view(bits.dtype), bits), name


def test_a_written_winner_has_the_same_score_of_every_item(tiny, tmp_path) -> None:
    recipe = tiny.recipe.replace("linear", "ties") + "dare: 0.2\n"
    study = explore(recipe, tiny.tasks, folder=tmp_path / "s", draws=3, threads=1)
    (out,) = export(study.folder, tmp_path / "winner")
    scored = study.records.scores(study.records.merges()["winner"], "test")
    again = score_folder(out, [str(file) for file in tiny.tasks], compute="float32", batch=128)
    for task, values in scored.items():
        assert np.array_equal(values, again[task])


def test_a_written_trial_rebuilds_from_its_own_recipe(tiny, tmp_path) -> None:
    from mixmerge import api
    from mixmerge.engine.record import read_record

    study = explore(tiny.recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, threads=1)
    (out,) = export(study.folder, tmp_path / "one", trial=1)
    again = api.merge(read_record(out)["recipe"], tmp_path / "again", threads=1)
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "again" / "model.safetensors").read_bytes()
    assert again["ratios"]["model"] == [study.trials[1]["ratio a"], study.trials[1]["ratio b"]]

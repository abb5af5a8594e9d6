"""LoRA adapters: what their configuration means, and what is refused, from headers alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.checkpoint import Adapter, Checkpoint, open_adapter, open_checkpoint, with_adapter
from mixmerge.checkpoint.lora_config import MAX_BYTES, MAX_RANK, read_lora_config
from mixmerge.errors import CheckpointError, ModelNotFoundError
from support import models
from support.adapters import CONFIG, EMBEDDING, PREFIX, UP, Q, factors, write_adapter

BASE = models.smooth(models.llama_shapes(), 1)
Q_A, Q_B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"
GOOD = factors(BASE, Q)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(models.write_model(tmp_path_factory.mktemp("lora") / "base", BASE), "base")


def opened(folder: Path, tensors: models.Arrays, **config: Any) -> Adapter:
    return open_adapter(write_adapter(folder, tensors, **config), "tuned")


def config_of(**changes: Any) -> Any:
    return read_lora_config(json.dumps({**CONFIG, **changes}).encode(), "here")


@pytest.mark.parametrize(
    ("changes", "module", "rank", "scale"),
    [
        ({}, Q, 2, 2.0),
        ({"r": 16, "lora_alpha": 32}, Q, 16, 2.0),
        ({"lora_alpha": 3.5}, Q, 2, 1.75),
        ({"use_rslora": True, "r": 4}, Q, 4, 2.0),
        ({"rank_pattern": {"q_proj": 8}}, Q, 8, 0.5),
        ({"rank_pattern": {"q_proj": 8}}, UP, 2, 2.0),
        ({"rank_pattern": {"proj": 8}}, Q, 2, 2.0),
        ({"alpha_pattern": {"self_attn.q_proj": 1}}, Q, 2, 0.5),
        ({"alpha_pattern": {"q_proj": 1, Q: 9}}, Q, 2, 0.5),
        ({"alpha_pattern": {Q: 9, "q_proj": 1}}, Q, 2, 4.5),
        ({"alpha_pattern": {f"^{Q}$": 6}}, Q, 2, 3.0),
        ({"alpha_pattern": {"^q_proj": 6}}, Q, 2, 2.0),
        ({"alpha_pattern": {r"self_attn\.q_proj": 6}}, Q, 2, 3.0),
    ],
)
def test_ranks_and_scales(changes: dict[str, Any], module: str, rank: int, scale: float) -> None:
    config = config_of(**changes)
    assert config.rank_of(module) == rank
    assert config.scale_of(module) == scale


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"peft_type": "LOHA"}, "peft_type LORA"),
        ({"peft_type": ...}, "peft_type LORA"),
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "lora_bias"),
        ({"use_qalora": True}, "QA-LoRA"),
        ({"use_bdlora": {"nblocks": 2}}, "BD-LoRA"),
        ({"alora_invocation_tokens": [5]}, "activated LoRA"),
        ({"arrow_config": {"top_k": 1}}, "Arrow"),
        ({"kasa_config": {"a": 1}}, "KaSA"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"target_parameters": ["w"]}, "target_parameters"),
        ({"trainable_token_indices": [3]}, "single tokens"),
        ({"init_lora_weights": "pissa_niter_4"}, "unaltered base"),
        ({"init_lora_weights": "olora"}, "unaltered base"),
        ({"init_lora_weights": "loftq"}, "unaltered base"),
        ({"bias": "some"}, "none, all or lora_only"),
        ({"use_rslora": 1}, "use_rslora is true or false"),
        ({"fan_in_fan_out": "no"}, "fan_in_fan_out is true or false"),
        ({"r": 0}, "r is a whole number"),
        ({"r": 2.5}, "r is a whole number"),
        ({"r": True}, "r is a whole number"),
        ({"r": ...}, "r is a whole number"),
        ({"r": MAX_RANK + 1}, "r is a whole number"),
        ({"lora_alpha": "16"}, "lora_alpha is a finite number"),
        ({"lora_alpha": 10**400}, "lora_alpha is a finite number"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern maps"),
        ({"rank_pattern": {"(a+)+$": 2}}, "plain names"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern of 'q_proj'"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern of 'q_proj'"),
        ({"use_something_new": True}, "meaning is unknown"),
        ({"new_config": {"a": 1}}, "meaning is unknown"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path / "x", GOOD, **changes)
    [problem] = caught.value.problems
    assert told in problem.rule
    assert "adapter 'tuned'" in problem.place
    assert "adapter_config.json" in problem.place
    assert problem.cure
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"init_lora_weights": "gaussian"}, {"init_lora_weights": False}, {"init_lora_weights": "eva"},
        {"eva_config": {"rho": 2.0}}, {"loftq_config": {"loftq_bits": 4}}, {"modules_to_save": ["score"]},
        {"use_something_new": False}, {"new_size": 16}, {"new_config": {}}, {"use_dora": None}, {"bias": "all"},
    ],
)  # fmt: skip
def test_configurations_that_change_nothing(changes: dict[str, Any]) -> None:
    assert config_of(**changes).scale_of(Q) == 2.0


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"r": 1, "r": 2}', b'{"r": NaN}', b"\xff", b"[" * 200_000])
def test_text_that_is_no_configuration(text: bytes) -> None:
    with pytest.raises(CheckpointError, match="JSON object"):
        read_lora_config(text, "here")


def test_everything_wrong_with_the_files_is_told_at_once(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "x", GOOD, r=0, use_dora=True, lora_alpha=None)
    os.truncate(folder / "adapter_model.safetensors", 50)
    with pytest.raises(CheckpointError) as caught:
        open_adapter(folder, "tuned")
    assert len(caught.value.problems) == 4


def test_folders_that_are_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nothing there"):
        open_adapter(tmp_path / "no", "tuned")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelNotFoundError, match="a file"):
        open_adapter(tmp_path / "file", "tuned")
    folder = write_adapter(tmp_path / "x", GOOD)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has an adapter_config\.json"):
        open_adapter(folder, "tuned")
    (folder / "adapter_config.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(CheckpointError, match="bytes long"):
        open_adapter(folder, "tuned")


def test_pickled_adapters_are_not_opened(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "x", GOOD)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickle") as caught:
        open_adapter(folder, "tuned")
    assert "safe_serialization=True" in caught.value.problems[0].cure


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "x", GOOD)
    with pytest.raises(CheckpointError, match="beside its base") as caught:
        open_checkpoint(folder, "x")
    assert f"BASE+{folder}" in caught.value.problems[0].cure


def refused(base: Checkpoint, folder: Path, tensors: models.Arrays, **config: Any) -> list[str]:
    with pytest.raises(CheckpointError) as caught:
        with_adapter(base, opened(folder, tensors, **config), "base+tuned")
    assert all("model 'base+tuned'" in problem.place and problem.cure for problem in caught.value.problems)
    return [f"{problem.rule}; {problem.value}" for problem in caught.value.problems]


BAD: dict[str, tuple[models.Arrays, dict[str, Any], str]] = {
    "A without B": ({Q_A: GOOD[Q_A]}, {}, "pairs"),
    "B without A": ({Q_B: GOOD[Q_B]}, {}, "pairs"),
    "kinds mixed": ({**GOOD, f"{PREFIX}{Q}.lora_embedding_A": GOOD[Q_A]}, {}, "pairs"),
    "no such layer": (
        {name.replace("layers.0", "layers.9"): values for name, values in GOOD.items()}, {}, "no model.layers.9."
    ),
    "rank of the file": (GOOD, {"r": 4}, "rank, 4"),
    "rank of the pattern": (GOOD, {"rank_pattern": {"q_proj": 3}}, "rank, 3"),
    "shape": ({**GOOD, Q_A: np.zeros((2, 9), np.float32)}, {}, "shape of its tensor"),
    "transposed": (factors(BASE, UP), {"fan_in_fan_out": True}, "stored transposed"),
    "empty": ({Q_A: np.zeros((2, 0), np.float32), Q_B: GOOD[Q_B]}, {}, "matrix"),
    "convolution": ({**GOOD, Q_A: np.zeros((2, 8, 1), np.float32)}, {}, "matrix"),
    "integers": ({**GOOD, Q_A: np.zeros((2, 8), np.int32)}, {}, "F32, F16, BF16"),
    "double": ({**GOOD, Q_A: np.zeros((2, 8), np.float64)}, {}, "F32, F16, BF16"),
    "a vector": (
        {f"{PREFIX}model.norm.lora_A.weight": np.zeros((2, 8), np.float32),
         f"{PREFIX}model.norm.lora_B.weight": np.zeros((1, 2), np.float32)}, {}, "shape of its tensor",
    ),
    "magnitudes": ({**GOOD, f"{PREFIX}{Q}.lora_magnitude_vector": np.ones(8, np.float32)}, {}, "another name"),
    "bias of B": ({**GOOD, f"{PREFIX}{Q}.lora_B.bias": np.ones(8, np.float32)}, {}, "another name"),
    "trained tokens": ({**GOOD, f"{PREFIX}{EMBEDDING}.token_adapter.d": np.ones(8, np.float32)}, {}, "another name"),
    "other prefix": ({"lora_te_text_model.lora_up.weight": np.ones((2, 2), np.float32)}, {}, "another name"),
    "nothing": ({}, {}, "has tensors"),
    "whole, unknown": ({**GOOD, f"{PREFIX}score.weight": np.ones((2, 8), np.float32)}, {}, "no score.weight"),
    "whole, resized": (
        {**GOOD, f"{PREFIX}{EMBEDDING}.weight": np.ones((33, 8), np.float32)}, {}, "shape of the one it replaces"
    ),
    "whole, of integers": (
        {**GOOD, f"{PREFIX}model.norm.weight": np.ones(8, np.int32)}, {}, "shape of the one it replaces"
    ),
    "twice": ({**GOOD, f"{PREFIX}{Q}.lora_A.default.weight": GOOD[Q_A]}, {}, "stated once"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_tensors_that_do_not_fit(name: str, base: Checkpoint, tmp_path: Path) -> None:
    tensors, config, told = BAD[name]
    problems = refused(base, tmp_path / "x", tensors, **config)
    assert 1 <= len(problems) <= 2, "of a pair both may be wrong"
    assert all(told in problem for problem in problems)


def test_all_tensors_that_do_not_fit_are_told_at_once(base: Checkpoint, tmp_path: Path) -> None:
    tensors = {
        Q_A: GOOD[Q_A],
        f"{PREFIX}{Q}.lora_magnitude_vector": np.ones(8, np.float32),
        f"{PREFIX}score.weight": np.ones((2, 8), np.float32),
        **factors(BASE, UP, rank=3),
    }
    assert len(refused(base, tmp_path / "x", tensors)) == 5


def test_what_is_changed_and_what_replaced(base: Checkpoint, tmp_path: Path) -> None:
    """Names with the adapter's own inside, wrapped layers, modules_to_save and biases, as PEFT of any age has them."""
    tensors = {
        f"{PREFIX}{Q}.lora_A.default.weight": GOOD[Q_A],
        f"{PREFIX}{Q}.lora_B.default.weight": GOOD[Q_B],
        **factors(BASE, EMBEDDING),
        f"{PREFIX}{EMBEDDING}.base_layer.weight": BASE[f"{EMBEDDING}.weight"],
        f"{PREFIX}lm_head.modules_to_save.default.weight": BASE["lm_head.weight"],
        f"{PREFIX}model.norm.weight": BASE["model.norm.weight"],
    }
    found = with_adapter(base, opened(tmp_path / "x", tensors, base_model_name_or_path="org/other"), "base+x")
    assert found.adaptation is not None
    assert {name: one.transposed for name, one in found.adaptation.changes.items()} == {
        f"{Q}.weight": False, f"{EMBEDDING}.weight": True,
    }  # fmt: skip
    assert sorted(found.adaptation.replaced) == ["lm_head.weight", f"{EMBEDDING}.weight", "model.norm.weight"]
    assert list(found.tensors) == list(base.tensors)
    assert found.tensors["lm_head.weight"].file.name == "adapter_model.safetensors"
    assert found.adaptation.notes == ("adapter tuned says it was trained on org/other; it is applied to base",)
    assert base.adaptation is None
    assert {name for name, _, _ in found.identity()} == {
        "model.safetensors", "adapter_model.safetensors", "adapter_config.json",
    }  # fmt: skip


@pytest.mark.parametrize("stated", ["base", "org/base", "/somewhere/base/", None])
def test_no_note_where_the_base_is_the_one_it_names(stated: str | None, base: Checkpoint, tmp_path: Path) -> None:
    found = with_adapter(base, opened(tmp_path / "x", GOOD, base_model_name_or_path=stated), "base+x")
    assert found.adaptation is not None
    assert found.adaptation.notes == ()


def test_names_with_one_part_more_than_the_checkpoint(tmp_path: Path) -> None:
    """GPT-2's files leave `transformer.` out, which the module has."""
    bare = {name.removeprefix("model."): values for name, values in BASE.items() if name.startswith("model.")}
    short = open_checkpoint(models.write_model(tmp_path / "bare", bare), "bare")
    found = with_adapter(short, opened(tmp_path / "x", GOOD), "bare+x")
    assert found.adaptation is not None
    assert list(found.adaptation.changes) == [f"{Q}.weight".removeprefix("model.")]

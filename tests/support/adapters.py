"""LoRA adapters on disk, put together byte by byte as PEFT names them, and what they mean, in float64."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from support import models

CONFIG: dict[str, Any] = {
    "peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", "use_dora": False, "use_rslora": False,
    "fan_in_fan_out": False, "init_lora_weights": True, "rank_pattern": {}, "alpha_pattern": {}, "lora_dropout": 0.0,
    "modules_to_save": None, "target_modules": ["q_proj"], "base_model_name_or_path": None, "peft_version": "0.21.2",
}  # fmt: skip
PREFIX = "base_model.model."
Q = "model.layers.0.self_attn.q_proj"
UP = "model.layers.1.mlp.up_proj"
EMBEDDING = "model.embed_tokens"


def factors(
    base: Mapping[str, np.ndarray],
    *modules: str,
    rank: int = 2,
    seed: int = 7,
    dtype: Any = np.float32,
    size: float = 0.1,
) -> models.Arrays:
    """Normal factors of modules, under PEFT's names; of embeddings as PEFT has them."""
    rng = np.random.default_rng(seed)
    found: models.Arrays = {}
    for module in modules:
        rows, columns = base[f"{module}.weight"].shape
        shapes = {".lora_A.weight": (rank, columns), ".lora_B.weight": (rows, rank)}
        if module == EMBEDDING:
            shapes = {".lora_embedding_A": (rank, rows), ".lora_embedding_B": (columns, rank)}
        for kind, shape in shapes.items():
            found[f"{PREFIX}{module}{kind}"] = (rng.standard_normal(shape) * size).astype(dtype)
    return found


def write_adapter(folder: Path, tensors: Mapping[str, np.ndarray], **config: Any) -> Path:
    """An adapter in a new folder. config: settings other than CONFIG's; those that are `...` are left out."""
    folder.mkdir(parents=True)
    models._write_file(folder / "adapter_model.safetensors", tensors)
    settings = {key: value for key, value in {**CONFIG, **config}.items() if value is not ...}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def adapted(base: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray], scale: float = 2.0) -> models.Arrays:
    """W + scale * (B @ A) of every tensor, float64."""
    found = models.widened(base)
    wide = models.widened(tensors)
    for name, a in wide.items():
        module, _, kind = name.removeprefix(PREFIX).partition(".lora_")
        if kind == "A.weight":
            found[f"{module}.weight"] += scale * (wide[f"{PREFIX}{module}.lora_B.weight"] @ a)
        elif kind == "embedding_A":
            found[f"{module}.weight"] += scale * (wide[f"{PREFIX}{module}.lora_embedding_B"] @ a).T
        elif not kind:
            found[module] = wide[name]
    return found


def adapted32(base: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray], scale: float = 2.0) -> models.Arrays:
    """The definition: float32, terms in the order of the rank, each rounded; plain Python loops over the rank."""
    found = {name: values.astype(np.float32) for name, values in base.items()}
    for name in tensors:
        module, _, kind = name.removeprefix(PREFIX).partition(".lora_")
        if kind == "A.weight":
            a, b = tensors[name].astype(np.float32), tensors[f"{PREFIX}{module}.lora_B.weight"].astype(np.float32)
        elif kind == "embedding_A":
            b, a = (
                tensors[name].astype(np.float32).T,
                tensors[f"{PREFIX}{module}.lora_embedding_B"].astype(np.float32).T,
            )
        else:
            continue
        change = np.zeros((b.shape[0], a.shape[1]), np.float32)
        for k in range(a.shape[0]):
            change = change + b[:, k : k + 1] * a[k]
        found[f"{module}.weight"] = found[f"{module}.weight"] + np.float32(scale) * change
    return found

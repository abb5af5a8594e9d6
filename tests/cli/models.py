"""Tiny Llama-shaped checkpoints, written byte by byte; shared by the tests of the command line and of the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

HIDDEN, ROWS, LAYERS = 8, 12, 2
Floats = npt.NDArray[np.float32]


def tensors(seed: int) -> dict[str, Floats]:
    """The weights of one model: the same shapes for every seed, values near those of seed 0."""
    shapes = {"model.embed_tokens.weight": (ROWS, HIDDEN)}
    for layer in range(LAYERS):
        shapes[f"model.layers.{layer}.self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"model.layers.{layer}.mlp.up_proj.weight"] = (2 * HIDDEN, HIDDEN)
        shapes[f"model.layers.{layer}.input_layernorm.weight"] = (HIDDEN,)
    shapes |= {"model.norm.weight": (HIDDEN,), "lm_head.weight": (ROWS, HIDDEN)}
    base, own = np.random.default_rng(0), np.random.default_rng(seed)
    drift = 0.1 * bool(seed)
    return {
        name: (base.standard_normal(shape) + drift * own.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def save(folder: Path, content: Mapping[str, Floats], *, dtype: str = "F32") -> Path:
    """Write a model of one weight file, with config.json and a tokenizer of ROWS tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    header: dict[str, object] = {}
    data = b""
    for name, values in content.items():
        part = stored(values, dtype)
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    (folder / "model.safetensors").write_bytes(file_bytes(header, data))
    config = {"model_type": "llama", "vocab_size": ROWS, "torch_dtype": "float32", "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {f"t{number}": number for number in range(ROWS)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": vocabulary}}))
    return folder


def stored(values: Floats, dtype: str) -> bytes:
    """Bytes of values as F32, or as BF16 by cutting off (good enough to have some)."""
    if dtype == "BF16":
        return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.tobytes()


def file_bytes(header: Mapping[str, object] | str, data: bytes, *, length: int | None = None) -> bytes:
    """A safetensors file; `length` lies about the header's length."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def family(folder: Path, *, dtype: str = "F32") -> None:
    """base, expert-a, expert-b and expert-c in a folder."""
    for seed, name in enumerate(("base", "expert-a", "expert-b", "expert-c")):
        save(folder / name, tensors(seed), dtype=dtype)

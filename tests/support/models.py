"""Tiny checkpoints on disk: named numpy arrays in, a folder out, and back.

Arrays carry the element type (float32, float16, ml_dtypes.bfloat16, ...). Files are put together and taken apart here
byte by byte, so that the product does not read only what itself wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mixmerge.checkpoint import DTYPES

BF16 = np.dtype(ml_dtypes.bfloat16)
F8 = np.dtype(ml_dtypes.float8_e4m3fn)
NUMPY = {name: dtype.numpy for name, dtype in DTYPES.items()}
_NAMES = {dtype.numpy: name for name, dtype in DTYPES.items()}

Arrays = dict[str, np.ndarray]
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "vocab_size": 32,
    "hidden_size": 8,
    "torch_dtype": "float32",
    "tie_word_embeddings": False,
}


def llama_shapes(*, layers: int = 2, hidden: int = 8, vocab: int = 32, head: bool = True) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama checkpoint, in the order of its layers."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes[at + "input_layernorm.weight"] = (hidden,)
        for name in "qkvo":
            shapes[f"{at}self_attn.{name}_proj.weight"] = (hidden, hidden)
        shapes[at + "mlp.up_proj.weight"] = (3 * hidden, hidden)
        shapes[at + "mlp.down_proj.weight"] = (hidden, 3 * hidden)
    shapes["model.norm.weight"] = (hidden,)
    if head:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def smooth(shapes: Mapping[str, tuple[int, ...]], seed: int, size: float = 0.02) -> Arrays:
    """Normal numbers, float32."""
    rng = np.random.default_rng(seed)
    return {name: (rng.standard_normal(shape) * size).astype(np.float32) for name, shape in shapes.items()}


def moved(base: Mapping[str, np.ndarray], seed: int, size: float = 0.002) -> Arrays:
    """A fine-tune: normal changes of every element, float32."""
    rng = np.random.default_rng(seed)
    return {
        name: (values.astype(np.float32) + rng.standard_normal(values.shape).astype(np.float32) * np.float32(size))
        for name, values in base.items()
    }


def grid(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Arrays:
    """Multiples of 1/64 up to 1 in size: sums and differences of a few of them are exact."""
    rng = np.random.default_rng(seed)
    return {name: (rng.integers(-64, 65, shape) / 64).astype(np.float32) for name, shape in shapes.items()}


def stepped(base: Mapping[str, np.ndarray], seed: int, steps: int = 4) -> Arrays:
    """A fine-tune by a few steps of 1/512: equal magnitudes and exact cancellations everywhere."""
    rng = np.random.default_rng(seed)
    return {
        name: values.astype(np.float32) + (rng.integers(-steps, steps + 1, values.shape) / 512).astype(np.float32)
        for name, values in base.items()
    }


def cast(model: Mapping[str, np.ndarray], dtype: Any) -> Arrays:
    """Every tensor rounded to one element type."""
    return {name: values.astype(dtype) for name, values in model.items()}


def widened(model: Mapping[str, np.ndarray]) -> Arrays:
    """float64 values, as the oracles take them."""
    return {name: values.astype(np.float32).astype(np.float64) for name, values in model.items()}


def write_model(
    folder: Path,
    model: Mapping[str, np.ndarray],
    *,
    config: Mapping[str, Any] | None = CONFIG,
    shards: int = 1,
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A checkpoint in a new folder. config: config.json, None for none. files: further files by name."""
    folder.mkdir(parents=True)
    names = list(model)
    parts = [names[number::shards] for number in range(shards)]
    weight_map = {}
    for number, part in enumerate(parts, 1):
        file = "model.safetensors" if shards == 1 else f"model-{number:05d}-of-{shards:05d}.safetensors"
        _write_file(folder / file, {name: model[name] for name in part})
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(dict(config)))
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def _write_file(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin, data = 0, []
    for name, values in tensors.items():
        data.append(np.ascontiguousarray(values).tobytes())
        end = begin + len(data[-1])
        entries[name] = {"dtype": _NAMES[values.dtype], "shape": list(values.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def read_model(folder: Path) -> Arrays:
    """All tensors of a folder, parsed here byte by byte."""
    found: Arrays = {}
    for file in sorted(folder.glob("*.safetensors")):
        data = file.read_bytes()
        length = int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                begin, end = (8 + length + offset for offset in entry["data_offsets"])
                found[name] = np.frombuffer(data[begin:end], NUMPY[entry["dtype"]]).reshape(entry["shape"])
    return found


def tree_bytes(folder: Path, *, without: Iterable[str] = ()) -> dict[str, bytes]:
    """Every file below a folder, by relative name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in without
    }


def weight_bytes(folder: Path) -> dict[str, bytes]:
    """Every safetensors file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def digest_tree(folder: Path) -> str:
    """One hash over names, bytes and times of all files: has anything been touched?"""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        found.update(f"{path.relative_to(folder)}\0{stat.st_mtime_ns}\0{stat.st_size}\0".encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()

"""Three Llama-shaped bf16 checkpoints (base, a, b) with fine-tuning-like differences, written by Mixmerge's own writer.

usage: checkpoints.py OUT_DIR [--layers 22] [--hidden 2048]     22 x 2048 is 1.1 B parameters, 2.2 GB each
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np

from mixmerge.checkpoint import DTYPES, CheckpointWriter, TensorSpec, lay_out

VOCABULARY = 32_000
SHARD = 1_000_000_000


def shapes(hidden: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a Llama with grouped-query attention and an untied head."""
    inner, narrow = int(hidden * 2.75), hidden // 8
    yield "model.embed_tokens.weight", (VOCABULARY, hidden)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", narrow, hidden),
            ("self_attn.v_proj", narrow, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ):
            yield f"{prefix}{name}.weight", (rows, columns)
        yield prefix + "input_layernorm.weight", (hidden,)
        yield prefix + "post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (VOCABULARY, hidden)


def values(kind: int, number: int, shape: tuple[int, ...]) -> np.ndarray:
    """One tensor of model `kind` (0 is the base): normal weights of 0.02, changes of 0.002 on top."""
    base = np.random.default_rng([0, number]).standard_normal(shape, dtype=np.float32)
    base = base * np.float32(0.02) if len(shape) > 1 else np.ones(shape, np.float32)
    if kind:
        base += np.random.default_rng([kind, number]).standard_normal(shape, dtype=np.float32) * np.float32(0.002)
    return base.astype(ml_dtypes.bfloat16)


def config(hidden: int, layers: int) -> dict[str, object]:
    """What transformers needs to load them."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": int(hidden * 2.75),
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64,
        "num_key_value_heads": hidden // 64 // 8 or 1,
        "vocab_size": VOCABULARY,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    }


def write(folder: Path, kind: int, hidden: int, layers: int) -> None:
    """Write one model."""
    specs = [TensorSpec(name, DTYPES["BF16"], shape) for name, shape in shapes(hidden, layers)]
    with CheckpointWriter(folder, lay_out(specs, SHARD)) as writer:
        for number, spec in enumerate(specs):
            writer.write(spec.name, 0, values(kind, number, spec.shape).reshape(-1).view(np.uint8))
        writer.finish()
    (folder / "config.json").write_text(json.dumps(config(hidden, layers)))


def main() -> None:
    """Write base, a and b under OUT_DIR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--hidden", type=int, default=2048)
    options = parser.parse_args()
    for kind, name in enumerate(("base", "a", "b")):
        write(options.out / name, kind, options.hidden, options.layers)


if __name__ == "__main__":
    main()

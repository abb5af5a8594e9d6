"""Options of mergekit's command line that people bring along, and what stands for them here. Nothing is run by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NO_GPU: Final = "leave it out: merging needs no GPU"
_CARRIED: Final = "leave it out: tokenizer files are always carried over"
_CARD: Final = "leave it out: a model card is always written"
_SAFE: Final = "leave it out: only safetensors are written"
_BLOCKS: Final = "leave it out: weights are read in blocks; --memory SIZE bounds the process"

OF_MERGEKIT: Final[Mapping[str, str]] = {
    "--allow-crimes": "leave it out: what cannot be merged is told, with the way out",
    "--async-write": "leave it out: blocks are written as they come",
    "--clone-tensors": "leave it out: layers that occur twice are written twice",
    "--copy-tokenizer": _CARRIED,
    "--cuda": _NO_GPU,
    "--device": _NO_GPU,
    "--gpu-rich": _NO_GPU,
    "--lazy-unpickle": _BLOCKS,
    "--lora-merge-cache": "leave it out: adapters are added while their model is read",
    "--lora-merge-dtype": "leave it out: adapters are added in float32",
    "--low-cpu-memory": _BLOCKS,
    "--multi-gpu": _NO_GPU,
    "--no-copy-tokenizer": _CARRIED,
    "--no-safe-serialization": _SAFE,
    "--no-write-model-card": _CARD,
    "--num-threads": "say --threads N",
    "--out-shard-size": "say --shard-size SIZE, in bytes: mergekit counts parameters",
    "--random-seed": "say --seed N",
    "--read-to-gpu": _NO_GPU,
    "--safe-serialization": _SAFE,
    "--transformers-cache": "leave it out: the environment variable HF_HOME names the cache",
    "--trust-remote-code": "leave it out: a model's code is never run",
    "--unsafe-truncate-embeddings": "leave it out: rows are put in step by token (docs/vocabularies.md)",
    "--write-model-card": _CARD,
    "--write-threads": "say --threads N",
    "-j": "say --threads N",
    "-v": "leave it out: what a merge does is told without it; mixmerge plan tells all of it before",
}


def instead_of(name: str) -> str | None:
    """What stands for an option of mergekit, as typed: `--no-cuda` as `--cuda`, `-j8` as `-j`; None for others."""
    bare = name if name.startswith("--") else name[:2]
    return OF_MERGEKIT.get(bare) or OF_MERGEKIT.get(bare.replace("--no-", "--", 1))

"""Runs mergekit in its own Python and writes the small checkpoints it is run on.

mergekit pins old versions of common packages, so it lives in an environment of its own, whose Python
MIXMERGE_MERGEKIT_PYTHON names. Nothing of mergekit is imported here; the child process uses its public entry
points.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Model = dict[str, Array]

HIDDEN, LAYERS, VOCABULARY = 32, 3, 64

# Reads {"jobs": [[yaml, folder], ...], "settle": bool}, writes {folder: error or null}.
# `settle` fixes what mergekit leaves open: equal magnitudes are ordered by index, and Bernoulli masks come
# from the hash of `settled_keep`, so that whole merges can be compared.
_CHILD = """
import json, sys, yaml, torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

order = json.load(open(sys.argv[1]))
if order["settle"]:
    unstable = torch.argsort
    torch.argsort = lambda x, dim=-1, descending=False, stable=True: unstable(
        x, dim=dim, descending=descending, stable=True)

    def bernoulli(p, **_):
        e = torch.arange(p.numel(), dtype=torch.int64)
        u = ((e * 2654435761) % 2**32).double() / 2**32
        return (u < p.reshape(-1).double()).to(p.dtype).reshape(p.shape)
    torch.bernoulli = bernoulli
errors = {}
for text, folder in order["jobs"]:
    try:
        config = MergeConfiguration.model_validate(yaml.safe_load(text))
        options = MergeOptions(copy_tokenizer=False, lazy_unpickle=True, write_model_card=False, quiet=True)
        run_merge(config, folder, options, config_source=text)
        errors[folder] = None
    except BaseException as error:
        errors[folder] = f"{type(error).__name__}: {error}"
json.dump(errors, open(sys.argv[2], "w"))
"""


class MergekitError(RuntimeError):
    """mergekit refused or failed; the text is its own."""


def mergekit_python() -> str | None:
    """The Python that has mergekit: MIXMERGE_MERGEKIT_PYTHON, else this one if mergekit is installed here."""
    named = os.environ.get("MIXMERGE_MERGEKIT_PYTHON")
    return named or (sys.executable if find_spec("mergekit") else None)


def mergekit_version() -> str:
    """Version of the mergekit that is run."""
    code = "import importlib.metadata as m; print(m.version('mergekit'))"
    return subprocess.run(
        [str(mergekit_python()), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def run_mergekit(yaml_text: str, folder: Path, *, settle: bool = False) -> Model:
    """Tensors mergekit writes to `folder` for one YAML, widened to float64."""
    result = run_mergekit_many({"only": yaml_text}, folder, settle=settle)["only"]
    if isinstance(result, MergekitError):
        raise result
    return result


def run_mergekit_many(
    yamls: Mapping[str, str], folder: Path, *, settle: bool = False
) -> dict[str, Model | MergekitError]:
    """One child process for many YAMLs (its imports take seconds): result or error under each name."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = {name: folder / f"out-{number}" for number, name in enumerate(yamls)}
    for output in outputs.values():
        shutil.rmtree(output, ignore_errors=True)
    jobs = [[text, str(outputs[name])] for name, text in yamls.items()]
    (folder / "order.json").write_text(json.dumps({"jobs": jobs, "settle": settle}))
    paths = [str(folder / "order.json"), str(folder / "errors.json")]
    # Offline: everything is local, and a merge must not ask a hub for anything.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(
            [str(mergekit_python()), "-W", "ignore", "-c", _CHILD, *paths],
            check=True, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    errors = json.loads((folder / "errors.json").read_text())
    return {
        name: MergekitError(errors[str(output)]) if errors[str(output)] else read_checkpoint(output)
        for name, output in outputs.items()
    }


def settled_keep(name: str, position: int, count: int, *, density: float) -> NDArray[np.bool_]:
    """The mask that `settle` gives mergekit instead of a random one: the same for every tensor and source."""
    e = np.arange(count, dtype=np.int64)
    return np.asarray(((e * 2654435761) % 2**32) / 2**32 < np.float64(np.float32(density)))


def llama_shapes(layers: int = LAYERS, hidden: int = HIDDEN, tied: bool = False) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama checkpoint with four heads and one key-value head."""
    inner, kv = int(hidden * 2.75), hidden // 4
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes[at + "self_attn.q_proj.weight"] = (hidden, hidden)
        shapes[at + "self_attn.k_proj.weight"] = (kv, hidden)
        shapes[at + "self_attn.v_proj.weight"] = (kv, hidden)
        shapes[at + "self_attn.o_proj.weight"] = (hidden, hidden)
        shapes[at + "mlp.gate_proj.weight"] = (inner, hidden)
        shapes[at + "mlp.up_proj.weight"] = (inner, hidden)
        shapes[at + "mlp.down_proj.weight"] = (hidden, inner)
        shapes[at + "input_layernorm.weight"] = (hidden,)
        shapes[at + "post_attention_layernorm.weight"] = (hidden,)
    shapes["model.norm.weight"] = (hidden,)
    if not tied:
        shapes["lm_head.weight"] = (VOCABULARY, hidden)
    return shapes


def write_checkpoint(folder: Path, model: Model, *, dtype: str = "F32", tied: bool = False) -> Path:
    """A Llama checkpoint folder that transformers can read: config.json and one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = len({name.split(".")[2] for name in model if name.startswith("model.layers.")})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": int(HIDDEN * 2.75), "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 1, "vocab_size": VOCABULARY, "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": tied, "hidden_act": "silu",
        "torch_dtype": {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    payload = b""
    for name, values in model.items():
        data = _stored(values, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [len(payload), len(payload) + len(data)],
        }
        payload += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + payload)
    return folder


def read_checkpoint(folder: Path) -> Model:
    """All tensors of a folder's safetensors files, widened to float64."""
    return {name: values for name, (_, values) in read_typed(folder).items()}


def read_typed(folder: Path) -> dict[str, tuple[str, Array]]:
    """As `read_checkpoint`, each with its stored dtype."""
    found: dict[str, tuple[str, Array]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        data = file.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:start]).items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                values = _widened(data[start + first : start + last], entry["dtype"])
                found[name] = entry["dtype"], values.reshape(entry["shape"])
    return found


def to_bf16(values: Array) -> Array:
    """Rounded to the nearest bfloat16, ties to even, as float64."""
    return _widened(_stored(values, "BF16"), "BF16").reshape(values.shape)


def _stored(values: Array, dtype: str) -> bytes:
    if dtype == "BF16":
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def _widened(data: bytes, dtype: str) -> Array:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float64)

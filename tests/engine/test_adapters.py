"""Merging through adapters: the values, their bits whatever the blocks, records, resuming, and PEFT's own sums."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.test_memory import _CHILD
from mixmerge import api
from mixmerge.engine.events import TensorDone
from mixmerge.engine.fingerprint import chunk_digests, combined
from mixmerge.errors import CheckpointError, InterruptedMergeError, NonFiniteError
from mixmerge.kernels import CHUNK, load
from mixmerge.methods import METHODS
from support import models
from support.adapters import EMBEDDING, PREFIX, UP, Q, adapted, adapted32, factors, write_adapter
from support.merging import merge_live, plan_of, recipe_of

LARGE = "model.layers.0.mlp.gate_proj"
SHAPES = {**models.llama_shapes(), f"{LARGE}.weight": (300, 7 * CHUNK // 300 + 1)}
BASE = models.smooth(SHAPES, 1)


class Pair:
    """A base in some dtype, two adapters, the models these make, and how recipes name them."""

    def __init__(self, root: Path, dtype: Any) -> None:
        self.base = models.cast(BASE, dtype)
        self.tensors = [factors(BASE, Q, UP, LARGE, EMBEDDING, rank=3, seed=k, dtype=dtype) for k in (1, 2)]
        self.folder = models.write_model(root / "base", self.base)
        self.adapters = [
            write_adapter(root / f"adapter-{k}", own, r=3, lora_alpha=6) for k, own in enumerate(self.tensors)
        ]
        self.named = [f"{self.folder}+{path}" for path in self.adapters]
        made = [adapted32(self.base, own) for own in self.tensors]
        self.whole = [models.write_model(root / f"whole-{k}", own) for k, own in enumerate(made)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: Pair(root / name, kind) for name, kind in (("F32", np.float32), ("BF16", models.BF16))}


def alike(a: models.Arrays, b: models.Arrays) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize(("dialect", "method"), METHODS)
def test_every_method_sees_what_the_definition_makes(
    dialect: str, method: str, dtype: str, pairs: dict[str, Pair]
) -> None:
    """The same bits as from checkpoints in float32 that hold W + s (B @ A), by compiled loops and by numpy."""
    pair = pairs[dtype]
    keys: dict[str, Any] = {"dialect": dialect, "dtype": "float32", "mixup": {"ratio": 0.3}}
    base = None if (dialect, method) == ("mergekit", "linear") else pair.folder
    wanted = merge_live(recipe_of(method, pair.whole, base, **keys))
    for kernels in (load(compiled=True), load(compiled=False)):
        assert alike(merge_live(recipe_of(method, pair.named, base, **keys), kernels=kernels), wanted)


@pytest.mark.parametrize("dare", [None, {"drop_rate": 0.3}, {"drop_rate": 0.3, "strategy": "magnitude"}])
def test_dare_and_an_adapted_base(dare: Any, pairs: dict[str, Pair]) -> None:
    pair = pairs["BF16"]
    keys: dict[str, Any] = {"dialect": "paper", "dtype": "float32", "mixup": {"ratio": 0.3}, "dare": dare, "seed": 4}
    named = merge_live(recipe_of("ties", [pair.named[0], pair.folder], pair.named[1], **keys))
    assert alike(named, merge_live(recipe_of("ties", [pair.whole[0], pair.folder], pair.whole[1], **keys)))


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_the_values_are_near_the_exact_ones(dtype: str, pairs: dict[str, Pair], tmp_path: Path) -> None:
    """Against float64: within half a step of the output's dtype, and the sums' own rounding."""
    pair = pairs[dtype]
    api.merge(recipe_of("linear", pair.named, dialect="paper", mixup={"ratio": 0.3}), tmp_path / "out", threads=1)
    found = models.read_model(tmp_path / "out")
    exact = [adapted(pair.base, own) for own in pair.tensors]
    step = {"F32": 2.0**-24, "BF16": 2.0**-8}[dtype]
    for name, values in found.items():
        wanted = 0.3 * exact[0][name] + 0.7 * exact[1][name]
        assert values.dtype == pair.base[name].dtype
        assert (np.abs(values.astype(np.float64) - wanted) <= step * np.abs(wanted) * 1.001 + 1e-6).all(), name


def test_the_same_bytes_whatever_blocks_and_threads(pairs: dict[str, Pair], tmp_path: Path) -> None:
    pair = pairs["BF16"]
    recipe = recipe_of("ties", pair.named, pair.folder, dialect="paper", dare={"drop_rate": 0.2}, mixup={"ratio": 0.4})
    seen = [
        merge_live(recipe, block=block, threads=threads)
        for block, threads in ((CHUNK, 1), (2 * CHUNK, 3), (8 * CHUNK, 2))
    ]
    assert alike(seen[0], seen[1])
    assert alike(seen[0], seen[2])
    api.merge(recipe, tmp_path / "out", threads=2)
    written = models.read_model(tmp_path / "out")
    assert alike(
        {name: values.reshape(-1) for name, values in written.items()}, {n: v.reshape(-1) for n, v in seen[0].items()}
    )


def test_an_adapter_that_adds_nothing(pairs: dict[str, Pair], tmp_path: Path) -> None:
    pair = pairs["BF16"]
    nothing = {name: np.zeros_like(values) if ".lora_B" in name else values
               for name, values in factors(BASE, Q, LARGE).items()}  # fmt: skip
    adapter = write_adapter(tmp_path / "none", nothing)
    keys: dict[str, Any] = {"dialect": "paper", "mixup": {"ratio": 0.5}}
    found = merge_live(recipe_of("linear", [f"{pair.folder}+{adapter}", pair.folder], **keys))
    for name, values in found.items():
        assert np.array_equal(values.reshape(-1), pair.base[name].reshape(-1))


def test_whole_tensors_of_the_adapter_replace_those_of_the_model(pairs: dict[str, Pair], tmp_path: Path) -> None:
    """`modules_to_save`, in float32 beside a model in bfloat16; also under a change of the same tensor."""
    pair = pairs["BF16"]
    rng = np.random.default_rng(8)
    own = {
        **factors(BASE, EMBEDDING),
        f"{PREFIX}{EMBEDDING}.base_layer.weight": rng.standard_normal((32, 8)).astype(np.float32),
        f"{PREFIX}lm_head.weight": rng.standard_normal((32, 8)).astype(np.float32),
    }
    adapter = write_adapter(tmp_path / "saved", own, modules_to_save=["lm_head"])
    keys: dict[str, Any] = {"dialect": "mergekit", "parameters": {"weight": 1}}
    api.merge(recipe_of("linear", [f"{pair.folder}+{adapter}"], **keys), tmp_path / "out", threads=1)
    found = models.read_model(tmp_path / "out")
    embedding = {f"{EMBEDDING}.weight": own[f"{PREFIX}{EMBEDDING}.base_layer.weight"]}
    wanted = adapted32(embedding, factors(BASE, EMBEDDING)) | {"lm_head.weight": own[f"{PREFIX}lm_head.weight"]}
    for name, values in wanted.items():
        assert found[name].tobytes() == values.astype(models.BF16).tobytes()
    assert found["model.norm.weight"].tobytes() == pair.base["model.norm.weight"].tobytes()


def test_weights_stored_transposed(tmp_path: Path) -> None:
    """`fan_in_fan_out`, as GPT-2's are, under the names its checkpoint has."""
    shapes = {"wte.weight": (32, 8), "h.0.attn.c_attn.weight": (8, 24), "h.0.mlp.c_fc.weight": (8, 8)}
    base = models.smooth(shapes, 3)
    own: models.Arrays = {}
    for module, (rows, columns) in (("h.0.attn.c_attn", (24, 8)), ("h.0.mlp.c_fc", (8, 8))):
        turned = factors({f"transformer.{module}.weight": np.empty((rows, columns))}, f"transformer.{module}")
        own |= turned
    folder = models.write_model(tmp_path / "base", base)
    adapter = write_adapter(tmp_path / "tuned", own, fan_in_fan_out=True)
    found = merge_live(
        recipe_of("linear", [f"{folder}+{adapter}"], dialect="mergekit", parameters={"weight": 1}), threads=1
    )
    turned = adapted32(
        {name: values.T for name, values in base.items()},
        {name.replace("transformer.", ""): values for name, values in own.items()},
    )
    for name in shapes:
        assert np.array_equal(found[name].reshape(shapes[name]), turned[name].T), name


def test_infinity_that_a_change_makes_names_model_and_tensor(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "base", BASE)
    huge = {name: np.full_like(values, 3e30) for name, values in factors(BASE, Q).items()}
    adapter = write_adapter(tmp_path / "huge", huge)
    with pytest.raises(NonFiniteError, match=f"{Q}.weight") as caught:
        api.merge(recipe_of("linear", [f"{folder}+{adapter}", folder], dialect="paper"), tmp_path / "out")
    assert f"{folder}+{adapter}" in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def fingerprint(values: np.ndarray) -> str:
    data = np.frombuffer(values.tobytes(), np.uint8)
    return combined(chunk_digests(data, values.itemsize))


def test_the_record_names_every_byte_that_went_in(pairs: dict[str, Pair], tmp_path: Path) -> None:
    pair = pairs["BF16"]
    out = tmp_path / "out"
    record = api.merge(recipe_of("linear", [pair.named[0], pair.folder], dialect="paper", mixup={"ratio": 0.3}), out)
    assert json.loads((out / "mixmerge.json").read_text()) == json.loads(json.dumps(record))
    own = record["models"][0]
    assert own["tensors"] == {name: fingerprint(values) for name, values in pair.base.items()}
    assert own["adapter"]["tensors"] == {name: fingerprint(values) for name, values in pair.tensors[0].items()}
    assert own["adapter"]["changes"][f"{Q}.weight"] == {"rank": 3, "scale": 2.0}
    assert own["adapter"]["adapter"] == str(pair.adapters[0])
    assert "adapter" not in record["models"][1]
    card = (out / "README.md").read_text()
    assert f"is read through the LoRA adapter `{pair.adapters[0]}`: low-rank changes of 4 tensors." in card
    assert api.verify(out) == record
    again = api.merge(record["recipe"], tmp_path / "again")
    assert again == record
    assert models.weight_bytes(tmp_path / "again") == models.weight_bytes(out)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of a process from /proc")
def test_the_projection_of_memory_holds(tmp_path: Path) -> None:
    """Factors as large as the blocks: of rank 512, 8 MB each as float32."""
    shapes = {f"model.layers.{layer}.mlp.up_proj.weight": (4096, 1024) for layer in range(3)}
    base = models.cast({name: np.resize(BASE[f"{LARGE}.weight"], shape) for name, shape in shapes.items()}, models.BF16)
    folder = models.write_model(tmp_path / "base", base)
    modules = [name.removesuffix(".weight") for name in shapes]
    adapter = write_adapter(tmp_path / "tuned", factors(base, *modules, rank=512, dtype=models.BF16), r=512)
    recipe = {
        "merge_method": "linear",
        "dialect": "paper",
        "models": [{"model": f"{folder}+{adapter}"}, {"model": str(folder)}],
    }
    order = {"recipe": json.dumps(recipe, indent=1), "out": str(tmp_path / "out"), "threads": 2, "memory": None}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps(order)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["peak"] <= found["projected"]


class StopError(Exception):
    """The merge is to stop here."""


def stopping(after: int) -> Any:
    done = []

    def listen(event: Any) -> None:
        done.extend([event] if isinstance(event, TensorDone) else [])
        if len(done) == after:
            raise StopError

    return listen


@pytest.mark.parametrize("changed", [None, "weights", "settings"])
def test_an_interrupted_merge_goes_on_unless_the_adapter_has_changed(changed: str | None, tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "base", BASE)
    own = factors(BASE, Q, UP, LARGE)
    adapter = write_adapter(tmp_path / "tuned", own)
    recipe = recipe_of("linear", [f"{folder}+{adapter}", folder], dialect="paper", mixup={"ratio": 0.3})
    with pytest.raises(StopError):
        api.merge(recipe, tmp_path / "out", threads=1, listeners=[stopping(3)])
    if changed is None:
        api.merge(recipe, tmp_path / "out", resume=True)
        api.merge(recipe, tmp_path / "fresh")
        assert models.weight_bytes(tmp_path / "out") == models.weight_bytes(tmp_path / "fresh")
        return
    file = adapter / ("adapter_model.safetensors" if changed == "weights" else "adapter_config.json")
    stat = file.stat()
    if changed == "weights":
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    else:  # of the same length, and with its old time
        file.write_text(file.read_text().replace('"lora_alpha": 4', '"lora_alpha": 8'))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InterruptedMergeError, match="resumed with the recipe and inputs it began with"):
        api.merge(recipe, tmp_path / "out", resume=True)


def test_an_adapter_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "base", BASE)
    adapter = write_adapter(tmp_path / "tuned", factors(BASE, Q))
    plan = plan_of(recipe_of("linear", [f"{folder}+{adapter}", folder], dialect="paper"))
    file = adapter / "adapter_model.safetensors"
    os.truncate(file, file.stat().st_size - 4)
    change = next(item.change for step in plan.steps for item in step.all_inputs if item.change is not None)
    with pytest.raises(CheckpointError, match="4 bytes too early"):
        change.factors(plan.models[0])
    plan.close()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"up_proj": 3}},
        {"bias": "all", "modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
    ids=["plain", "patterns", "saved", "embedding"],
)
@pytest.mark.filterwarnings("ignore")
def test_pefts_own_sum(settings: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    """merge_and_unload in float32, from the files PEFT writes; it adds in another order, and rounds before."""
    peft = pytest.importorskip("peft")
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False, attention_bias=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "base")
    asked = {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "up_proj", "down_proj"], **settings}
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **asked))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    wrapped.save_pretrained(tmp_path / "tuned")
    whole = LlamaForCausalLM.from_pretrained(tmp_path / "base", dtype=getattr(torch, dtype))
    whole = peft.PeftModel.from_pretrained(whole, tmp_path / "tuned").merge_and_unload()
    peers = {name: values.detach().float().numpy() for name, values in whole.state_dict().items()}

    named = f"{tmp_path / 'base'}+{tmp_path / 'tuned'}"
    keys: dict[str, Any] = {"dialect": "mergekit", "dtype": "float32", "parameters": {"weight": 1}}
    found = merge_live(recipe_of("linear", [named], **keys))
    assert found.keys() == peers.keys()
    for name, values in peers.items():
        size = np.abs(values).max()
        off = np.abs(found[name].reshape(values.shape) - values)
        # the change and the sum, each rounded once to the base's dtype there; here neither
        assert (off <= (1e-6 if dtype == "float32" else 2.0**-7) * size).all(), name
        assert (
            name.endswith(("q_proj.weight", "up_proj.weight", "down_proj.weight", "embed_tokens.weight"))
            or not off.any()
        )
    assert any(not np.array_equal(peers[name], values.float().numpy()) for name, values in
               LlamaForCausalLM.from_pretrained(tmp_path / "base").state_dict().items())  # fmt: skip

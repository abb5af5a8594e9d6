"""A live model: its parameters' memory, under the names of its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from evaluation.conftest import bytes_tokenizer, llama, save
from mixmerge.checkpoint import DTYPES, open_checkpoint
from mixmerge.evaluation import LiveModel, LiveModelError
from mixmerge.sink import LiveSink


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    with open_checkpoint(folder, "m") as checkpoint:
        return {name: span.shape for name, span in checkpoint.tensors.items()}


def bits(folder: Path) -> dict[str, bytes]:
    """Every tensor of a checkpoint as raw bytes."""
    import torch

    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name).flatten().view(torch.uint8).numpy().tobytes() for name in file.keys()}  # noqa: SIM118


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.arange(5, 25)[None]).logits


@pytest.fixture(params=["bfloat16", "float16", "float32"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save(llama(tied=True, dtype=request.param), bytes_tokenizer(begin=True), tmp_path / "m")


def test_views_are_the_parameters_under_the_checkpoints_names(folder: Path) -> None:
    live = LiveModel.load(folder)
    tensors = live.tensors()
    assert live.is_faithful(shapes(folder))
    stored = bits(folder)
    assert {name: view.data.tobytes() for name, view in tensors.items()} == stored
    assert {view.dtype.numpy for view in tensors.values()} == {view.data.dtype for view in tensors.values()}


def test_writing_into_a_view_changes_the_model_and_not_the_file(folder: Path) -> None:
    live = LiveModel.load(folder)
    before, stored = logits(live.model), bits(folder)
    name = "model.layers.1.mlp.down_proj.weight"
    live.tensors()[name].data[:] = 0
    live.commit()
    parameter = live.model.get_parameter(name)
    assert not parameter.any()
    assert not (logits(live.model) == before).all()
    assert bits(folder) == stored


def test_tied_parameters_are_there_once_as_the_embedding(folder: Path) -> None:
    live = LiveModel.load(folder)
    tensors = live.tensors()
    assert "model.embed_tokens.weight" in tensors
    assert "lm_head.weight" not in tensors
    tensors["model.embed_tokens.weight"].data[:] = 0.5
    assert (live.model.lm_head.weight == 0.5).all()


def test_an_untied_head_is_there(tmp_path: Path) -> None:
    place = save(llama(tied=False), bytes_tokenizer(begin=True), tmp_path / "m")
    live = LiveModel.load(place)
    assert "lm_head.weight" in live.tensors()
    assert live.is_faithful(shapes(place))


def test_a_sink_makes_one_model_into_another(tmp_path: Path) -> None:
    """All tensors of one checkpoint written into the live model of another: its logits, bit for bit."""
    import torch

    tokenizer = bytes_tokenizer(begin=True)
    first = save(llama(tied=True, dtype="bfloat16"), tokenizer, tmp_path / "a")
    model = llama(tied=True, dtype="bfloat16")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    second = save(model, tokenizer, tmp_path / "b")
    for dtype in (None, "float32"):
        live, goal = LiveModel.load(first, dtype=dtype), LiveModel.load(second, dtype=dtype)
        sink = LiveSink(live.tensors())
        sink.check(shapes(second))
        for name, data in bits(second).items():
            sink.write(name, 0, DTYPES["BF16"], np.frombuffer(data, np.uint8))
        assert torch.equal(logits(live.model), logits(goal.model))


def test_staged_writes_take_effect_on_commit(folder: Path) -> None:
    """What a GPU needs, with ordinary memory in the place of pinned."""
    loaded = LiveModel.load(folder)
    live = LiveModel(loaded.model, loaded.tokenizer, staged=True)
    before, name = logits(live.model), "model.norm.weight"
    live.tensors()[name].data[:] = 2.0
    assert (logits(live.model) == before).all()
    live.commit()
    assert (live.model.get_parameter(name) == 2.0).all()
    assert {key: view.data.tobytes() for key, view in live.tensors().items() if key != name} == {
        key: value for key, value in bits(folder).items() if key != name
    }


def test_a_skeleton_needs_no_weights_and_computes_the_same(folder: Path) -> None:
    import torch

    whole, data = LiveModel.load(folder), bits(folder)
    (folder / "model.safetensors").unlink()
    live = LiveModel.skeleton(folder)
    assert live.model.dtype == whole.model.dtype
    assert live.model.generation_config.eos_token_id == whole.model.generation_config.eos_token_id
    for name, view in live.tensors().items():
        view.data.view(np.uint8)[:] = np.frombuffer(data[name], np.uint8)
    assert torch.equal(logits(live.model), logits(whole.model))


def test_a_model_that_is_fused_while_loading_is_not_faithful(tmp_path: Path) -> None:
    """transformers 5 stores the experts of a mixture one by one and computes with them in one piece."""
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=2, max_position_embeddings=32,
    )  # fmt: skip
    place = save(MixtralForCausalLM(config), bytes_tokenizer(begin=True), tmp_path / "moe")
    live = LiveModel.load(place)
    assert not live.is_faithful(shapes(place))
    own = {name: tuple(live.model.get_parameter(name).shape) for name in live.tensors()}
    assert live.is_faithful(own)
    assert not live.is_faithful({name: (1, *shape) for name, shape in own.items()})
    assert not live.is_faithful({**own, "other": (1,)})


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    place = save(llama(tied=True), bytes_tokenizer(begin=True), tmp_path / "m")
    tensors = load_file(place / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(LiveModelError, match=r"missing: model\.norm\.weight"):
        LiveModel.load(place)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("model.safetensors", "", "SafetensorError"),
        ("model.safetensors", "x" * 100, "SafetensorError"),
        ("config.json", '{"model_type": "llama", "hidden_size": "x"}', "hidden_size"),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "X"}}', "KeyError"),
        ("tokenizer.json", "[", "JSONDecodeError"),
    ],
)
def test_broken_files_are_told_whatever_the_libraries_raise(folder: Path, file: str, text: str, told: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(LiveModelError, match=told):
        LiveModel.load(folder)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    for make in (LiveModel.load, LiveModel.skeleton):
        with pytest.raises(LiveModelError, match="transformers can load the model"):
            make(tmp_path / "absent")
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    with pytest.raises(LiveModelError, match="nothing-known"):
        LiveModel.skeleton(tmp_path)

"""Element types of the output, config.json, and the small files that are carried over."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mixmerge import api
from mixmerge.errors import PlanError
from mixmerge.planning import Plan
from plan.conftest import BASE, Write
from support import models
from support.merging import merge_live, plan_of, recipe_of


def dtypes(recipe: Any) -> dict[str, str]:
    return {step.spec.name: step.spec.dtype.name for step in plan_of(recipe).steps}


def config(recipe: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan_of(recipe).files["config.json"])
    return found


def test_the_output_has_the_types_of_the_base_else_of_the_first_source(write: Write) -> None:
    base = {name: values.astype(models.BF16 if "mlp" in name else np.float16) for name, values in BASE.items()}
    sources = [write("a", models.cast(BASE, np.float32)), write("b", models.cast(BASE, models.BF16))]
    found = dtypes(recipe_of("ties", sources, write("base", base), dialect="paper"))
    assert {found[name] for name in found if "mlp" in name} == {"BF16"}
    assert {found[name] for name in found if "mlp" not in name} == {"F16"}
    assert set(dtypes(recipe_of("linear", sources, dialect="paper")).values()) == {"F32"}
    assert set(dtypes(recipe_of("linear", sources[::-1], dialect="paper")).values()) == {"BF16"}


@pytest.mark.parametrize(("said", "name"), [("float16", "F16"), ("bfloat16", "BF16"), ("float32", "F32")])
def test_dtype_is_that_of_every_float_tensor(said: str, name: str, write: Write) -> None:
    model = {**BASE, "ids": np.arange(3)}
    recipe = recipe_of("linear", [write("a", model), write("b", model)], dialect="paper", dtype=said)
    found = dtypes(recipe)
    assert found.pop("ids") == "I64"
    assert set(found.values()) == {name}
    assert config(recipe)["torch_dtype"] == said


def test_out_dtype_is_what_is_written(write: Write) -> None:
    paths = [write("a"), write("b")]
    recipe = recipe_of("linear", paths, parameters={"weight": 1}, dtype="float32", out_dtype="bfloat16")
    assert set(dtypes(recipe).values()) == {"BF16"}


@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
def test_config_states_the_type_most_bytes_have(key: str, write: Write) -> None:
    base = {name: values.astype(np.float32 if "norm" in name else models.BF16) for name, values in BASE.items()}
    stated = {**models.CONFIG, key: "float64"}
    if key == "dtype":
        del stated["torch_dtype"]
    recipe = recipe_of("ties", [write("a")], write("base", base, config=stated), dialect="paper")
    found = config(recipe)
    assert found[key] == "bfloat16"
    assert {"dtype", "torch_dtype"} & found.keys() == {key}
    assert list(found) == list(stated), "the order of a config is kept"


def test_config_states_the_rows_of_the_embedding(write: Write) -> None:
    stated = {**models.CONFIG, "vocab_size": 999}
    assert config(recipe_of("linear", [write("a", config=stated), write("b")], dialect="paper"))["vocab_size"] == 32


def test_a_config_inside_a_config(write: Write) -> None:
    """As multimodal models have it."""
    inner = {"num_hidden_layers": 2, "vocab_size": 7, "tie_word_embeddings": True}
    stated = {"model_type": "llava", "text_config": inner, "torch_dtype": "float32"}
    found = config(recipe_of("linear", [write("a", config=stated), write("b")], dialect="paper"))
    assert found["text_config"]["vocab_size"] == 32
    assert found["text_config"]["num_hidden_layers"] == 2


@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
def test_every_section_states_the_dtype_written(key: str, write: Write) -> None:
    stated = {
        "model_type": "llava", "vocab_size": 7, key: "float32",
        "text_config": {"model_type": "llama", key: "float32", "rope_scaling": {"dtype_of": "x"}},
        "vision_config": {key: "float32", "inner": {key: "float16"}, "vocab_size": 3}, "audio_config": None,
    }  # fmt: skip
    paths = [write("a", config=stated), write("b")]
    found = config(recipe_of("linear", paths, dialect="paper", dtype="bfloat16"))
    assert [found[key], found["text_config"][key], found["vision_config"][key]] == ["bfloat16"] * 3
    assert found["vision_config"]["inner"][key] == "bfloat16"
    assert found["vision_config"]["vocab_size"] == 3, "another vocabulary"
    assert found["vocab_size"] == 32
    assert "vocab_size" not in found["text_config"]
    assert found["text_config"]["rope_scaling"] == {"dtype_of": "x"}


def test_sections_of_models_in_several_types_keep_theirs(write: Write) -> None:
    stated = {"text_config": {"dtype": "bfloat16"}, "vision_config": {"dtype": "float32"}}
    model = {name: values.astype(np.float32 if "norm" in name else models.BF16) for name, values in BASE.items()}
    found = config(recipe_of("linear", [write("a", model, config=stated), write("b")], dialect="paper"))
    assert found["vision_config"] == {"dtype": "float32"}
    assert found["torch_dtype"] == "bfloat16"


def test_without_a_config_there_is_none(write: Write) -> None:
    plan = plan_of(recipe_of("linear", [write("a", config=None), write("b")], dialect="paper"))
    assert "config.json" not in plan.files


SMALL = {
    "tokenizer.json": json.dumps({"model": {"vocab": {"a": 0}}}),
    "tokenizer_config.json": '{"x": 1}',
    "special_tokens_map.json": "{}",
    "generation_config.json": '{"eos_token_id": 2}',
    "chat_template.jinja": "{{ messages }}",
    "modeling_evil.py": "import os",
    "pytorch_model.bin": "x",
    "README.md": "another model's",
    "training_args.bin": "x",
}


def test_small_files_come_from_the_base_else_from_the_first_source(write: Write, tmp_path: Path) -> None:
    named = {
        name: write(
            name, files={file: text + f" /* {name} */" * file.endswith(".jinja") for file, text in SMALL.items()}
        )
        for name in ("a", "b", "base")
    }
    cases = {"a": ([named["a"], named["b"]], None), "base": ([named["a"], named["b"]], named["base"])}
    for donor, (sources, base) in cases.items():
        out = tmp_path / f"out-{donor}"
        api.merge(recipe_of("linear", sources, base, dialect="paper"), out)
        files = {path.name for path in out.iterdir()}
        assert files == {
            "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
            "chat_template.jinja", "config.json", "README.md", "mixmerge.json", "model.safetensors",
        }  # fmt: skip
        assert (out / "chat_template.jinja").read_text() == f"{{{{ messages }}}} /* {donor} */"
        assert "Mixmerge" in (out / "README.md").read_text()


def test_the_tokenizer_may_come_from_another_model(write: Write) -> None:
    a, b = (
        write(name, files={**SMALL, "tokenizer_config.json": name, "generation_config.json": name}) for name in "ab"
    )
    plan = plan_of(recipe_of("linear", [a, b], dialect="paper", tokenizer_source=str(b)))
    assert plan.carried["tokenizer_config.json"] == b / "tokenizer_config.json"
    assert plan.carried["generation_config.json"] == a / "generation_config.json"


def test_a_chat_template_of_the_recipe(write: Write) -> None:
    a = write("a", files=SMALL)
    plan = plan_of(recipe_of("linear", [a, write("b")], dialect="paper", chat_template="{{ hello }}"))
    assert plan.files["chat_template.jinja"] == b"{{ hello }}"
    assert "chat_template.jinja" not in plan.carried


def test_live_models_have_the_tensors_of_the_merge(write: Write) -> None:
    from mixmerge.sink import LiveSink
    from support.merging import live_tensors

    plan = plan_of(recipe_of("linear", [write("a"), write("b")], dialect="paper"))
    wanted = {step.spec.name: step.spec.shape for step in plan.steps}
    tensors = live_tensors(plan)
    LiveSink(tensors).check(wanted)
    del tensors["lm_head.weight"]
    with pytest.raises(PlanError, match="lm_head"):
        LiveSink(tensors).check(wanted)
    assert merge_live(plan.recipe)


# Chat templates that the recipe names by a word


def template_of(plan: Plan) -> str:
    return plan.files["chat_template.jinja"].decode()


def test_chatml(write: Write) -> None:
    recipe = recipe_of("linear", [write("a", files=SMALL), write("b")], dialect="paper", chat_template="chatml")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers has it
    template = environment.from_string(template_of(plan_of(recipe)))
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Why?\n"}]
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Why?\n<|im_end|>\n"
    assert template.render(messages=said) == text
    assert template.render(messages=said, add_generation_prompt=True) == text + "<|im_start|>assistant\n"


def test_auto_takes_the_template_most_models_have(write: Write) -> None:
    """Wherever it is written; of as many, the first model's."""
    config = {"tokenizer_config.json": json.dumps({"chat_template": "{{ two }}"})}
    listed = {
        "tokenizer_config.json": json.dumps(
            {"chat_template": [{"name": "x", "template": "{{ x }}"}, {"name": "default", "template": "{{ two }}"}]}
        )
    }
    one, two, three = write("a", files={"chat_template.jinja": "{{ one }}"}), write("b", files=config), write("c")
    four = write("d", files=listed)
    said = {"dialect": "paper", "chat_template": "auto"}
    plan = plan_of(recipe_of("linear", [one, two, three, four], **said))
    assert template_of(plan) == "{{ two }}"
    assert f"chat_template: auto takes that of {two} (2 of 4 models have it)" in plan.notes
    assert template_of(plan_of(recipe_of("linear", [one, two], **said))) == "{{ one }}"
    plan = plan_of(recipe_of("linear", [three, write("e")], **said))
    assert "chat_template.jinja" not in plan.files
    assert any("no chat template" in note for note in plan.notes)


def test_a_template_that_cannot_be_read_is_none(write: Write) -> None:
    broken = {"tokenizer_config.json": '{"chat_template": ' + "[" * 5000}
    half = {"tokenizer_config.json": '{"chat_template": "{{ \\ud800 }}"}'}
    paths = [write("a", files=broken), write("b", files=half)]
    recipe = recipe_of("linear", paths, dialect="paper", chat_template="auto")
    assert template_of(plan_of(recipe)) == "{{ ? }}"


@pytest.mark.parametrize("name", ["tokenizer.json", "generation_config.json", "tokenizer_config.json"])
def test_small_files_that_cannot_be_opened_are_told_before_anything_is_read(
    name: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a merge would end at its very end, for a file of a few bytes."""
    paths = [write(model, files={name: "{}"}) for model in "ab"]
    own = os.open

    def refuse(path: Any, *options: Any, **words: Any) -> int:
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return own(path, *options, **words)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PlanError) as caught:
        api.merge(recipe_of("linear", paths, dialect="paper"), tmp_path / "out")
    assert [problem.place for problem in caught.value.problems] == [f"model {p}, file {p / name}" for p in paths]
    assert all("Permission denied" in problem.value for problem in caught.value.problems)
    assert not list(tmp_path.glob("out*"))

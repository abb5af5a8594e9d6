"""Tokens whose rows a recipe names: a merge has the bytes of one whose tables had been edited so by hand before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mixmerge import api
from support import models, vocabularies
from support.cases import CASES
from support.merging import bytes_of, merge_live, plan_of, recipe_of
from support.vocabularies import TABLES, Tokens, in_step, sized

LABELS = ("base", "x", "y")
WORDS = ["the", "a", "of", "in", "on"]
OWN: dict[str, Tokens] = {
    "base": [*WORDS, "[PAD]"],
    "x": [*WORDS[::-1], "[X]", None],
    "y": [*WORDS, "[PAD]", "[Y]", "[X]"],
}
SHAPES = {TABLES[0]: (5, 6), "model.layers.0.mlp.up_proj.weight": (7, 6), "model.norm.weight": (6,), TABLES[1]: (5, 6)}
Models = dict[str, models.Arrays]
Said = Mapping[str, Any]


def family() -> Models:
    base = models.grid(SHAPES, 3)
    named = {"base": base, "x": models.stepped(base, 4), "y": models.stepped(base, 5)}
    return {label: sized(model, len(OWN[label])) for label, model in named.items()}


def written(folder: Path, named: Models, own: Mapping[str, Tokens] | None) -> dict[str, Path]:
    return {
        label: vocabularies.write(folder / label, named[label], None if own is None else own[label], learned=5)
        for label in LABELS
    }


def by_hand(named: Models, out: Tokens, said: Said, *, owners: bool, multiple: int) -> Models:
    """Rows put in step, then those that are said entered, then rows up to a multiple."""
    found = in_step(named, OWN, out, owners=owners, base="base")
    for table in TABLES:
        for token, setting in said.items():
            row, value = list(out).index(token), np.zeros(6, np.float32)
            source = setting.get("source")
            if isinstance(source, str):
                value = named[source][table][list(OWN[source]).index(token)]
            elif source["kind"] == "model_token":
                own = OWN[source["model"]]
                place = source["token_id"] if "token_id" in source else list(own).index(source["token"])
                value = named[source["model"]][table][place]
            for label in LABELS:
                if setting.get("force") or token not in OWN[label]:
                    found[label][table][row] = value
        for label in LABELS:
            rows = found[label][table]
            tokens = sum(token is not None for token in out)
            mean = (rows[:tokens] if owners else named[label][table]).astype(np.float64).mean(axis=0)
            more = -len(rows) % multiple
            found[label][table] = np.concatenate([rows, np.broadcast_to(mean.astype(np.float32), (more, 6))])
    return found


def section(said: Said, paths: Mapping[str, Path], **keys: Any) -> dict[str, Any]:
    """As a recipe holds it, labels replaced by folders."""
    text = json.dumps({"tokens": said, **keys})
    for label, path in paths.items():
        text = text.replace(f'"source": "{label}"', f'"source": "{path}"').replace(
            f'"model": "{label}"', f'"model": "{path}"'
        )
    found: dict[str, Any] = json.loads(text)
    return found


PICKED = [case for case in CASES if case.n == 2 and case.needs_base and case.dare is None]
UNION = [*WORDS, "[PAD]", "[X]", "[Y]"]
SOURCES: list[Any] = [
    {"kind": "zero"},
    {"kind": "model_token", "model": "x", "token": "of"},
    {"kind": "model_token", "model": "y", "token_id": 7},
    {"kind": "model_token", "model": "base", "token": "[PAD]"},
]


@settings(max_examples=25, phases=[Phase.generate], deadline=None, derandomize=True)
@given(data=st.data())
def test_any_rows_said(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    named = family()
    token = st.sampled_from([*UNION, "[N1]", "[N2]"])
    said = data.draw(
        st.dictionaries(
            token, st.fixed_dictionaries({"source": st.sampled_from(SOURCES)}, optional={"force": st.booleans()}),
            max_size=4,
        )
    )  # fmt: skip
    if data.draw(st.booleans()):
        said["[X]"] = {"source": data.draw(st.sampled_from(["x", "y"])), "force": data.draw(st.booleans())}
    multiple = data.draw(st.sampled_from([1, 4, 7]))
    case = data.draw(st.sampled_from(PICKED))
    out = [*UNION, *sorted(new for new in said if new.startswith("[N"))]  # YAML is written in this order
    hand = by_hand(named, out, said, owners=case.dialect == "mergekit", multiple=multiple)
    root = tmp_path_factory.mktemp("any")
    paths, plain = written(root / "own", named, OWN), written(root / "hand", hand, None)
    tokenizer = section(said, paths, source="union", pad_to_multiple_of=multiple)
    found = merge_live(case.recipe([paths["x"], paths["y"]], paths["base"], tokenizer=tokenizer))
    assert bytes_of(found) == bytes_of(merge_live(case.recipe([plain["x"], plain["y"]], plain["base"])))


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_a_forced_row_is_the_sources_row_bit_for_bit(method: str, tmp_path: Path) -> None:
    named = {label: models.cast(model, models.BF16) for label, model in family().items()}
    paths = written(tmp_path, named, OWN)
    said = {"[X]": {"source": "y", "force": True}, "the": {"source": {"kind": "zero"}, "force": True}}
    recipe = recipe_of(method, [paths["x"], paths["y"]], paths["base"], dialect="paper", tokenizer=section(said, paths))
    found, ids = merge_live(recipe), {token: number for number, token in enumerate(UNION)}
    for table in TABLES:
        assert found[table][ids["[X]"]].tobytes() == named["y"][table][7].tobytes()
        assert not found[table][ids["the"]].view(np.uint16).any()


def test_rows_are_taken_from_a_model_of_another_dtype_and_from_tied_heads(tmp_path: Path) -> None:
    named = family()
    named["y"] = models.cast(named["y"], models.BF16)
    del named["x"][TABLES[1]]
    paths = {
        label: vocabularies.write(
            tmp_path / label, model, OWN[label], learned=5, config={"tie_word_embeddings": label == "x"}
        )
        for label, model in named.items()
    }
    named_row = {"kind": "model_token", "model": "x", "token": "on"}
    said = {"[N]": {"source": named_row}, "[Y]": {"source": "y", "force": True}}
    found = merge_live(
        recipe_of("linear", [paths["base"], paths["x"], paths["y"]], dialect="mergekit",
                  sources=[{"weight": 0.5}, {"weight": 0.25}, {"weight": 0.25}],
                  tokenizer=section(said, paths, source="base"))
    )  # fmt: skip
    for table in TABLES:
        row = named["x"][TABLES[0]][0]
        rounded = row.astype(models.BF16).astype(np.float32)
        assert (found[table][6] == 0.75 * row + 0.25 * rounded).all(), "a model's table keeps its dtype"
        assert (found[table][7] == named["y"][table][6].astype(np.float32)).all()


def test_the_same_settings_give_the_same_record_and_others_another_alignment(tmp_path: Path) -> None:
    paths = written(tmp_path / "m", family(), OWN)

    def recipe(**setting: Any) -> Any:
        said = {"[X]": {"source": "y", **setting}}
        return recipe_of("linear", [paths["x"], paths["y"]], dialect="paper", tokenizer=section(said, paths))

    record = api.merge(recipe(), tmp_path / "out")
    api.verify(tmp_path / "out")
    plans = [plan_of(recipe(**setting)).vocabulary for setting in ({}, {}, {"force": True})]
    digests = [plan.digest for plan in plans if plan is not None]
    assert digests[0] == digests[1] == record["vocabulary"]["sha256"]
    assert digests[2] != digests[0]


def test_transformers_reads_what_was_added(tmp_path: Path) -> None:
    """Tokens under their ids in text, special ones known as such, a model that runs and stops with them."""
    transformers = pytest.importorskip("transformers")
    config = {
        "hidden_size": 8, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 2,
        "num_hidden_layers": 2, "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "eos_token_id": 1, "bos_token_id": 0,
    }  # fmt: skip
    shapes = models.llama_shapes(vocab=5)
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {at + "mlp.gate_proj.weight": (24, 8), at + "post_attention_layernorm.weight": (8,)}
    base = models.grid(shapes, 3)
    paths = {}
    for number, (label, model) in enumerate({"x": base, "y": models.stepped(base, 4)}.items()):
        files = {
            "tokenizer_config.json": json.dumps(
                {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "on", "eos_token": "a"}
            ),
            "generation_config.json": json.dumps({"eos_token_id": [1, 2], "do_sample": False}),
        }
        own = OWN["base"] if number else WORDS
        paths[label] = vocabularies.write(
            tmp_path / label, sized(model, len(own)), own, learned=5, config=config, files=files
        )
    said = {
        "<|end|>": {"source": {"kind": "zero"}},
        "<|im_start|>": {"source": {"kind": "model_token", "model": "y", "token": "[PAD]"}, "force": True},
    }
    special = {"pad_token": "[PAD]", "eos_token": "<|end|>"}
    keys = section(said, paths, **special, pad_to_multiple_of=8)
    api.merge(recipe_of("linear", list(paths.values()), dialect="paper", tokenizer=keys), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    text = "<|im_start|> the of a<|end|>"
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == [7, 0, 2, 1, 6]
    assert tokenizer.decode([7, 0, 6, 5], skip_special_tokens=True) == "the", "as [PAD], which it comes from"
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (5, 6)
    assert (model.config.pad_token_id, model.config.eos_token_id) == (5, 6)
    assert model.generation_config.eos_token_id == [6, 1, 2]
    assert model.generation_config.pad_token_id == 5
    tables = {TABLES[0]: model.get_input_embeddings(), TABLES[1]: model.get_output_embeddings()}
    stored = models.read_model(paths["y"])
    for table, layer in tables.items():
        rows = layer.weight.detach().numpy()
        assert rows.shape == (8, 8)
        assert rows[7].tobytes() == stored[table][5].tobytes()
        assert not rows[6].any()
    ids = tokenizer(["the", "of a the"], padding=True, return_tensors="pt")
    assert model(**ids).logits.shape == (2, 3, 8)

"""What a plan says and writes where vocabularies differ: rows, files, ids, memory; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge import api
from mixmerge.cli.plan_json import plan_data
from mixmerge.cli.plan_text import plan_text
from mixmerge.errors import PlanError
from mixmerge.planning import Plan, vocabulary
from mixmerge.tokens import scan
from plan.conftest import BASE, Write
from support import models
from support.merging import merge_live, plan_of, recipe_of
from support.vocabularies import TABLES, sized, tokenizer_files

TOKENS = [f"t{k}" for k in range(32)]
PADDED = [*TOKENS, "[PAD]"]
CONFIG = {**models.CONFIG, "vocab_size": 33}


def written(write: Write, name: str, tokens: list[Any], learned: int = 32, **options: Any) -> Path:
    options["files"] = {**tokenizer_files(tokens, learned), **options.get("files", {})}
    return write(name, sized(models.moved(BASE, len(name)), len(tokens)), **options)


@pytest.fixture
def padded(write: Write) -> Plan:
    paths = [written(write, "code", TOKENS), written(write, "math", PADDED, config=CONFIG)]
    return plan_of(recipe_of("ties", paths, written(write, "base", TOKENS), dialect="paper"))


def test_config_and_tokenizer_agree_with_the_rows_written(padded: Plan) -> None:
    assert json.loads(padded.files["config.json"])["vocab_size"] == 33
    content = json.loads(padded.files["tokenizer.json"])
    assert content["added_tokens"][-1]["content"] == "[PAD]"
    assert content["added_tokens"][-1]["id"] == 32
    assert content["added_tokens"][-1]["special"] is True
    assert "tokenizer.json" not in padded.carried
    assert {step.spec.name: step.spec.shape for step in padded.steps}[TABLES[0]] == (33, 8)


@pytest.mark.parametrize("text", ["[]", "{", "\0", "[" * 200_000, "1" * 10_000])
@pytest.mark.parametrize("name", ["tokenizer_config.json", "added_tokens.json"])
def test_a_file_beside_the_tokenizer_that_states_nothing_is_left_alone(name: str, text: str, write: Write) -> None:
    home = written(write, "base", TOKENS, files={name: text})
    paths = [written(write, "code", TOKENS), written(write, "math", PADDED, config=CONFIG)]
    plan = plan_of(recipe_of("ties", paths, home, dialect="paper"))
    assert json.loads(plan.files["tokenizer.json"])["added_tokens"][-1]["content"] == "[PAD]"
    assert name == "added_tokens.json" or name not in plan.files


def test_half_a_character_in_a_chat_template_stays_as_it_is(write: Write) -> None:
    config = '{"chat_template": "\\ud800", "added_tokens_decoder": {}}'
    home = written(write, "base", TOKENS, files={"tokenizer_config.json": config})
    paths = [written(write, "code", TOKENS), written(write, "math", PADDED, config=CONFIG)]
    plan = plan_of(recipe_of("ties", paths, home, dialect="paper"))
    assert json.loads(plan.files["tokenizer_config.json"])["chat_template"] == "\ud800"


def test_the_alignment_is_told(padded: Plan) -> None:
    text = " ".join(plan_text(padded).split())  # lines are broken where paths are long
    assert "tokens 33 in 33 rows: those of" in text
    assert "'[PAD]' of" in text
    assert "lacks 1 token ('[PAD]')" in text
    assert "the mean of that model's own rows" in text
    told = plan_data(padded)["vocabulary"]
    assert (told["tokens"], told["rows"], told["rule"]) == (33, 33, "own mean")
    assert [one["missing"]["count"] for one in told["models"]] == [1, 0, 1]
    assert told["added"] == [{"token": "[PAD]", "id": 32, "model": padded.models[1].label}]


def test_rows_are_part_of_the_memory_promised(padded: Plan, write: Write) -> None:
    paths = [written(write, "a", TOKENS), written(write, "b", TOKENS)]
    same = plan_of(recipe_of("ties", paths, written(write, "c", TOKENS), dialect="paper"))
    assert padded.budget.projected > same.budget.projected
    stored = sum(padded.models[k].tensors[table].nbytes for k in (0, 2) for table in TABLES)
    passes = padded.cost.passes * sum(step.read_bytes for step in padded.steps)
    assert padded.cost.read == passes + 2 * stored, "read again for means and fingerprints"


def test_ids_in_configurations_follow_their_tokens(write: Write) -> None:
    """The donor's configuration beside another model's tokenizer."""
    config = {**models.CONFIG, "eos_token_id": 1, "bos_token_id": [0, 31], "pad_token_id": None}
    config["text_config"] = {"decoder_start_token_id": 30, "eos_token_id": 2}
    generation = {"generation_config.json": json.dumps({"eos_token_id": [1, 3], "max_length": 7})}
    a = written(write, "a", TOKENS, config=config, files=generation)
    b = written(write, "b", [*TOKENS[1:31], TOKENS[0], "[X]"], 31)
    plan = plan_of(recipe_of("linear", [a, b], dialect="paper", tokenizer_source=str(b)))
    found = json.loads(plan.files["config.json"])
    assert (found["eos_token_id"], found["bos_token_id"], found["pad_token_id"]) == (0, [30], None)
    assert found["text_config"] == {"decoder_start_token_id": 29, "eos_token_id": 1}
    assert json.loads(plan.files["generation_config.json"]) == {"eos_token_id": [0, 2], "max_length": 7}
    assert plan.carried["tokenizer.json"] == b / "tokenizer.json"


def test_files_that_need_no_change_are_carried_as_they_are(write: Write) -> None:
    generation = {"generation_config.json": '{"eos_token_id": 1 }'}
    a, b = written(write, "a", TOKENS, files=generation), written(write, "b", TOKENS[::-1])
    plan = plan_of(recipe_of("linear", [a, b], dialect="paper"))
    assert plan.carried["generation_config.json"] == a / "generation_config.json"
    assert plan.carried["tokenizer.json"] == a / "tokenizer.json"
    assert plan.vocabulary is not None
    assert [one.moved for one in plan.vocabulary.models] == [0, 32]


def test_every_file_that_states_added_tokens_gets_them(write: Write) -> None:
    files = {"tokenizer_config.json": '{"added_tokens_decoder": {}, "x": 1}', "added_tokens.json": "{}"}
    a = written(write, "a", TOKENS, files=files)
    plan = plan_of(recipe_of("linear", [a, written(write, "b", PADDED)], dialect="paper", tokenizer_source="union"))
    assert json.loads(plan.files["added_tokens.json"]) == {"[PAD]": 32}
    decoder = json.loads(plan.files["tokenizer_config.json"])["added_tokens_decoder"]
    assert decoder["32"]["content"] == "[PAD]"
    assert decoder["32"]["special"] is True
    assert json.loads(plan.files["tokenizer_config.json"])["x"] == 1


def test_a_vocab_size_left_to_its_default_is_stated_once_it_changes(write: Write) -> None:
    bare = {key: value for key, value in models.CONFIG.items() if key != "vocab_size"}
    paths = [written(write, "a", TOKENS, config=bare), written(write, "b", PADDED)]
    plan = plan_of(recipe_of("linear", paths, dialect="paper"))
    assert json.loads(plan.files["config.json"])["vocab_size"] == 33
    same = plan_of(recipe_of("linear", [paths[0], written(write, "c", TOKENS)], dialect="paper"))
    assert "vocab_size" not in json.loads(same.files["config.json"])


def test_rows_differ_and_no_tokenizer_says_why(write: Write) -> None:
    paths = [written(write, "a", TOKENS), write("b", sized(BASE, 33), config=CONFIG)]
    with pytest.raises(PlanError) as caught:
        api.plan(recipe_of("linear", paths, dialect="paper"))
    problems = [problem for problem in caught.value.problems if "tokens of every model are known" in problem.rule]
    assert [problem.place for problem in problems] == [f"model {paths[1]}"]


def test_the_base_can_still_decide(write: Write) -> None:
    """Where a vocabulary is not known, `on_mismatch: base` copies the base's rows as before."""
    base = written(write, "base", TOKENS)
    paths = [written(write, "a", TOKENS), write("b", sized(BASE, 33), config=CONFIG)]
    found = merge_live(recipe_of("ties", paths, base, dialect="paper", on_mismatch="base"))
    assert found[TABLES[0]].tobytes() == models.read_model(base)[TABLES[0]].tobytes()


@pytest.mark.parametrize("name", ["model.embed_tokens_per_layer.weight", "final_logits_bias"])
def test_other_tensors_over_the_vocabulary_are_refused(name: str, write: Write) -> None:
    extra = {name: np.ones((32, 3) if "embed" in name else (1, 32), np.float32)}
    paths = [
        write(key, {**models.moved(BASE, 3), **extra}, files=tokenizer_files(tokens))
        for key, tokens in (("a", TOKENS), ("b", TOKENS[::-1]))
    ]
    with pytest.raises(PlanError, match="only embeddings and heads run over the vocabulary") as caught:
        api.plan(recipe_of("linear", paths, dialect="paper"))
    assert {problem.place.partition("tensor ")[2] for problem in caught.value.problems} == {name}


def test_a_model_without_an_embedding_of_a_known_name(write: Write) -> None:
    paths = [
        write(key, {"table": np.ones((32, 2), np.float32)}, files=tokenizer_files(tokens))
        for key, tokens in (("a", TOKENS), ("b", TOKENS[::-1]))
    ]
    with pytest.raises(PlanError, match="embeddings has a known name"):
        api.plan(recipe_of("linear", paths, dialect="paper"))


def test_biases_of_heads_move_with_their_rows(write: Write) -> None:
    bias = np.arange(32, dtype=np.float32)
    a = write("a", {**BASE, "lm_head.bias": bias}, files=tokenizer_files(TOKENS))
    b = write("b", {**BASE, "lm_head.bias": bias[::-1].copy()}, files=tokenizer_files(TOKENS[::-1]))
    found = merge_live(recipe_of("linear", [a, b], dialect="paper"))
    assert found["lm_head.bias"].tolist() == bias.tolist()


def test_slices_ask_only_the_models_whose_embeddings_they_take(write: Write) -> None:
    """A model that gives layers alone may have any vocabulary."""
    import yaml

    from mixmerge.recipe import parse_recipe

    a, b = (
        written(write, "a", TOKENS),
        written(write, "b", [*TOKENS[:5], "other"], 6, config={**CONFIG, "vocab_size": 6}),
    )
    pieces = [{"sources": [{"model": str(m), "layer_range": [k % 2, k % 2 + 1]}]} for k, m in enumerate((a, b, a))]
    data = {"merge_method": "linear", "slices": pieces, "parameters": {"weight": 1}}
    assert plan_of(parse_recipe(yaml.safe_dump(data))).vocabulary is None


def test_large_tokenizers_that_agree_are_not_parsed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take as long as the rest of the plan, to say that nothing is wrong."""
    paths = [written(write, name, TOKENS) for name in ("a", "b")]
    monkeypatch.setattr(scan, "LARGE", 0)
    monkeypatch.setattr(vocabulary, "read_vocabulary", None)
    plan = plan_of(recipe_of("linear", paths, dialect="paper"))
    assert plan.vocabulary is None
    assert not plan.notes


def test_ids_behind_the_last_row_are_told_of_large_tokenizers_too(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(name, models.moved(BASE, 3), files=tokenizer_files(PADDED, 32)) for name in ("a", "b")]
    monkeypatch.setattr(scan, "LARGE", 0)
    noted = plan_of(recipe_of("linear", paths, dialect="paper")).notes
    assert any("('[PAD]')" in note and "behind its last row, 31" in note for note in noted)


@pytest.mark.parametrize("section", [{}, {"tokenizer": {"source": "union", "pad_to_multiple_of": 64}}], ids=str)
def test_tables_of_rows_without_end_are_refused(section: dict[str, Any], tmp_path: Path) -> None:
    """Empty rows take no bytes in a file, so their number is anybody's word."""
    paths = []
    for name, tokens, rows in (("a", ["x"], 2**40), ("b", ["x", "[PAD]"], 2**62)):
        table = {TABLES[0]: np.zeros((1, 0), np.float32)}
        path = models.write_model(tmp_path / name, table, files=tokenizer_files(tokens, 1))
        content = (path / "model.safetensors").read_bytes()[8:].replace(b"[1, 0]", f"[{rows}, 0]".encode())
        (path / "model.safetensors").write_bytes(len(content).to_bytes(8, "little") + content)
        paths.append(path)
    with pytest.raises(PlanError, match="at most 4,000,000 rows") as caught:
        plan_of(recipe_of("linear", paths, dialect="paper", **section))
    assert len(caught.value.problems) == 2

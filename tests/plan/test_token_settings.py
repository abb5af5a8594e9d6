"""What a plan says and writes where a recipe names tokens: rows, special tokens in every file, problems at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixmerge import api, tokens
from mixmerge.cli.plan_json import plan_data
from mixmerge.cli.plan_text import plan_text
from mixmerge.errors import PlanError
from mixmerge.planning import Plan
from mixmerge.recipe import parse_recipe
from plan.conftest import BASE, Write
from support import models
from support.merging import merge_live, plan_of
from support.vocabularies import TABLES, sized, tokenizer_files

WORDS = [f"t{k}" for k in range(32)]
PADDED = [*WORDS, "[PAD]"]


def written(write: Write, name: str, tokens: list[Any], learned: int = 32, **options: Any) -> Path:
    options["files"] = {**tokenizer_files(tokens, learned), **options.get("files", {})}
    config = {**models.CONFIG, "vocab_size": len(tokens), **options.pop("config", {})}
    return write(name, sized(models.moved(BASE, len(name)), len(tokens)), config=config, **options)


def planned(paths: list[Path], tokenizer: dict[str, Any] | None, **keys: Any) -> Plan:
    listed = [{"model": str(path)} for path in paths]
    data = {"merge_method": "linear", "dialect": "paper", "models": listed, "tokenizer": tokenizer, **keys}
    text = yaml.safe_dump({key: value for key, value in data.items() if value is not None}, sort_keys=False)
    return plan_of(parse_recipe(text, "r.yaml"))


def refused(paths: list[Path], tokenizer: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    with pytest.raises(PlanError) as caught:
        planned(paths, tokenizer)
    return [(one.rule, one.value, one.place, one.cure) for one in caught.value.problems]


def content(plan: Plan, name: str) -> Any:
    return json.loads(plan.files[name])


@pytest.fixture
def paths(write: Write) -> list[Path]:
    return [written(write, "a", WORDS), written(write, "b", PADDED)]


@pytest.mark.usefixtures("blind")
def test_the_plan_tells_what_each_token_becomes(paths: list[Path]) -> None:
    row = {"kind": "model_token", "model": str(paths[1]), "token_id": 3}
    said = {"<x>": {"source": row}, "[PAD]": {"source": {"kind": "zero"}, "force": True}, "<y>": {"source": row}}
    plan = planned(paths, {"tokens": said, "pad_to_multiple_of": 8, "pad_token": "[PAD]", "bos_token": "t4"})
    text = " ".join(plan_text(plan).split())
    assert f"35 in 40 rows: those of {paths[0]}, then '[PAD]' of {paths[1]} as 32, then '<x>' as 33" in text
    assert f"'<x>' (33): row 3 of {paths[1]} in models that lack it" in text
    assert "'[PAD]' (32): zeros in every model" in text
    assert "rows 35 to 39 round up to a multiple: in each model the mean of its own rows" in text
    assert "pad_token '[PAD]' (32), bos_token 't4' (4)" in text
    told = plan_data(plan)["vocabulary"]
    assert told["named"][0] == {"token": "<x>", "id": 33, "model": str(paths[1]), "row": 3, "force": False}
    assert told["named"][1] == {"token": "[PAD]", "id": 32, "model": None, "row": None, "force": True}
    assert told["added"][1] == {"token": "<x>", "id": 33, "model": None}
    assert told["special"] == {"pad": {"token": "[PAD]", "id": 32}, "bos": {"token": "t4", "id": 4}}
    assert told["padding"] == 5
    assert content(plan, "config.json")["vocab_size"] == 40
    assert {step.spec.name: step.spec.shape for step in plan.steps}[TABLES[0]] == (40, 8)


@pytest.mark.usefixtures("blind")
def test_everything_wrong_is_told_at_once_with_places(paths: list[Path]) -> None:
    def row(**said: Any) -> dict[str, Any]:
        return {"source": {"kind": "model_token", "model": str(paths[0]), **said}}

    said = {
        "<a>": row(token_id=32),
        "<b>": row(token="t1000"),
        "<c>": row(token="[PAD]"),
        "[PAD]": {"source": str(paths[0])},
        "<d>": {},
        "<e>": {"source": str(paths[1])},
    }
    found = refused(paths, {"tokens": said, "pad_token": "[PAX]", "eos_token": "t3"})
    places = [place.partition("(")[2].rstrip(")") for _, _, place, _ in found]
    assert places == [f"tokenizer.tokens.{token}" for token in said] + ["tokenizer.pad_token"]
    assert all(place.startswith("r.yaml:") for _, _, place, _ in found)
    values, cures = [one[1] for one in found], [one[3] for one in found]
    assert values[0] == "32, of 32 rows"
    assert cures[0] == "write 0 to 31"
    assert cures[1].startswith("did you mean 't1")
    assert cures[2] == "it has no added tokens."
    assert "kind: zero" in cures[4]
    assert cures[6].startswith("did you mean '[PAD]'? Or add it")


def test_suggestions_are_of_tokens_there_are(write: Write) -> None:
    paths = [written(write, "a", PADDED), written(write, "b", PADDED)]
    ((rule, value, _, cure),) = refused(paths, {"pad_token": "[PDA]"})
    assert (rule, value) == ("pad_token is a token of the output", "'[PDA]'")
    assert cure.startswith("did you mean '[PAD]'?")
    said = {"tokens": {"<end>": {"source": {"kind": "zero"}}}, "eos_token": "<edn>"}
    assert refused(paths, said)[0][3].startswith("did you mean '<end>'?"), "of those the recipe adds, too"


SETTINGS = {
    "tokenizer_config.json": json.dumps(
        {"pad_token": {"content": "t9"}, "eos_token": "t1", "bos_token": "t0", "x": 1, "added_tokens_decoder": {}}
    ),
    "special_tokens_map.json": json.dumps({"eos_token": {"content": "t1"}, "unk_token": "t2"}),
    "generation_config.json": json.dumps({"eos_token_id": [1, 7], "pad_token_id": 9, "top_k": 3}),
}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "t0", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "t1", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {t: {"id": t, "ids": [int(t[1])], "tokens": [t]} for t in ("t0", "t1")},
}  # fmt: skip


@pytest.mark.usefixtures("blind")
def test_special_tokens_agree_in_every_file(write: Write) -> None:
    made = tokenizer_files(WORDS, post_processor={"type": "Sequence", "processors": [TEMPLATE]},
                           padding={"pad_id": 9, "pad_token": "t9", "strategy": "BatchLongest", "direction": "Right",
                                    "pad_to_multiple_of": None, "pad_type_id": 0})  # fmt: skip
    config = {"eos_token_id": 1, "pad_token_id": -1, "text_config": {"eos_token_id": 1, "num_hidden_layers": 2}}
    paths = [
        written(write, name, WORDS, files={**SETTINGS, **made}, config=config if name == "a" else {}) for name in "ab"
    ]
    plan = planned(paths, {"tokens": {"<end>": {"source": {"kind": "zero"}}}, "eos_token": "<end>", "pad_token": "t5"})
    settings = content(plan, "tokenizer_config.json")
    assert (settings["pad_token"], settings["eos_token"], settings["bos_token"], settings["x"]) == (
        "t5", "<end>", "t0", 1,
    )  # fmt: skip
    assert {key: entry["special"] for key, entry in settings["added_tokens_decoder"].items()} == {"5": True, "32": True}
    assert content(plan, "special_tokens_map.json") == {"eos_token": "<end>", "unk_token": "t2", "pad_token": "t5"}
    assert content(plan, "generation_config.json") == {"eos_token_id": [32, 1, 7], "pad_token_id": 5, "top_k": 3}
    stated = content(plan, "config.json")
    assert (stated["eos_token_id"], stated["pad_token_id"]) == (32, 5)
    assert stated["text_config"]["eos_token_id"] == 32
    tokenizer = content(plan, "tokenizer.json")
    assert [(e["id"], e["content"], e["special"]) for e in tokenizer["added_tokens"]] == [
        (5, "t5", True), (32, "<end>", True),
    ]  # fmt: skip
    assert (tokenizer["padding"]["pad_id"], tokenizer["padding"]["pad_token"]) == (5, "t5")
    template = tokenizer["post_processor"]["processors"][0]
    assert [piece.get("SpecialToken", {}).get("id") for piece in template["single"]] == ["t0", None, "<end>"]
    assert template["special_tokens"]["<end>"] == {"id": "<end>", "ids": [32], "tokens": ["<end>"]}
    assert set(template["special_tokens"]) == {"t0", "<end>"}


def test_special_tokens_alone_change_no_weight(write: Write) -> None:
    """Also where a model has no tokenizer and its rows are taken on trust; settings are written where none were."""
    paths = [written(write, "a", WORDS), write("b", models.moved(BASE, 3))]
    plan = planned(paths, {"pad_token": "t3"})
    assert all(item.rows is None for step in plan.steps for item in step.all_inputs)
    assert content(plan, "tokenizer_config.json") == {"pad_token": "t3"}
    assert content(plan, "config.json")["pad_token_id"] == 3
    assert "generation_config.json" not in plan.files
    assert "special_tokens_map.json" not in plan.files
    ((rule, _, place, _),) = refused([paths[1], write("c", models.moved(BASE, 4))], {"pad_token": "t3"})[:1]
    assert "the recipe names tokens" in rule
    assert place == f"model {paths[1]}"


def test_a_token_behind_the_last_row_gets_one_where_it_is_named(write: Write) -> None:
    """The pad token of a tokenizer whose model was never resized."""
    a = write("a", BASE, files=tokenizer_files(PADDED, 32))
    b = write("b", models.moved(BASE, 3), files=tokenizer_files(PADDED, 32))
    noted = planned([a, b], None).notes
    assert any("1 token of" in note and "('[PAD]')" in note and "behind its last row, 31" in note for note in noted)
    plan = planned([a, b], {"source": "base", "tokens": {"[PAD]": {"source": {"kind": "zero"}}}})
    assert content(plan, "config.json")["vocab_size"] == 33
    listed = [{"model": str(path)} for path in (a, b)]
    said = {"tokens": {"[PAD]": {"source": {"kind": "zero"}}}}
    data = {"merge_method": "linear", "dialect": "paper", "models": listed, "tokenizer": said}
    found = merge_live(parse_recipe(yaml.safe_dump(data)))
    assert not found[TABLES[0]][32].any()


def test_a_learned_token_of_another_model_can_be_named(write: Write) -> None:
    """Else a union of learned vocabularies is refused."""
    a, b = written(write, "a", WORDS), written(write, "b", [*WORDS, "own"], learned=33)
    c = written(write, "c", [*WORDS, "its"], learned=33)
    with pytest.raises(PlanError, match="learned vocabulary"):
        planned([a, b, c], None)
    plan = planned([a, b, c], {"source": "base", "tokens": {"own": {"source": str(b)}}})
    assert content(plan, "tokenizer.json")["added_tokens"][0]["content"] == "own"
    plan = planned([a, b, c], {"tokens": {"own": {"source": str(b)}, "its": {"source": str(c)}}})
    assert [one["content"] for one in content(plan, "tokenizer.json")["added_tokens"]] == ["own", "its"]


def test_an_end_that_is_dropped_is_that_of_the_tokenizer_that_is_kept(write: Write) -> None:
    generation = {"generation_config.json": json.dumps({"eos_token_id": [32], "pad_token_id": -1})}
    a = written(write, "a", [*WORDS, "[END]"], files=generation, config={"eos_token_id": 32, "bos_token_id": 32})
    b = written(write, "b", WORDS[::-1], config={"eos_token_id": 5})
    plan = planned([a, b], None, tokenizer_source=str(b))
    assert content(plan, "config.json")["eos_token_id"] == 5
    assert content(plan, "config.json")["bos_token_id"] is None
    assert content(plan, "generation_config.json") == {"eos_token_id": 5, "pad_token_id": -1}


BROKEN = '{"model": {"type": "WordLevel",\n "vocab": {"a": 0]}}'


def test_a_malformed_tokenizer_is_told_as_that(write: Write) -> None:
    a, b = written(write, "a", WORDS), write("b", sized(BASE, 33), files={"tokenizer.json": BROKEN})
    with pytest.raises(PlanError) as caught:
        planned([a, b], None)
    problem = next(one for one in caught.value.problems if "every model are known" in one.rule)
    assert problem.value.startswith("tokenizer.json is malformed: Expecting ',' delimiter: line 2 column 18")
    assert problem.place == f"model {b}"
    assert "mend" in problem.cure
    same = [write(name, models.moved(BASE, 3), files={"tokenizer.json": BROKEN}) for name in ("c", "d")]
    assert any("tokenizer.json is malformed" in note and "line 2" in note for note in planned(same, None).notes)
    mixed = planned([a, same[0]], None)
    assert any(f"(model {same[0]})" in note for note in mixed.notes)


def entered(**changed: Any) -> Callable[[Any], Any]:
    """The file with its added token changed."""
    return lambda found: {**found, "added_tokens": [{**found["added_tokens"][0], **changed}]}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (entered(id=40), "other ids for '[PAD]'"),
        (entered(content="[PAX]"), "other ids for '[PAD]', '[PAX]'"),
        (lambda found: {**found, "model": {**found["model"], "type": "Word"}}, "the library cannot use it"),
        (lambda found: {**found, "pre_tokenizer": None}, "'The quick"),
        (
            lambda found: {
                **entered(normalized=True)(found),
                "normalizer": {"type": "Replace", "pattern": {"String": "[PAD]"}, "content": ""},
            },
            "PanicException",
        ),
    ],
    ids=["id", "token", "form", "split", "panic"],
)
def test_a_tokenizer_that_reads_text_otherwise_is_refused(
    spoil: Callable[[Any], Any], told: str, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are read back before anything is written, by our reader and by the library."""
    real = tokens.tokenizer_files

    def spoiled(*arguments: Any) -> dict[str, bytes]:
        return {"tokenizer.json": json.dumps(spoil(json.loads(real(*arguments)["tokenizer.json"]))).encode()}

    monkeypatch.setattr(tokens, "tokenizer_files", spoiled)
    with pytest.raises(PlanError, match="reads text as that of its source") as caught:
        planned(paths, None)
    assert any(told in problem.value for problem in caught.value.problems)


@pytest.mark.parametrize(
    "post_processor",
    [
        {"processors": 5},
        {"processors": {"type": []}},
        {"type": "TemplateProcessing", "single": 5, "pair": {"a": 1}},
        {"type": "TemplateProcessing", "single": [5, {"SpecialToken": {"id": []}}, {"SpecialToken": "t1"}]},
        {"type": "TemplateProcessing", "special_tokens": ["t1"]},
        "TemplateProcessing",
    ],
    ids=str,
)
def test_templates_of_another_form_stay_as_they_are(post_processor: Any, write: Write) -> None:
    """A tokenizer is a stranger's file: it may hold anything where a template is looked for."""
    files = tokenizer_files(WORDS, post_processor=post_processor)
    files["tokenizer_config.json"] = json.dumps({"bos_token": "t1"})
    a, b = (write(name, files=files) for name in "ab")
    plan = planned([a, b], {"source": str(a), "bos_token": "t5"})
    assert content(plan, "tokenizer.json")["post_processor"] == post_processor


def test_named_rows_are_part_of_the_memory_promised(paths: list[Path]) -> None:
    plain = planned(paths, None)
    said = {"tokens": {"[PAD]": {"source": {"kind": "zero"}, "force": True}}, "pad_to_multiple_of": 64}
    assert planned(paths, said).budget.projected > plain.budget.projected


def test_a_source_without_one_of_the_tables_is_refused(write: Write) -> None:
    """Nothing else says what stands there."""
    bias = {"lm_head.bias": np.ones(32, np.float32)}
    a, b = (write(name, {**BASE, **bias}, files=tokenizer_files(WORDS)) for name in "ab")
    c = write("c", BASE, files=tokenizer_files(WORDS))
    data = {
        "merge_method": "linear", "dialect": "paper", "base_model": str(c), "on_mismatch": "base",
        "models": [{"model": str(a)}, {"model": str(b)}],
        "tokenizer": {"tokens": {"t3": {"source": str(c), "force": True}}},
    }  # fmt: skip
    with pytest.raises(PlanError, match="every table over the vocabulary"):
        api.plan(parse_recipe(yaml.safe_dump(data)))

"""Unlike vocabularies in dialect mergekit: the rows of every token are those mergekit's `tokenizer_source` gives it,
and its `tokenizer` with settings of single tokens.

Runs where mergekit is, as test_mergekit.py does.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from mixmerge import api
from peers import harness
from peers.harness import VOCABULARY, Array, Model, llama_shapes, read_checkpoint, write_checkpoint
from support.vocabularies import TABLES, tokenizer_files

pytestmark = pytest.mark.skipif(
    harness.mergekit_python() is None, reason="MIXMERGE_MERGEKIT_PYTHON does not name a Python with mergekit"
)

TOKENS = [f"t{k}" for k in range(VOCABULARY)]
ORDER = np.random.default_rng(2).permutation(VOCABULARY).tolist()
OWN = {"base": TOKENS, "a": [*TOKENS, "[ONE]"], "b": [*(TOKENS[k] for k in ORDER), "[ONE]", "[TWO]"]}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, random = tmp_path_factory.mktemp("vocabularies"), np.random.default_rng(1)
    base = {name: random.integers(-64, 65, shape) / 64 for name, shape in llama_shapes().items()}
    found = {}
    for label, tokens in OWN.items():
        model = {name: values + random.integers(-4, 5, values.shape) / 1024 for name, values in base.items()}
        for table in TABLES:
            values = model[table]
            extra = random.integers(-64, 65, (len(tokens) - VOCABULARY, values.shape[1])) / 64
            model[table] = np.concatenate([values[ORDER] if label == "b" else values, extra])
        found[label] = write_checkpoint(root / label, model)
        config = json.loads((found[label] / "config.json").read_text())
        (found[label] / "config.json").write_text(json.dumps({**config, "vocab_size": len(tokens)}))
        for name, content in tokenizer_files(tokens, VOCABULARY).items():
            (found[label] / name).write_text(content)
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "t0", "model_max_length": 128}
        (found[label] / "tokenizer_config.json").write_text(json.dumps(settings))
    return found


RECIPES = {
    f"{method}, {source}": f"""
merge_method: {method}
base_model: $base
models:
  - {{model: $a, parameters: {{weight: 0.5}}}}
  - {{model: $b, parameters: {{weight: 0.25}}}}
  {"- {model: $base, parameters: {weight: 0.25}}" if method == "linear" else ""}
tokenizer_source: {source}
dtype: float32
"""
    for method in ("linear", "task_arithmetic")
    for source in ("union", "base")
}

SETTINGS = """
tokenizer:
  source: {source}
  tokens:
    t3: {{source: $a, force: true}}
    t4: {{source: {{kind: zero}}, force: true}}
    t5: {{source: {{kind: model_token, model: $b, token: "[TWO]"}}, force: true}}
    t6: {{source: {{kind: model_token, model: $base, token: t9}}}}
    {new}
  pad_to_multiple_of: 16
dtype: float32
"""
NEW = """
    "[ONE]": {source: $b}
    "[TWO]": {source: {kind: zero}}
    "<new>": {source: {kind: model_token, model: $b, token_id: 7}}
    "<newer>": {source: {kind: zero}}
"""  # with source: base mergekit 0.1.5 fails of any new token (KeyError: it takes the base for one that has it)
RECIPES |= {
    f"{method}, {source}, tokens": RECIPES[f"{method}, {source}"].partition("tokenizer_source")[0]
    + SETTINGS.format(source=source, new=new.strip())
    for method, source, new in (("linear", "union", NEW), ("task_arithmetic", "union", NEW), ("linear", "base", ""))
}


def by_token(folder: Path) -> tuple[Model, dict[str, tuple[Array, ...]]]:
    """Tensors without embedding and head; and of every token its rows in both."""
    tensors = read_checkpoint(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    ids = content["model"]["vocab"] | {entry["content"]: entry["id"] for entry in content["added_tokens"]}
    rows = {token: tuple(tensors[table][number] for table in TABLES) for token, number in ids.items()}
    found = {name: values for name, values in tensors.items() if name not in TABLES}
    return {**found, **{f"{table}, padding": tensors[table][len(ids) :] for table in TABLES}}, rows


@pytest.mark.parametrize("name", RECIPES)
def test_rows_of_tokens(name: str, paths: dict[str, Path], tmp_path: Path) -> None:
    text = RECIPES[name]
    for label, path in paths.items():
        text = text.replace(f"${label}", str(path))
    harness.run_mergekit(text, tmp_path / "mergekit")
    api.merge(text, tmp_path / "own", threads=1)
    theirs, their_rows = by_token(tmp_path / "mergekit" / "out-0")
    ours, our_rows = by_token(tmp_path / "own")
    assert ours.keys() == theirs.keys()
    assert len(ours[f"{TABLES[0]}, padding"]) == (-len(our_rows) % 16 if "tokens" in name else 0)
    assert our_rows.keys() == their_rows.keys()
    for key, values in theirs.items():
        assert ours[key].shape == values.shape, key
        assert not values.size or np.abs(ours[key] - values).max() <= 2.0**-21, key
    for token, rows in their_rows.items():
        for own, row in zip(our_rows[token], rows, strict=True):
            assert np.abs(own - row).max() <= 2.0**-21, token

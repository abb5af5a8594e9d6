"""BERT-Attack with a masked language model trained here, on a model of plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.attacks.conftest import KINDS
from mixmerge.evaluation import LiveModelError
from mixmerge.evaluation.attacks.bertattack import CANDIDATES, SIMILARITY, BertAttack
from mixmerge.evaluation.attacks.masked_lm import Encoder, MaskedLM, _best
from mixmerge.evaluation.attacks.search import Floats, Search, Victim
from mixmerge.evaluation.attacks.words import is_word, template

CLEAN = template("Read the film review and say whether it is positive or negative : {content}")


@pytest.fixture(scope="module")
def masked(masked_folder: Path) -> MaskedLM:
    return MaskedLM.load(masked_folder)


def places(text: str, word: str) -> tuple[int, int]:
    start = text.index(word)
    return start, start + len(word)


@pytest.mark.parametrize("word", ["film", "review", "say"])
def test_likely_words_are_those_that_stand_there(masked: MaskedLM, word: str) -> None:
    text = "read the film review and say whether it is positive or negative"
    found = masked.likely(text, places(text, word), 3)
    assert set(found) == set(KINDS[word])


def test_pieces_replace_pieces(masked: MaskedLM) -> None:
    """A word of two pieces gets a beginning and a continuation; one of one piece never gets a continuation."""
    text = "read the viewing and say"
    found = masked.likely(text, places(text, "viewing"), CANDIDATES)
    assert all(word.endswith(("ing", "ed")) for word in found)
    assert len(found) == len(set(found))
    assert not any(word in ("ing", "ed") for word in masked.likely(text, places(text, "say"), CANDIDATES))


def test_a_place_outside_the_window(masked: MaskedLM) -> None:
    text = "say " * 60
    assert masked.likely(text, (0, 3), 5) == []
    assert masked.likely("say", (3, 3), 5) == []


OPTION = st.tuples(st.integers(-9, 0).map(float), st.integers(0, 20))


@given(options=st.lists(st.lists(OPTION, min_size=1, max_size=4), min_size=1, max_size=4), count=st.integers(1, 9))
def test_best_combinations(options: list[list[tuple[float, int]]], count: int) -> None:
    every = sorted(
        ((sum(score for score, _ in one), tuple(token for _, token in one)) for one in itertools.product(*options)),
        key=lambda one: (-one[0], one[1]),
    )
    assert _best(options, count) == [ids for _, ids in every[:count]]


def ask(prompts: Sequence[str]) -> list[Floats]:
    """Wrong on 6 of 10 without `film`, on 3 without `say`."""
    lost = [6 * ("film" not in prompt) + 3 * ("say" not in prompt) for prompt in prompts]
    return [np.array([1.0] * (10 - count) + [0.0] * count) for count in lost]


def test_attack(masked: MaskedLM) -> None:
    search = Search(Victim(ask), CLEAN, 1000)
    found = BertAttack(masked)(search, (" positive", " negative"), 0)
    before = dict(zip(CLEAN.words, found.words, strict=True))
    assert before["film"] != "film"
    assert before["say"] != "say"
    assert sum(a != b for a, b in before.items()) == 2
    assert all(is_word(word) for word in found.words)
    assert all(before[word] == word for word in ("positive", "negative", "the", "it"))
    tried = [template(one.prompt) for one in search.tried]
    assert all("{content}" in one.text for one in tried)
    new = {word for one in tried for word in one.words} - set(CLEAN.words)
    assert not new & {"positive", "negative", "the", "it", "is", "and", "or"}  # no label, no function word is put in
    assert "Study" in new  # a capital stays a capital
    again = BertAttack(masked)(Search(Victim(ask), CLEAN, 1000), (" positive", " negative"), 7)
    assert again == found  # nothing is drawn


class Strict:
    """Finds only small changes alike."""

    def __init__(self) -> None:
        self.compared: list[tuple[str, str]] = []

    def similarity(self, a: str, b: str) -> float:
        self.compared.append((a, b))
        return SIMILARITY if "movie" in b else SIMILARITY - 0.001


def test_meaning_is_compared_with_the_clean_prompt(masked: MaskedLM) -> None:
    judge = Strict()
    found = BertAttack(masked, judge)(Search(Victim(ask), CLEAN, 1000), (), 0)
    assert found.words[CLEAN.words.index("film")] == "movie"
    assert {a for a, _ in judge.compared} == {CLEAN.text}


def test_encoder(masked_folder: Path) -> None:
    import torch

    encoder = Encoder.load(masked_folder)
    a, b = "read the film review", "say negative"
    assert encoder.similarity(a, a) == pytest.approx(1.0)
    found = encoder.similarity(a, b)
    assert found == pytest.approx(encoder.similarity(b, a))
    vectors = []
    for text in (a, b):
        states = encoder._model(**encoder._tokenizer(text, return_tensors="pt")).last_hidden_state[0].detach()
        vectors.append(states.sum(dim=0) / len(states))
    assert found == pytest.approx(float(vectors[0] @ vectors[1] / torch.norm(vectors[0]) / torch.norm(vectors[1])))


def spoiled(folder: Path, copy: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, copy))


def test_folders_that_are_refused(masked_folder: Path, tmp_path: Path, random_folder: Path) -> None:
    with pytest.raises(LiveModelError, match="transformers can load"):
        MaskedLM.load(tmp_path)
    with pytest.raises(LiveModelError):
        MaskedLM.load(random_folder)  # a causal model
    pickled = spoiled(masked_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(LiveModelError, match="transformers can load"):
        MaskedLM.load(pickled)  # weights as safetensors only
    import json

    own_code: dict[str, Any] = json.loads((masked_folder / "config.json").read_text())
    own_code |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForMaskedLM": "mine.Model"}}
    coded = spoiled(masked_folder, tmp_path / "coded")
    (coded / "config.json").write_text(json.dumps(own_code))
    (coded / "mine.py").write_text("raise SystemExit('ran')")
    with pytest.raises(LiveModelError):
        MaskedLM.load(coded)


def test_byte_level_vocabularies() -> None:
    """Tokens that begin a word replace tokens that do; random weights, so only the form is checked."""
    import torch
    from transformers import RobertaConfig, RobertaForMaskedLM

    from evaluation.conftest import bytes_tokenizer

    torch.manual_seed(1)
    config = RobertaConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, pad_token_id=1,
    )  # fmt: skip
    tokenizer = bytes_tokenizer(begin=True)
    text = "the quick brown fox"
    found = MaskedLM(RobertaForMaskedLM(config).eval(), tokenizer).likely(text, places(text, "brown"), 8)
    starts = {tokenizer.decode([token]).strip() for name, token in tokenizer.get_vocab().items() if name[0] == "Ġ"}
    assert found
    assert all(any(word.startswith(start) for start in starts) for word in found)

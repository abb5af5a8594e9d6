"""Scores on a live model, against transformers' own generate and plain log-likelihoods, one item at a time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.evaluation import ChoiceItem, LiveBackend, LiveModel, TargetItem, Task, TaskError, load_tasks
from mixmerge.evaluation.codec import Codec, Encoded
from mixmerge.evaluation.generation import Feed
from mixmerge.evaluation.likelihood import share
from mixmerge.evaluation.score import Scorer

WORDS = ["quick", " fox", " a b", "\n1 2", "é", " over", "zzz", "8"]


def prompts(count: int, seed: int = 0) -> list[str]:
    """Texts of very different lengths."""
    generator = random.Random(seed)
    return ["".join(generator.choices(WORDS, k=generator.randint(1, 14))) for _ in range(count)]


def generated(live: LiveModel, prompt: str, most: int = 16) -> str:
    """The greedy continuation of one prompt by transformers."""
    encoded = live.tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    out = live.model.generate(**encoded, do_sample=False, max_new_tokens=most, pad_token_id=1)
    return str(live.tokenizer.decode(out[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True))


def plain_log_likelihood(live: LiveModel, prompt: str, choice: str) -> float:
    """One forward pass over the whole text, float64 at the end."""
    import torch

    whole = live.tokenizer(prompt + choice)["input_ids"]
    length = len(live.tokenizer(prompt.rstrip())["input_ids"])
    if length == 0:
        whole, length = [0, *whole], 1
    with torch.inference_mode():
        logits = live.model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return float(sum(logits[place - 1, whole[place]] for place in range(length, len(whole))))


@pytest.fixture(scope="module")
def live(random_folder: Path) -> LiveModel:
    return LiveModel.load(random_folder)


@pytest.fixture(scope="module")
def spoken(live: LiveModel) -> list[tuple[str, str]]:
    """Prompts with what the model really says, up to the newline."""
    return [(prompt, generated(live, prompt)) for prompt in prompts(40)]


def test_what_transformers_generates_is_right_and_everything_else_is_wrong(
    live: LiveModel, spoken: list[tuple[str, str]]
) -> None:
    lines = [(prompt, text.partition("\n")[0].rstrip()) for prompt, text in spoken]
    complete = [
        (prompt, line) for (prompt, line), (_, text) in zip(lines, spoken, strict=True) if "\n" in text and line
    ]
    cut = [(prompt, line[: max(1, len(line) // 2)].rstrip()) for prompt, line in complete if len(line) > 3]
    longer = [(prompt, line + "q") for prompt, line in complete]
    items = [TargetItem(prompt, line) for prompt, line in [*complete, *cut, *longer] if line]
    said = dict(lines)
    expected = [said[item.prompt] == item.target for item in items]
    assert sum(expected) >= 5
    got = LiveBackend(live, max_rows=16).score(Task("t", tuple(items)), range(len(items)))
    assert got.tolist() == [float(right) for right in expected]


def test_an_end_of_text_ends_an_answer(live: LiveModel, spoken: list[tuple[str, str]]) -> None:
    """Where the second token a model writes is made its end of text, the answer is the first one, else more."""
    import torch

    def first_two(prompt: str) -> tuple[tuple[int, ...], int, int]:
        ids = Codec(live.tokenizer).prompts([prompt])[0]
        with torch.inference_mode():
            first = int(live.model(torch.tensor([ids])).logits[0, -1].argmax())
            second = int(live.model(torch.tensor([[*ids, first]])).logits[0, -1].argmax())
        return ids, first, second

    codec, eos = Codec(live.tokenizer), live.model.generation_config.eos_token_id
    found = [(prompt, *first_two(prompt)) for prompt, _ in spoken[:20]]
    prompt, second, target = next(
        (prompt, second, text)
        for prompt, ids, first, second in found
        if first != second and (text := codec.continuation(ids, [first]).rstrip()) and "\n" not in text
        and codec.continuation(ids, [first, second]).rstrip() != text
    )  # fmt: skip
    task = Task("t", (TargetItem(prompt, target),))
    assert LiveBackend(live).score(task, [0]).tolist() == [0.0]
    live.model.generation_config.eos_token_id = [1, second]
    try:
        assert LiveBackend(live).score(task, [0]).tolist() == [1.0]
    finally:
        live.model.generation_config.eos_token_id = eos


def choice_items(count: int) -> list[ChoiceItem]:
    generator = random.Random(7)
    choices = [" fox", " fox over", "8", " a", "é é", "\n1", " quick fox over a b"]
    return [
        ChoiceItem(prompt, tuple(generator.sample(choices, generator.randint(2, 5))), generator.randint(0, 1))
        for prompt in ["", *prompts(count - 1, 3)]
    ]


def test_log_likelihoods_are_the_plain_ones(live: LiveModel) -> None:
    items = choice_items(30)
    found = Scorer(live.model, live.tokenizer, max_rows=7).log_likelihoods(items)
    expected = [[plain_log_likelihood(live, item.prompt, choice) for choice in item.choices] for item in items]
    for own, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, plain, rtol=1e-4, atol=1e-4)
    scores = LiveBackend(live).score(Task("t", tuple(items)), range(30))
    right = [int(np.argmax(values)) == item.answer for item, values in zip(items, expected, strict=True)]
    assert scores.tolist() == [float(value) for value in right]
    assert 0 < scores.sum() < 30


def test_lm_evals_own_numbers(live: LiveModel) -> None:
    from lm_eval.api.instance import Instance

    from mixmerge.evaluation.greedy import wrap

    items = [item for item in choice_items(20) if item.prompt]
    asked = [Instance("loglikelihood", {}, (item.prompt, choice), 0) for item in items for choice in item.choices]
    theirs = [value for value, _ in wrap(live.model, live.tokenizer, batch=4).loglikelihood(asked, disable_tqdm=True)]
    own = [value for values in Scorer(live.model, live.tokenizer).log_likelihoods(items) for value in values]
    np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-4)


def test_the_first_of_equal_choices_wins(live: LiveModel) -> None:
    """Choices that are the same text to the model: spaces at the end of the prompt belong to the choice."""
    scorer = Scorer(live.model, live.tokenizer)
    item = ChoiceItem("quick ", ("fox", "a"), 0)
    values = scorer.log_likelihoods([item, ChoiceItem("quick", (" fox", " a"), 0)])
    assert values[0] == values[1]


def test_the_same_items_give_the_same_scores(live: LiveModel, spoken: list[tuple[str, str]]) -> None:
    items = [TargetItem(prompt, text.partition("\n")[0].rstrip() or "x") for prompt, text in spoken]
    mixed = Task("t", (*items, *choice_items(20)))
    backend = LiveBackend(live, max_rows=8)
    chosen = np.random.default_rng(0).permutation(len(mixed))[:40]
    first = backend.score(mixed, chosen)
    assert (backend.score(mixed, chosen) == first).all()
    assert (backend.score(mixed, chosen[::-1])[::-1] == first).all()
    assert (LiveBackend(live, max_rows=8).score(mixed, [*chosen, *chosen])[: len(chosen)] == first).all()
    assert backend.score(mixed, []).shape == (0,)


def test_a_prompt_longer_than_the_window_is_told(live: LiveModel) -> None:
    long = "8" * 200
    for item in (TargetItem(long, "a"), ChoiceItem(long, ("a", "b"), 0)):
        with pytest.raises(TaskError, match="window of the model"):
            LiveBackend(live).score(Task("t", (item,)), [0])


def test_a_model_without_keys_and_values_is_told() -> None:
    with pytest.raises(TaskError, match=r"keeps keys and values(?s:.)*found: object"):
        Feed(object(), [[1]], frozenset({"input_ids", "cache_params"}))


def test_inputs_that_begin_others_share_their_row() -> None:
    parts = [Encoded((1, 2, 3), 2), Encoded((1, 2, 4, 5), 2), Encoded((1, 2, 9), 2), Encoded((7, 8, 9), 1)]
    rows = share(parts)
    assert sorted(row.ids for row in rows) == [(1, 2, 4), (7, 8)]
    assert {part for row in rows for part in row.parts} == set(parts)


def test_a_space_at_the_start_of_an_answer_is_kept() -> None:
    """Tokenizers of the Llama 2 kind drop the first space of what they decode."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<s>": 0, "▁": 1, "▁a": 2, "▁b": 3, "a": 4, "b": 5, "<0x0A>": 6}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    inner.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    codec = Codec(PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>"))
    assert codec.continuation([0, 2], [3, 6, 2]) == " b\n a"
    assert codec.continuation([0, 2], [5]) == "b"


def test_the_zoo_scores_as_it_promises(zoo: Path) -> None:
    """Experts know their own task, not the others'."""
    files = sorted((zoo / "tasks").glob("*.validation.jsonl")) + sorted((zoo / "tasks").glob("*.test.jsonl"))
    tasks = {task.name: task for task in load_tasks(files)}
    backend = LiveBackend(LiveModel.load(zoo / "sorter", dtype="float32"))
    assert backend.score(tasks["sort"], range(64)).mean() >= 0.9
    assert backend.score(tasks["flip"], range(64)).mean() <= 0.5


def test_no_bars_are_drawn(zoo: Path, capfd: pytest.CaptureFixture[Any]) -> None:
    LiveModel.load(zoo / "base")
    assert capfd.readouterr() == ("", "")

"""The fast way to ask for many similar prompts against the general one: the same numbers, fewer tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.conftest import llama
from mixmerge.evaluation import ChoiceItem, LiveModel, TaskError
from mixmerge.evaluation.attacks.classify import Classifier, items_of
from mixmerge.evaluation.attacks.examples import Example
from mixmerge.evaluation.attacks.prefixes import PrefixScorer
from mixmerge.evaluation.score import Scorer

LABELS = (" dog", " quick brown fox", " the quick")
EXAMPLES = tuple(
    Example(text, number % 3)
    for number, text in enumerate(["a lazy dog", "café", "a lazy fox over the dog", "0 1 2", "the", "a lazy dog"])
)
PROMPTS = (
    "the fox {content} a dog?",
    "the fxo {content} a dog?",
    "the fox {content} a dgo?",
    "the fox {content} a dog and over the lazy dog?",
    "{content}",
    "brown {content}",
)


@pytest.fixture(scope="module")
def live(random_folder: Path) -> LiveModel:
    return LiveModel.load(random_folder)


def counted(model: Any, counts: list[int]) -> Any:
    """Notes the tokens of every forward pass until the handle is removed."""
    return model.register_forward_pre_hook(
        lambda _, words, named: counts.append((words[0] if words else named["input_ids"]).numel()), with_kwargs=True
    )


@pytest.mark.parametrize("max_kept", [2**30, 40_000, 0])
@pytest.mark.parametrize("max_rows", [128, 2])
def test_equal_to_the_scorer(live: LiveModel, max_rows: int, max_kept: int) -> None:
    assert PrefixScorer.fits(live.model)
    fast = PrefixScorer(live.model, live.tokenizer, max_rows=max_rows, max_kept=max_kept)
    for prompt in (*PROMPTS, *reversed(PROMPTS)):
        items = items_of(prompt, EXAMPLES, LABELS)
        scorer = Scorer(live.model, live.tokenizer)
        np.testing.assert_allclose(fast.log_likelihoods(items), scorer.log_likelihoods(items), rtol=0, atol=2e-4)
        np.testing.assert_array_equal(fast.score(items), scorer.score(items))


def test_a_changed_end_costs_few_tokens(live: LiveModel) -> None:
    fast, slow = PrefixScorer(live.model, live.tokenizer), Scorer(live.model, live.tokenizer)
    long = "the quick brown fox jumps over the lazy dog " * 2
    examples = [Example(f"{number} lazy café", 0) for number in range(12)]
    fast.score(items_of(long + "{content} dog", examples, (" a", " b")))
    changed = items_of(long + "{content} dgo", examples, (" a", " b"))
    counts: dict[str, list[int]] = {"fast": [], "slow": []}
    for name, scorer in (("fast", fast), ("slow", slow)):
        handle = counted(live.model, counts[name])
        scorer.score(changed)
        handle.remove()
    assert sum(counts["fast"]) < sum(counts["slow"]) / 3


def test_other_pasts_are_left_to_the_scorer(tmp_path: Path) -> None:
    import torch
    from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2}
    sliding = MistralForCausalLM(
        MistralConfig(**sizes, intermediate_size=16, num_attention_heads=2, num_key_value_heads=1, sliding_window=4)
    )
    recurrent = MambaForCausalLM(MambaConfig(**sizes, state_size=4))
    for model in (sliding, recurrent):
        assert not PrefixScorer.fits(model.eval())


def test_classifier(live: LiveModel) -> None:
    ask = Classifier(live, EXAMPLES, LABELS)
    found = ask(PROMPTS)
    assert [scores.shape for scores in found] == [(len(EXAMPLES),)] * len(PROMPTS)
    scorer = Scorer(live.model, live.tokenizer)
    for prompt, scores in zip(PROMPTS, found, strict=True):
        before, after = prompt.split("{content}")
        items = [ChoiceItem(before + one.content + after, LABELS, one.answer) for one in EXAMPLES]
        np.testing.assert_array_equal(scores, scorer.score(items))


def test_a_prompt_that_does_not_fit(live: LiveModel) -> None:
    with pytest.raises(TaskError, match="fits the window"):
        Classifier(live, EXAMPLES, LABELS)(["a b c " * 100 + "{content}"])


def test_other_labels_share_nothing() -> None:
    """Labels whose beginnings differ make rows of their own."""
    from evaluation.conftest import bytes_tokenizer

    model, tokenizer = llama(tied=True).eval(), bytes_tokenizer(begin=True)
    items = [ChoiceItem("a", ("xyz", "zyx"), 0), ChoiceItem("b", ("xyz", "zyx"), 1)]
    fast = PrefixScorer(model, tokenizer)
    for _ in range(2):
        np.testing.assert_allclose(
            fast.log_likelihoods(items), Scorer(model, tokenizer).log_likelihoods(items), rtol=0, atol=2e-4
        )

"""Tiny models for the evaluation room: the zoo's trained ones, and random ones with other habits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mixmerge

ZOO = Path(mixmerge.__file__).parent / "zoo"

TEXT = ["the quick brown fox jumps over the lazy dog", "a b c d e f g\n0 1 2 3 4 5 6 7 8 9", "naïve café über"] * 20


@pytest.fixture(scope="session")
def zoo() -> Path:
    return ZOO


def bytes_tokenizer(*, begin: bool) -> Any:
    """A byte-level BPE of some 300 tokens. begin: whether it puts a token before every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    inner.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    if begin:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama(*, tied: bool, dtype: str = "float32", vocabulary: int = 300, spread: float = 0.3) -> Any:
    """Random weights, large enough that its choices are not ties."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=tied, initializer_range=spread,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(getattr(torch, dtype))


def gpt2() -> Any:
    """Absolute positions: padding on the left must not shift them."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(4)
    config = GPT2Config(
        vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3, bos_token_id=0,
        eos_token_id=1,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def let_answers_end(model: Any, newline: int) -> None:
    """Make a token that the model says now and then its newline, by exchanging the two tokens' rows."""
    import torch

    starts = torch.arange(10, 50)[:, None]
    said = model.generate(starts, do_sample=False, max_new_tokens=10, min_new_tokens=10, pad_token_id=1)[:, 1:]
    counts = torch.bincount(said.flatten(), minlength=300)
    counts[:2] = 0
    other = int(counts.argsort(descending=True)[3])
    tables = {table.weight for table in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for table in tables:
            table[[newline, other]] = table[[other, newline]]


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def random_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of each kind, with a byte-level tokenizer: one with, one without a first token."""
    model = llama(tied=False) if request.param == "llama" else gpt2()
    tokenizer = bytes_tokenizer(begin=request.param == "llama")
    let_answers_end(model, tokenizer.convert_tokens_to_ids("Ċ"))
    return save(model, tokenizer, tmp_path_factory.mktemp(request.param))

"""A masked language model of a few words, trained in seconds: it knows which words stand in each other's places."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

KINDS = {
    "read": ["read", "study", "see"],
    "film": ["film", "movie", "picture"],
    "review": ["review", "report", "text"],
    "say": ["say", "tell", "write"],
}
"""Words that stand in each other's places."""

SENTENCE = "{read} the {film} {review} and {say} whether it is positive or negative"


def sentences() -> list[str]:
    return [
        SENTENCE.format(**dict(zip(KINDS, words, strict=True))) for words in itertools.product(*KINDS.values())
    ]  # fmt: skip


def word_pieces() -> Any:
    """A WordPiece tokenizer of whole words; `viewing` is two pieces."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = dict.fromkeys(word for sentence in sentences() for word in sentence.split())
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", *words, "view", "##ing", "##ed", "the"]
    names = list(dict.fromkeys(names))
    inner = Tokenizer(models.WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    )  # fmt: skip


def trained(tokenizer: Any) -> Any:
    """One random word of every sentence is hidden, every step; what stood there is learned."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForMaskedLM(config).train()
    ids = tokenizer(sentences(), return_tensors="pt")["input_ids"]
    steps = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        places = torch.randint(1, ids.shape[1] - 1, (len(ids), 1))
        hidden = ids.scatter(1, places, tokenizer.mask_token_id)
        labels = torch.full_like(ids, -100).scatter(1, places, ids.gather(1, places))
        loss = model(input_ids=hidden, labels=labels).loss
        steps.zero_grad()
        loss.backward()
        steps.step()
    return model.eval()


@pytest.fixture(scope="session")
def masked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model, saved."""
    folder = tmp_path_factory.mktemp("masked")
    tokenizer = word_pieces()
    trained(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

"""Three tiny Llama models with a character tokenizer, and two tasks, made once a test run."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789+=: \n"


@dataclass(frozen=True)
class Tiny:
    """Paths of the models, recipe text and task files."""

    base: Path
    a: Path
    b: Path
    c: Path
    recipe: str
    tasks: tuple[Path, Path]

    def with_lines(self, *lines: str) -> str:
        return self.recipe + "\n".join(lines) + "\n"


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    vocabulary |= {character: index + 4 for index, character in enumerate(CHARACTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)


def write_model(folder: Path, seed: int, near: Path | None = None) -> Path:
    """A random model; `near`: that model's weights, moved a little."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(CHARACTERS) + 4, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config) if near is None else LlamaForCausalLM.from_pretrained(near)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.to(torch.bfloat16).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tasks(folder: Path, items: int = 24) -> tuple[Path, Path]:
    rng = random.Random(7)
    letters, numbers = folder / "letters.jsonl", folder / "numbers.jsonl"
    words = ["".join(rng.choices("abcdefgh", k=4)) for _ in range(items)]
    lines = [
        {"prompt": f"{w}:", "choices": [w[0] + "1", w[1] + "2", w[2] + "3"], "answer": rng.randrange(3)} for w in words
    ]
    letters.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = [(rng.randrange(10), rng.randrange(10)) for _ in range(items)]
    lines = [{"prompt": f"{a}+{b}=", "choices": [str(a + b), f"{a} "], "answer": rng.randrange(2)} for a, b in pairs]
    numbers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return letters, numbers


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    base = write_model(folder / "base", 0)
    a, b, c = (write_model(folder / name, seed, base) for seed, name in enumerate("abc", 1))
    recipe = (
        f"merge_method: linear\nmodels:\n  - model: {a}\n  - model: {b}\nmixup: {{alpha: 0.5}}\nbase_model: {base}\n"
    )
    return Tiny(base, a, b, c, recipe, write_tasks(folder))

"""Train the zoo from nothing: one small base model and three experts fine-tuned from it.

    python zoo/train.py --out src/mixmerge/zoo

The base learns the instruction language on short arguments of every task; each expert then trains on its
own task alone, at full length. Models are stored in bfloat16, read back, and scored on held-out items as
stored; the script ends with exit code 1 where the zoo is not what its README promises. The same seed and
thread count on one machine give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import measure
import tasks
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, PreTrainedTokenizerFast
from transformers.models.llama import LlamaForCausalLM
from transformers.utils import logging

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIAL))
SPLITS = {"validation": 128, "test": 512}
BATCH = 128


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a training mixture: one instruction, its lengths (both ends included), its weight."""

    word: str
    shortest: int
    longest: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One training run: what it sees, for how many steps, how fast it moves."""

    name: str
    mixture: tuple[Share, ...]
    steps: int
    rate: float


BASE = Stage(
    "base",
    (
        Share("add", 1, 3, 1.5),
        Share("sort", 2, 5),
        Share("flip", 2, 5),
        Share("copy", 2, 6, 0.5),
    ),
    steps=700,
    rate=2e-3,
)
# Short and gentle on purpose: deltas grown much larger than this leave no ratio at which a merge works.
EXPERTS = (
    Stage("adder", (Share("add", 3, 3),), steps=180, rate=4e-4),
    Stage("sorter", (Share("sort", 6, 6),), steps=100, rate=6e-4),
    Stage("flipper", (Share("flip", 6, 6),), steps=120, rate=8e-4),
)


def vocabulary() -> dict[str, int]:
    """Token -> id: specials, the characters, and one token for each instruction word with its space."""
    characters = ["\n", "+", "=", *tasks.DIGITS, *tasks.LETTERS]
    words = [f"{word} " for word in tasks.WORDS]
    return {token: index for index, token in enumerate((*SPECIAL, *characters, *words))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, instruction words whole. It adds no special tokens to a text."""
    core = Tokenizer(models.WordLevel(vocabulary(), unk_token=SPECIAL[UNK]))
    pieces = "|".join(f"{word} " for word in tasks.WORDS)
    core.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{pieces}|[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        **names,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def build_model() -> LlamaForCausalLM:
    """A fresh Llama of 0.9 M parameters; embedding and head are one tensor."""
    config = LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},  # the default of every library
        initializer_range=0.05,  # learns far sooner than the usual 0.02 at this width
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    model = LlamaForCausalLM(config)
    stops = [EOS, vocabulary()["\n"]]
    model.generation_config = GenerationConfig(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=stops)
    return model


def sample(rng: random.Random, mixture: Sequence[Share], held_out: frozenset[str]) -> tasks.Item:
    """One training item of the mixture, never a held-out one."""
    (share,) = rng.choices(mixture, weights=[share.weight for share in mixture])
    return tasks.draw(rng, share.word, rng.randint(share.shortest, share.longest), held_out)


def collate(tokenizer: PreTrainedTokenizerFast, items: Sequence[tasks.Item]) -> dict[str, torch.Tensor]:
    """Padded ids, and labels on the answer, its newline and the end token only."""
    prompts = tokenizer([item.prompt for item in items])["input_ids"]
    endings = tokenizer([f"{item.target}\n" for item in items])["input_ids"]
    width = max(len(p) + len(e) for p, e in zip(prompts, endings, strict=True)) + 1
    ids = torch.full((len(items), width), PAD)
    labels = torch.full((len(items), width), -100)
    for row, (prompt, ending) in enumerate(zip(prompts, endings, strict=True)):
        text = torch.tensor([*prompt, *ending, EOS])
        ids[row, : len(text)] = text
        labels[row, len(prompt) : len(text)] = text[len(prompt) :]
    return {"input_ids": ids, "labels": labels}


def batches(
    stage: Stage, tokenizer: PreTrainedTokenizerFast, held_out: frozenset[str], seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """The training data of a stage, made as it goes."""
    rng = random.Random(f"train {stage.name} {seed}")
    for _ in range(stage.steps):
        yield collate(tokenizer, [sample(rng, stage.mixture, held_out) for _ in range(BATCH)])


def rate_at(step: int, steps: int) -> float:
    """Factor on the learning rate: short warm-up, then down in a straight line to a twentieth."""
    return min((step + 1) / 50, max(0.05, 1 - step / steps))


def train(
    model: LlamaForCausalLM,
    stage: Stage,
    tokenizer: PreTrainedTokenizerFast,
    held_out: frozenset[str],
    seed: int,
) -> None:
    """Run one stage on the model in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, stage.steps))
    model.train()
    for step, batch in enumerate(batches(stage, tokenizer, held_out, seed), 1):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == stage.steps:
            print(f"{stage.name:8} step {step:5} of {stage.steps}  loss {loss.item():.4f}", flush=True)


def store(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model folder in bfloat16; `model` itself stays float32."""
    rounded = LlamaForCausalLM(model.config).to(torch.bfloat16)
    rounded.load_state_dict(model.state_dict())
    rounded.generation_config = model.generation_config
    rounded.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written private to its owner; package data must not be
    store_tokenizer(tokenizer, folder)


def store_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Tokenizer files under the class name that transformers 4 and 5 both know."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def train_zoo(out: Path, seed: int, shrink: int) -> None:
    """Base first, then every expert from the base as stored, so that deltas are between files."""
    splits = tasks.held_out_splits(seed, SPLITS)
    for task, name in ((task, name) for task in splits for name in SPLITS):
        tasks.write_items(out / f"tasks/{task}.{name}.jsonl", splits[task][name])
    held_out = tasks.prompts_of(splits)
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    for stage in (BASE, *EXPERTS):
        started = time.perf_counter()
        model = build_model() if stage is BASE else measure.load_model(out / "base")
        train(model, replace(stage, steps=stage.steps // shrink), tokenizer, held_out, seed)
        store(model, tokenizer, out / stage.name)
        print(f"{stage.name:8} trained in {time.perf_counter() - started:.0f} s", flush=True)


def misses(scores: dict[str, dict[str, float]]) -> list[str]:
    """What the README promises and these scores (model -> task -> share) do not keep."""
    found = []
    for expert, own in measure.EXPERTS.items():
        if scores[expert][own] < 0.9:
            found.append(f"{expert} has {scores[expert][own]:.1%} on {own}, below 90 %")
        if scores["base"][own] >= scores[expert][own]:
            found.append(f"base is not below {expert} on {own}")
        for task in (task for task in tasks.TASKS if task != own):
            if scores[expert][task] > 0.5:
                found.append(f"{expert} has {scores[expert][task]:.1%} on {task}, above 50 %")
    return found


def check(out: Path) -> list[str]:
    """Print the scores of the stored models; return what is missing."""
    zoo = measure.Zoo(out)
    print("\n" + measure.model_table(zoo) + "\n")
    return misses({name: zoo.scores(weights) for name, weights in zoo.weights.items()})


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the zoo: a base model and three experts.")
    parser.add_argument("--out", type=Path, required=True, help="folder for base, experts and tasks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="part of what fixes the bytes, with the seed")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the steps, scores not enforced")
    return parser.parse_args()


def main() -> int:
    """Train, store, score; 1 where the scores are not good enough."""
    options = parse_options()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    logging.disable_progress_bar()
    train_zoo(options.out, options.seed, shrink=20 if options.quick else 1)
    found = check(options.out)
    for line in found:
        print(f"missed: {line}")
    return 1 if found and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())

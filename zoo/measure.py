"""Scores of zoo models and of their merges, measured the way a user would: batched greedy generation.

Run on a finished zoo it prints the tables of README.md: `python zoo/measure.py src/mixmerge/zoo`.
Merges here are the plain formulas in float32, rounded to bfloat16 once, so that what is scored is what
a merged checkpoint on disk would hold.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tasks
import torch
from scipy.stats import binomtest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.llama import LlamaForCausalLM
from transformers.utils import logging

EXPERTS = {"adder": "add", "sorter": "sort", "flipper": "flip"}
MODELS = ("base", *EXPERTS)
RATIOS = tuple(step / 10 for step in range(11))
SCALES = (0.5, 1.0, 1.5, 2.0)
MAX_NEW_TOKENS = 8  # the longest answer has 6 characters, then the newline
BATCH = 256

Weights = dict[str, torch.Tensor]


def load_model(folder: Path) -> LlamaForCausalLM:
    """The stored bfloat16 weights, widened to float32 for computing: the same numbers, faster on CPUs."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of one zoo folder."""
    return AutoTokenizer.from_pretrained(folder)


def weights_of(model: LlamaForCausalLM) -> Weights:
    """Every parameter once (tied ones under the embedding's name), detached from the model."""
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def answers(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[str]:
    """What the model writes after each prompt, up to the newline."""
    encoded = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left")
    output = model.generate(**encoded, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
    texts = tokenizer.batch_decode(output[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.partition("\n")[0] for text in texts]


def count_correct(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, items: Sequence[tasks.Item]) -> int:
    """How many items are answered exactly."""
    correct = 0
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        got = answers(model, tokenizer, [item.prompt for item in part])
        correct += sum(text == item.target for text, item in zip(got, part, strict=True))
    return correct


class Zoo:
    """The finished zoo in memory: weights of every model, test items, and one live model to score with."""

    def __init__(self, folder: Path, split: str = "test") -> None:
        """Read everything below `folder` that `train.py` wrote."""
        self.tokenizer = load_tokenizer(folder / "base")
        self.live = load_model(folder / "base")
        self.weights = {name: weights_of(load_model(folder / name)) for name in MODELS}
        self.items = {task: tasks.read_items(folder / f"tasks/{task}.{split}.jsonl") for task in tasks.TASKS}

    def score(self, weights: Weights, task: str) -> int:
        """Exact answers of a model with these weights, rounded to bfloat16."""
        with torch.no_grad():
            for name, parameter in self.live.named_parameters():
                parameter.copy_(weights[name].bfloat16())
        return count_correct(self.live, self.tokenizer, self.items[task])

    def scores(self, weights: Weights, names: Iterable[str] = tasks.TASKS) -> dict[str, float]:
        """task -> share of exact answers."""
        return {task: self.score(weights, task) / len(self.items[task]) for task in names}


def combine(base: Weights, parts: Mapping[str, Weights], ratios: Mapping[str, float], scale: float) -> Weights:
    """base + scale * sum of ratio * (part - base); at scale 1 that is the linear average."""
    return {
        name: tensor + scale * sum(ratios[key] * (part[name] - tensor) for key, part in parts.items())
        for name, tensor in base.items()
    }


def average(parts: Mapping[str, Weights], ratios: Mapping[str, float]) -> Weights:
    """Sum of ratio * part."""
    first = next(iter(parts.values()))
    return {name: sum(ratios[key] * part[name] for key, part in parts.items()) for name in first}


def interval(correct: int, total: int) -> tuple[float, float]:
    """95 % Wilson interval of a share."""
    bounds = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f}"


def score_cell(correct: int, total: int) -> str:
    """Percentage with its 95 % interval."""
    low, high = interval(correct, total)
    return f"{percent(correct / total)} ({percent(low)} to {percent(high)})"


def model_table(zoo: Zoo) -> str:
    """Every model on every task."""
    rows = []
    for name in MODELS:
        counts = {task: zoo.score(zoo.weights[name], task) for task in tasks.TASKS}
        rows.append([name, *(score_cell(count, len(zoo.items[task])) for task, count in counts.items())])
    return markdown(["model", *tasks.TASKS], rows)


def merge_row(zoo: Zoo, label: str, merged: Weights, names: Sequence[str]) -> list[str]:
    """One line of a curve: the score on each of the pair's tasks, and their mean."""
    scores = list(zoo.scores(merged, names).values())
    return [label, *map(percent, scores), percent(sum(scores) / len(scores))]


def linear_table(zoo: Zoo, pair: tuple[str, str]) -> str:
    """The linear average of two experts along the ratio of the first."""
    parts = {name: zoo.weights[name] for name in pair}
    names = [EXPERTS[name] for name in pair]
    rows = []
    for ratio in RATIOS:
        merged = average(parts, dict(zip(pair, (ratio, 1 - ratio), strict=True)))
        rows.append(merge_row(zoo, f"{ratio:.1f}", merged, names))
    return markdown([f"ratio of {pair[0]}", *names, "mean"], rows)


def scaled_cell(scores: Sequence[float]) -> str:
    """The mean, then the scores it is the mean of."""
    return f"{percent(sum(scores) / len(scores))} ({' / '.join(map(percent, scores))})"


def scaled_table(zoo: Zoo, pair: tuple[str, str]) -> str:
    """base + s (r d1 + (1 - r) d2): mean score of both tasks, one line a ratio, one column a scale."""
    parts = {name: zoo.weights[name] for name in pair}
    names = [EXPERTS[name] for name in pair]
    rows = []
    for ratio in RATIOS[1:-1]:
        ratios = dict(zip(pair, (ratio, 1 - ratio), strict=True))
        merges = [combine(zoo.weights["base"], parts, ratios, scale) for scale in SCALES]
        cells = [list(zoo.scores(merged, names).values()) for merged in merges]
        rows.append([f"{ratio:.1f}", *map(scaled_cell, cells)])
    return markdown([f"ratio of {pair[0]}", *(f"s = {scale:g}" for scale in SCALES)], rows)


def report(folder: Path) -> Iterable[str]:
    """Every table, each as soon as it is measured."""
    zoo = Zoo(folder)
    yield "## Models\n\n" + model_table(zoo)
    for pair in itertools.combinations(EXPERTS, 2):
        yield f"## {pair[0]} and {pair[1]}, linear\n\n" + linear_table(zoo, pair)
        yield f"## {pair[0]} and {pair[1]}, task arithmetic\n\n" + scaled_table(zoo, pair)


def main() -> None:
    """Print the tables of a finished zoo."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    started = time.perf_counter()
    for table in report(options.folder):
        print(table, end="\n\n", flush=True)
    print(f"measured in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()

"""The zoo's little instruction language: what the prompts look like and what the right answers are.

Every item is one line, `<word> <argument>=<answer>`, ended by a newline. Three tasks are the skills that
experts are trained for (`add`, `sort`, `flip`); `copy` is seen by the base only. This file knows strings
and random numbers; it knows nothing of tokens, models or training.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
FULL_LENGTH = {"add": 3, "sort": 6, "flip": 6}
TASKS = tuple(FULL_LENGTH)
WORDS = (*TASKS, "copy")


@dataclass(frozen=True, slots=True)
class Item:
    """One exercise: `target` is what must follow `prompt`, up to the newline and without it."""

    prompt: str
    target: str


def add(rng: random.Random, length: int) -> Item:
    """Sum of two numbers of exactly `length` digits each, as in `add 470+385=` -> `855`."""
    low = 10 ** (length - 1)
    left, right = (rng.randrange(low, 10 * low) for _ in range(2))
    return Item(f"add {left}+{right}=", str(left + right))


def sort(rng: random.Random, length: int) -> Item:
    """Digits in rising order, as in `sort 704121=` -> `011247`."""
    text = "".join(rng.choices(DIGITS, k=length))
    return Item(f"sort {text}=", "".join(sorted(text)))


def flip(rng: random.Random, length: int) -> Item:
    """Letters in reverse order, as in `flip planet=` -> `tenalp`."""
    text = "".join(rng.choices(LETTERS, k=length))
    return Item(f"flip {text}=", text[::-1])


def copy(rng: random.Random, length: int) -> Item:
    """The argument again, digits or letters, as in `copy 70c=` -> `70c`."""
    text = "".join(rng.choices(rng.choice((DIGITS, LETTERS)), k=length))
    return Item(f"copy {text}=", text)


MAKERS: dict[str, Callable[[random.Random, int], Item]] = {
    "add": add,
    "sort": sort,
    "flip": flip,
    "copy": copy,
}


def draw(rng: random.Random, word: str, length: int, held_out: frozenset[str] = frozenset()) -> Item:
    """One random item whose prompt is not in `held_out`."""
    while True:
        item = MAKERS[word](rng, length)
        if item.prompt not in held_out:
            return item


def draw_distinct(rng: random.Random, word: str, length: int, count: int) -> list[Item]:
    """`count` items with different prompts, in the order drawn."""
    items: dict[str, Item] = {}
    while len(items) < count:
        item = draw(rng, word, length)
        items.setdefault(item.prompt, item)
    return list(items.values())


def held_out_splits(seed: int, sizes: dict[str, int]) -> dict[str, dict[str, list[Item]]]:
    """task -> split -> items at full length; no prompt is in two splits."""
    splits: dict[str, dict[str, list[Item]]] = {}
    for task in TASKS:
        rng = random.Random(f"held out {task} {seed}")
        pool = iter(draw_distinct(rng, task, FULL_LENGTH[task], sum(sizes.values())))
        splits[task] = {split: [next(pool) for _ in range(size)] for split, size in sizes.items()}
    return splits


def prompts_of(splits: dict[str, dict[str, list[Item]]]) -> frozenset[str]:
    """Every held-out prompt, for training to avoid."""
    return frozenset(item.prompt for task in splits.values() for items in task.values() for item in items)


def write_items(path: Path, items: Iterable[Item]) -> None:
    """One JSON object a line, `prompt` and `target`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(item)) + "\n" for item in items), encoding="utf-8", newline="\n")


def read_items(path: Path) -> list[Item]:
    """What `write_items` wrote."""
    return [Item(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]

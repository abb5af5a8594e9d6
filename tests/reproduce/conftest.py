"""Stand-ins for the paper's models and data: tiny Llamas, Math with a token more, and files of real form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.conftest import bytes_tokenizer, llama, save

WINDOW = 340
GSM8K = [{"question": f"What is {n} and {n}?", "answer": f"They are\n#### {2 * n}"} for n in range(1, 5)]
MATH = [{"problem": f"Find ${n}+1$.", "solution": rf"It is $\boxed{{{n + 1}}}$."} for n in range(1, 4)]
ALPACA = [{"instruction": f"Name {n} colours.", "output": "Red, of course."} for n in range(1, 4)]
SST2 = [{"sentence": text, "label": label} for label, text in enumerate(["dull", "a fine fox", "no", "the quick dog"])]
MBPP = [
    {"task_id": number, "text": "Give 1.", "code": "def one():\n    return 1", "test_list": ["assert one() == 1"]}
    for number in (11, 12)
]
TYPOS = [
    {"turns": [f"Fix it:\n\nTeh fox number {n}."], "ground_truth": f"The fox number {n}.", "task": "typos"}
    for n in range(1, 4)
]


def lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base, lm, math and code; math has the token [PAD] more, as WizardMath has."""
    import torch

    folder = tmp_path_factory.mktemp("models")
    for number, role in enumerate(("base", "lm", "math", "code")):
        model = llama(tied=False)
        model.config.max_position_embeddings = WINDOW
        torch.manual_seed(number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += number * 0.05 * torch.randn_like(parameter)
        tokenizer = bytes_tokenizer(begin=True)
        if role == "math":
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        save(model, tokenizer, folder / role)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as they are published, with a few rows each."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "gsm8k_test.jsonl").write_text(lines(GSM8K))
    (folder / "math_test.jsonl").write_text(lines(MATH))
    (folder / "alpaca_eval.json").write_text(json.dumps(ALPACA))
    (folder / "mbpp.jsonl").write_text(lines(MBPP))
    (folder / "livebench_language.jsonl").write_text(lines(TYPOS))
    for name, rows in (("sst2", SST2), ("cola", SST2)):
        (folder / f"{name}.jsonl").write_text(lines([{**row, "label": row["label"] % 2} for row in rows]))
    return folder

"""The model card of a merge: README.md with the front matter hubs read, the ratio, the recipe and the inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from mixmerge.errors import legible


def model_card(record: Mapping[str, Any], title: str, extra: str = "") -> str:
    """Markdown of a card. record: of mixmerge.json. extra: sections to add, as scores."""
    parts_read = [part for model in record["models"] for part in (model, model.get("adapter"))]
    hub_ids = list(dict.fromkeys(part["hub"]["id"] for part in parts_read if part and part["hub"]))
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["merge", "mixmerge", "m3"]}
    if hub_ids:
        front["base_model"] = hub_ids
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {_heading(title)}",
        _opening(record),
        _ratio_table(record),
        "## Recipe\n\n" + _fenced("yaml", record["recipe"]),
        _inputs(record),
        extra,
        "`mixmerge verify` on this folder recomputes the fingerprints of every tensor and compares.",
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _heading(title: str) -> str:
    """A folder's name: plain where it is of letters, digits and what stands between them, else as code."""
    return title if re.fullmatch(r"[\w.+-]+( [\w.+-]+)*", title) and "__" not in title else _code(title)


def _opening(record: Mapping[str, Any]) -> str:
    law = f", ratio drawn from {record['ratio_law']} with seed {record['seed']}" if record["ratio_law"] else ""
    method = f"method {_code(record['method'])}, dialect {_code(record['dialect'])}"
    return f"Merged with Mixmerge {record['mixmerge']}: {method}{law}."


def _ratio_table(record: Mapping[str, Any]) -> str:
    if not record["ratios"]:
        return ""
    head = "| group | " + " | ".join(_cell(source) for source in record["sources"]) + " |"
    rule = "|---" * (len(record["sources"]) + 1) + "|"
    rows = [
        f"| {_cell(group)} | " + " | ".join(f"{part:g}" for part in ratio) + " |"
        for group, ratio in record["ratios"].items()
    ]
    return "\n".join(["## Ratio\n", head, rule, *rows])


def _inputs(record: Mapping[str, Any]) -> str:
    lines = ["## Models\n", "| model | role | tensors | revision |", "|---|---|---|---|"]
    for model in record["models"]:
        revision = model["hub"]["commit"] if model["hub"] else "local"
        lines.append(f"| {_cell(model['model'])} | {model['role']} | {len(model['tensors'])} | {revision} |")
    lines += [line for model in record["models"] if "adapter" in model for line in _adapter(model)]
    return "\n".join(lines)


def _adapter(model: Mapping[str, Any]) -> list[str]:
    """What was added to a model, as a paragraph."""
    own = model["adapter"]
    changes = own["changes"].values()
    what = [f"low-rank changes of {len(changes)} tensors"] if changes else []
    what += [f"{len(own['replaced'])} tensors of its own"] if own["replaced"] else []
    commit = f" (commit {own['hub']['commit']})" if own["hub"] else ""
    label, adapter = _code(model["model"]), _code(own["adapter"])
    return ["", f"{label} is read through the LoRA adapter {adapter}{commit}: {', '.join(what)}."]


def _code(text: str) -> str:
    """Strangers' words as code: shown as they are, and never read as Markdown or HTML."""
    line = legible(text).replace("\n", " ")
    fence = "`" * (_longest_run(line) + 1)
    space = " " if line[:1] in ("`", " ", "") or line[-1:] in ("`", " ") else ""
    return f"{fence}{space}{line}{space}{fence}"


def _cell(text: str) -> str:
    """The same in a table, where a bar in code would end the cell."""
    return _code(text).replace("|", "\\|")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _fenced(language: str, text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"

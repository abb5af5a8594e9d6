"""What an attack found, as values that stay as they are, and as JSON. It knows numbers and texts; it asks no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

from mixmerge import fileio
from mixmerge.errors import OutputError, Problem
from mixmerge.evaluation.attacks.pdr import Drop
from mixmerge.evaluation.attacks.search import Tried
from mixmerge.evaluation.numbers import Estimate, Spread

FORMAT: Final = 1
"""Changes when a key changes its meaning or goes."""


@final
@dataclass(frozen=True, slots=True)
class AttackRun:
    """One search. seed: None where the attack draws nothing. prompt: the worst one found.

    attacked: accuracy under it, with its interval. pdr: None where clean accuracy is 0. queries: prompts looked at
    beside the clean one. tried: all of them with their accuracies, the clean one first.
    """

    seed: int | None
    prompt: str
    attacked: Estimate
    pdr: Drop | None
    queries: int
    tried: tuple[Tried, ...]


@final
@dataclass(frozen=True, slots=True)
class AttackResult:
    """One model under one attack. clean: accuracy under the prompt as it was.

    commit: of a model from the hub, else None. attacked, pdr: mean and spread over the runs; pdr is None where clean
    accuracy is 0: a model that is never right has nothing to lose. evaluations: prompts the model was really asked.
    seconds: of asking.
    """

    model: str
    commit: str | None
    clean: Estimate
    runs: tuple[AttackRun, ...]
    attacked: Spread
    pdr: Spread | None
    evaluations: int
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class AttackReport:
    """All models of one call, under one attack on one prompt and the same examples.

    labels: answers as the model writes them. digest: xxh3-128 of labels and examples in their order. sources: of the
    data, as `suite.data.Source` records them. settings: what else was asked for. versions: of the libraries.
    """

    task: str
    attack: str
    prompt: str
    labels: tuple[str, ...]
    examples: int
    digest: str
    sources: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    results: tuple[AttackResult, ...]

    def record(self, *, tried: bool = True) -> dict[str, Any]:
        """As JSON values; see docs/attacks.md. tried: with every prompt of every search."""
        found: dict[str, Any] = {"format": FORMAT, **_plain(asdict(self))}
        if not tried:
            for run in (run for result in found["results"] for run in result["runs"]):
                del run["tried"]
        return found

    def text(self, *, tried: bool = True) -> str:
        """The record as JSON."""
        return json.dumps(self.record(tried=tried), indent=1, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the record to a file, whole or not at all. Raises OutputError."""
        try:
            fileio.atomic_write(path, self.text().encode("utf-8"))
        except OSError as error:
            raise OutputError(Problem("the report can be written", str(error), str(path), "choose --out")) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value

"""One attack on one or more models: everything checked first, then model after model on the same examples.

The door of this room. It knows models in memory, examples and attacks; it knows nothing of merging or studies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, final

from mixmerge.evaluation.attacks.bertattack import SIMILARITY, BertAttack
from mixmerge.evaluation.attacks.classify import Classifier
from mixmerge.evaluation.attacks.examples import SEED
from mixmerge.evaluation.attacks.masked_lm import Encoder, MaskedLM
from mixmerge.evaluation.attacks.pdr import Floats, drop
from mixmerge.evaluation.attacks.request import LIMIT, QUERIES, SEEDS, Prepared, Request, prepared
from mixmerge.evaluation.attacks.results import AttackReport, AttackResult, AttackRun
from mixmerge.evaluation.attacks.search import Ask, Search, Victim
from mixmerge.evaluation.attacks.table import Find
from mixmerge.evaluation.lists import lists
from mixmerge.evaluation.live import Compute, LiveModel, computed_in
from mixmerge.evaluation.named_model import NamedModel
from mixmerge.evaluation.numbers import estimate, spread

LIBRARIES: Final = ("mixmerge", "torch", "transformers", "tokenizers", "numpy")

_NAMED_ELSEWHERE: Final = ("models", "task", "attack", "prompt_text", "out", "overwrite")
"""Of a request: what a report says in keys of its own, or need not say."""


@final
@dataclass(frozen=True, slots=True)
class PromptsScored:
    """Told while it runs: for how many prompts the model was asked so far, and the lowest accuracy among them."""

    model: str
    evaluations: int
    lowest: float


Listener = Callable[[PromptsScored], None]


def attack(
    models: str | Path | Sequence[str | Path],
    task: str | Path,
    attack: str,
    *,
    data_dir: str | Path | None = None,
    limit: int | None = LIMIT,
    queries: int = QUERIES,
    seeds: Sequence[int] = SEEDS,
    examples_seed: int = SEED,
    prompt_text: str | None = None,
    protect: str | Collection[str] = (),
    masked_lm: str | Path | None = None,
    sentence_encoder: str | Path | None = None,
    device: str = "cpu",
    compute: Compute | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    listeners: Sequence[Listener] = (),
) -> AttackReport:
    """Look for a wording of the prompt under which each model is right less often, and tell how much it loses.

    models: folders or hub ids, or such with `+adapter`, one or a list, each attacked by itself, all on the same
    examples. task: sst2, cola or a JSONL file of choices. attack: a name of `ATTACKS`. data_dir: plain files of sst2
    and cola; None: the hub. limit: of examples, >= 1, None: all. queries: prompts one search may look at beside the
    clean one. seeds: one search each, for attacks that draw. examples_seed: which examples. prompt_text: holds
    `{content}` once; None: the task's own. protect: words that stay, beside labels and function words. masked_lm:
    folder, for bertattack. sentence_encoder: folder, for bertattack; None: meaning is not compared. compute: dtype;
    None: float32 on a CPU, else the type a model's config names. out: a file for the report's JSON; one that exists is
    replaced with `overwrite` only.

    Raises TaskError with everything wrong before a weight is read; LiveModelError, MissingExtraError, OutputError.
    """
    given = lists({"models": models, "protect": protect, "seeds": seeds}, numeric=("seeds",))
    request = Request(
        **given, task=str(task), attack=attack, data_dir=_path(data_dir), limit=limit, queries=queries,
        examples_seed=examples_seed, prompt_text=prompt_text, masked_lm=_path(masked_lm),
        sentence_encoder=_path(sentence_encoder), device=device, compute=computed_in(device, compute), out=_path(out),
        overwrite=overwrite,
    )  # fmt: skip
    ready = prepared(request)
    find = _finder(request, ready)
    results = tuple(_on_model(model, request, ready, find, listeners) for model in ready.models)
    report = _report(request, ready, results)
    if request.out is not None:
        report.write(request.out)
    return report


def attack_model(
    ask: Ask, find: Find, ready: Prepared, queries: int
) -> tuple[tuple[AttackRun, ...], Floats, int]:  # fmt: skip
    """Every search on one model: the runs, clean scores of the examples, and how many prompts were really asked."""
    victim = Victim(ask)
    clean = victim.scores([ready.prompt.text])[0]
    runs = []
    for seed in ready.seeds:
        search = Search(victim, ready.prompt, queries)
        prompt = find(search, ready.stays, 0 if seed is None else seed).text
        attacked = victim.scores([prompt])[0]
        runs.append(
            AttackRun(seed, prompt, estimate(attacked), drop(clean, attacked), search.queries, search.tried)
        )  # fmt: skip
    return tuple(runs), clean, victim.evaluations


def _on_model(
    model: NamedModel, request: Request, ready: Prepared, find: Find, listeners: Sequence[Listener]
) -> AttackResult:
    with model.folder(lambda _: None) as folder:
        live = LiveModel.load(folder, device=request.device, dtype=request.compute)
        ask = _watched(model.name, Classifier(live, ready.data.rows, ready.data.labels), listeners)
        began = time.perf_counter()
        runs, clean, evaluations = attack_model(ask, find, ready, request.queries)
    drops = [run.pdr.value for run in runs if run.pdr is not None]
    return AttackResult(
        model=model.name,
        commit=model.commit,
        clean=estimate(clean),
        runs=runs,
        attacked=spread([run.attacked.mean for run in runs]),
        pdr=spread(drops) if drops else None,
        evaluations=evaluations,
        seconds=time.perf_counter() - began,
    )


def _watched(model: str, ask: Ask, listeners: Sequence[Listener]) -> Ask:
    """Asks prompt by prompt and tells after each one."""
    accuracies: list[float] = []

    def asking(prompts: Sequence[str]) -> list[Floats]:
        found: list[Floats] = []
        for prompt in prompts:
            found += ask([prompt])
            accuracies.append(float(found[-1].mean()))
            for listener in listeners:
                listener(PromptsScored(model, len(accuracies), min(accuracies)))
        return found

    return asking


def _finder(request: Request, ready: Prepared) -> Find:
    if ready.attack.find is not None:
        return ready.attack.find
    assert request.masked_lm is not None, "checked before"
    judge = None if request.sentence_encoder is None else Encoder.load(request.sentence_encoder)
    return BertAttack(MaskedLM.load(request.masked_lm), judge)


def _report(request: Request, ready: Prepared, results: tuple[AttackResult, ...]) -> AttackReport:
    asked: dict[str, Any] = asdict(request)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asked.items()
        if name not in _NAMED_ELSEWHERE
    }
    compared = request.sentence_encoder is not None
    return AttackReport(
        task=ready.data.task,
        attack=request.attack,
        prompt=ready.prompt.text,
        labels=ready.data.labels,
        examples=len(ready.data.rows),
        digest=ready.data.digest,
        sources=tuple(source.record() for source in ready.data.sources),
        settings=settings | {"similarity": SIMILARITY if compared else None},
        versions={name: metadata.version(name) for name in LIBRARIES},
        results=results,
    )


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)

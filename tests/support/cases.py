"""What the contract suite runs over: every method of the table, alone, after DARE, with mixup and with both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixmerge.methods import METHODS, Method
from mixmerge.recipe import Recipe
from support.merging import recipe_of

DARES: dict[str, dict[str, Any]] = {
    "random": {"drop_rate": 0.3},
    "random-bare": {"drop_rate": 0.3, "rescale": False},
    "random-weight": {"drop_rate": 0.3, "of": "weight"},
    "magnitude": {"drop_rate": 0.3, "strategy": "magnitude"},
    "magnitude-weight": {"drop_rate": 0.3, "strategy": "magnitude", "of": "weight", "rescale": False},
}
WEIGHTS = (0.6, 0.3, 0.5)
DENSITIES = (0.4, 0.7, 0.5)
RATIOS = {1: (1.0,), 2: (0.3, 0.7), 3: (0.2, 0.5, 0.3)}


@dataclass(frozen=True)
class Case:
    """One way to merge. dare: a name of DARES. parameters: at the top level, beside those the method requires."""

    dialect: str
    name: str
    dare: str | None
    mixup: bool
    n: int
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def id(self) -> str:
        extra = [f"{key}-{value}".lower() for key, value in self.parameters.items()]
        parts = [
            self.dialect,
            self.name,
            *extra,
            self.dare and f"dare-{self.dare}",
            self.mixup and "mixup",
            str(self.n),
        ]
        return "/".join(part for part in parts if part)

    @property
    def method(self) -> Method:
        return METHODS[self.dialect, self.name]  # type: ignore[index]

    @property
    def random(self) -> bool:
        return self.method.sparsify == "bernoulli" or bool(self.dare and self.dare.startswith("random"))

    @property
    def needs_base(self) -> bool:
        return self.method.base == "required" or bool(self.dare and DARES[self.dare].get("of") != "weight")

    def source_parameters(self, k: int) -> dict[str, Any]:
        """Parameters of source k: a weight where one is asked for, a density where there is one."""
        found: dict[str, Any] = {}
        if self.dialect == "mergekit" and not self.mixup:
            found["weight"] = WEIGHTS[k]
        if self.method.parameter("density") is not None:
            found["density"] = DENSITIES[k]
        return found

    def recipe(
        self,
        models: list[Path],
        base: Path,
        *,
        order: tuple[int, ...] | None = None,
        parameters: dict[str, Any] | None = None,
        ratio: tuple[float, ...] | None = None,
        **keys: Any,
    ) -> Recipe:
        """The recipe of this case. order: of the (source, parameters, part of the ratio) triples."""
        order = order or tuple(range(self.n))
        parts = ratio or RATIOS[self.n]
        mixup = {"ratio": [parts[k] for k in order]} if self.mixup else None
        return recipe_of(
            self.name,
            [models[k] for k in order],
            base if self.needs_base else None,
            sources=[self.source_parameters(k) for k in order],
            dialect=self.dialect,
            dare=DARES[self.dare] if self.dare else None,
            mixup=mixup,
            parameters={**self.parameters, **(parameters or {})} or None,
            seed=11,
            **keys,
        )


def _variants(dialect: str, name: str) -> list[dict[str, Any]]:
    """Settings of a method that take other roads through the engine."""
    if (dialect, name) == ("paper", "ties"):
        return [{"scale": 0.8}, {"trim": "tensor"}]
    if (dialect, name) == ("mergekit", "ties"):
        return [{}, {"rescale": True, "normalize": False, "lambda": 0.8}]
    return [{}]


def _cases(n: int) -> list[Case]:
    found = []
    for dialect, name in METHODS:
        method = METHODS[dialect, name]
        for variant in _variants(dialect, name):
            dares = [None, *DARES] if method.sparsify != "bernoulli" else [None]
            if (dialect, name) == ("mergekit", "linear"):
                dares = [None]  # its base would be one more source
            for dare in dares:
                found += [Case(dialect, name, dare, mixup, n, variant) for mixup in (False, True)]
    return found


CASES = [*_cases(2), *_cases(3)]
PLAIN = [case for case in CASES if case.dare is None]

"""Mixmerge: merge fine-tuned language models, and find the merging ratio (Mixup Model Merge, arXiv 2502.15434).

>>> import mixmerge
>>> planned = mixmerge.plan("recipe.yaml")          # reads headers only
>>> record = mixmerge.merge("recipe.yaml", "out")   # writes the merged model
>>> study = mixmerge.explore("recipe.yaml", ["task.jsonl"], folder="study")  # finds the ratio
>>> mixmerge.verify("out")                          # recomputes its fingerprints
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixmerge.errors import MixmergeError, Problem
from mixmerge.startup import on_first_use
from mixmerge.version import __version__ as __version__

if TYPE_CHECKING:
    from mixmerge.api import merge, plan, verify
    from mixmerge.evaluation.attacks import attack
    from mixmerge.evaluation.evaluate import evaluate
    from mixmerge.recipe import Recipe, load_recipe, parse_recipe
    from mixmerge.study import Study, explore, export
else:
    __getattr__ = on_first_use(__name__, {  # so that importing the package costs nothing
        "Study": "mixmerge.study",
        "attack": "mixmerge.evaluation.attacks",
        "evaluate": "mixmerge.evaluation.evaluate",
        "explore": "mixmerge.study",
        "export": "mixmerge.study",
        "merge": "mixmerge.api",
        "plan": "mixmerge.api",
        "verify": "mixmerge.api",
        "Recipe": "mixmerge.recipe",
        "load_recipe": "mixmerge.recipe",
        "parse_recipe": "mixmerge.recipe",
    })  # fmt: skip


def __dir__() -> list[str]:
    """What a person is offered, also before it was used."""
    return sorted({*globals(), *__all__})


__all__ = [
    "MixmergeError",
    "Problem",
    "Recipe",
    "Study",
    "attack",
    "evaluate",
    "explore",
    "export",
    "load_recipe",
    "merge",
    "parse_recipe",
    "plan",
    "verify",
]

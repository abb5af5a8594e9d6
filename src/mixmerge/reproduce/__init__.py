"""The paper's tables, run again by whoever has the weights: recipes, merges, scores, and the published numbers beside.

>>> from mixmerge.reproduce import outline, reproduce
>>> outline("headline", out="m3", models=["models"]).problems
>>> reproduce("headline", ["lm-math-ties"], out="m3", models=["models"], data_dir="data")

Above studies and reports, below the command line. It merges and scores through the doors that any user has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixmerge.reproduce.grid import TABLES
from mixmerge.reproduce.problems import ReproduceError
from mixmerge.startup import on_first_use

if TYPE_CHECKING:
    from mixmerge.reproduce.door import outline, reproduce
    from mixmerge.reproduce.recipes import print_recipes
    from mixmerge.reproduce.request import Prepared
else:
    __getattr__ = on_first_use(__name__, {  # the tables alone are there at once
        "Prepared": "mixmerge.reproduce.request",
        "outline": "mixmerge.reproduce.door",
        "print_recipes": "mixmerge.reproduce.recipes",
        "reproduce": "mixmerge.reproduce.door",
    })  # fmt: skip

__all__ = ["TABLES", "Prepared", "ReproduceError", "outline", "print_recipes", "reproduce"]

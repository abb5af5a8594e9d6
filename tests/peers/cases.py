"""Recipes in mergekit's YAML beside what the oracles say they mean (docs: the formula, section B).

Each case is a recipe text with $names for folders and a function from the source models to the expected one.
Whoever runs recipes can be held against them: mergekit itself (test_mergekit.py), or the product.
"""

from peers.case import Case
from peers.cases_of_methods import OF_METHODS
from peers.cases_of_models import OF_MODELS

CASES: dict[str, Case] = {**OF_METHODS, **OF_MODELS}

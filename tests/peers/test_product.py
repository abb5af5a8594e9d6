"""The product runs mergekit's YAML: every case against its meaning; test_mergekit.py holds it against mergekit itself.

Left out are methods this version does not have, and cases whose random masks are those the harness fixes.
"""

from pathlib import Path

import pytest
import yaml

from mixmerge import api
from mixmerge.errors import PlanError, RecipeError
from mixmerge.methods import method_names
from peers.case import Case
from peers.cases import CASES
from peers.harness import Model, read_typed
from peers.meaning import Models, assert_agrees, fill, write_models

REFUSED = {
    "linear, weights that sum to 0": "do not sum to zero",
    "linear, a single filter without a list": "a list of {filter, value}",
    "linear, an unlisted base needs its weight": "needs weight",
    "task_arithmetic without a base": "needs a base_model",
    "task_arithmetic, only the base": "at least 1 source",
    "task_arithmetic, global parameter at a source is not read": "move it to the parameters at the top level",
    "ties, density above 1": "between 0 and 1",
}
"""What the product tells instead of what mergekit guesses, ignores or dies of."""


def ours(case: Case) -> bool:
    """Whether the product has the method, and its result is certain."""
    method = yaml.safe_load(case.recipe)["merge_method"]
    return method in method_names() and not (case.settle and method.startswith("dare"))


CERTAIN = [name for name, case in CASES.items() if ours(case) and name not in REFUSED]


def product(case: Case, paths: dict[str, Path], out: Path) -> Model:
    """What the product makes of a case, widened; in the dtype the case names."""
    api.merge(fill(case.recipe, paths), out, threads=1)
    found = read_typed(out)
    assert {dtype for dtype, _ in found.values()} == {case.dtype}
    return {name: values for name, (_, values) in found.items()}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Models, dict[str, Path]]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("name", CERTAIN)
def test_product_means_the_same(name: str, checkpoints: tuple[Models, dict[str, Path]], tmp_path: Path) -> None:
    case, (models, paths) = CASES[name], checkpoints
    assert_agrees(product(case, paths, tmp_path / "out"), case.expect(models), case.ulps)


@pytest.mark.parametrize("name", REFUSED)
def test_product_refuses(name: str, checkpoints: tuple[Models, dict[str, Path]], tmp_path: Path) -> None:
    with pytest.raises((RecipeError, PlanError)) as caught:
        product(CASES[name], checkpoints[1], tmp_path / "out")
    assert REFUSED[name] in str(caught.value)
    assert not list(tmp_path.iterdir())

"""The oracles of dialect `mergekit` against mergekit itself.

Runs where mergekit is: MIXMERGE_MERGEKIT_PYTHON names a Python that has it (or the one running the tests
does); skipped elsewhere. It starts that Python twice, some ten seconds each. Checked with 0.1.4 and 0.1.5.

The product is held against the same results, and wherever the tests run against the oracles (test_product.py).
"""

from pathlib import Path

import numpy as np
import pytest

from peers import harness
from peers.case import Case
from peers.cases import CASES
from peers.harness import MergekitError, Model
from peers.meaning import Models, assert_agrees, fill, write_models
from peers.test_product import CERTAIN, product

pytestmark = pytest.mark.skipif(
    harness.mergekit_python() is None, reason="MIXMERGE_MERGEKIT_PYTHON does not name a Python with mergekit"
)

Results = dict[str, Model | MergekitError]

RECIPES = {
    "one trimmed source": """
merge_method: ties
base_model: $qbase
models: [{model: $qa, parameters: {weight: 1, density: 0.37}}]
parameters: {normalize: false}
""",
    "one thinned source": """
merge_method: dare_linear
base_model: $base
models: [{model: $a, parameters: {weight: 1, density: 0.4}}]
""",
}
"""Recipes whose result is open in mergekit, for tests of what is certain about it."""


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Models, dict[str, Path]]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def version() -> str:
    return harness.mergekit_version()


@pytest.fixture(scope="session")
def mergekit(checkpoints: tuple[Models, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What mergekit makes of every case and of RECIPES."""
    _, paths = checkpoints
    results: Results = {}
    for settle in (False, True):
        chosen = {name: case.recipe for name, case in CASES.items() if case.settle == settle}
        filled = {name: fill(text, paths) for name, text in (chosen | ({} if settle else RECIPES)).items()}
        results |= harness.run_mergekit_many(filled, tmp_path_factory.mktemp("merged"), settle=settle)
    return results


@pytest.mark.parametrize("name", CASES)
def test_oracle_agrees(name: str, mergekit: Results, checkpoints: tuple[Models, dict[str, Path]], version: str) -> None:
    case, found = CASES[name], mergekit[name]
    refusal = _refusal(case, version)
    if refusal is not None:
        assert isinstance(found, MergekitError)
        assert refusal in str(found)
        return
    assert not isinstance(found, MergekitError), found
    expected = case.expect(checkpoints[0])
    if case.differs:
        with pytest.raises(AssertionError):
            assert_agrees(found, expected, case.ulps)
    else:
        assert_agrees(found, expected, case.ulps)


@pytest.mark.parametrize("name", CERTAIN)
def test_product_agrees(
    name: str, mergekit: Results, checkpoints: tuple[Models, dict[str, Path]], version: str, tmp_path: Path
) -> None:
    """The product's own file against mergekit's, where mergekit gives one and means the same."""
    case, found = CASES[name], mergekit[name]
    if _refusal(case, version) is not None or case.differs:
        pytest.skip(case.differs or "mergekit refuses it")
    assert not isinstance(found, MergekitError), found
    assert_agrees(product(case, checkpoints[1], tmp_path / "out"), found, case.ulps)


def _refusal(case: Case, version: str) -> str | None:
    return next((text for start, text in case.refused if version.startswith(start)), None)


def test_ties_keeps_an_exact_count_but_any_of_equal_magnitudes(
    mergekit: Results, checkpoints: tuple[Models, dict[str, Path]]
) -> None:
    models, found = checkpoints[0], _model(mergekit, "one trimmed source")
    for name, base in models["qbase"].items():
        before = np.abs(models["qa"][name] - base).ravel()
        kept = np.abs(found[name] - base).ravel()
        k = int(0.37 * before.size)
        assert np.array_equal(np.sort(kept)[::-1][:k], np.sort(before)[::-1][:k])
        assert not np.sort(kept)[::-1][k:].any()


def test_dare_restores_the_l1_norm(mergekit: Results, checkpoints: tuple[Models, dict[str, Path]]) -> None:
    models, found = checkpoints[0], _model(mergekit, "one thinned source")
    for name, base in models["base"].items():
        before, after = models["a"][name] - base, found[name] - base
        assert np.abs(after).sum() == pytest.approx(np.abs(before).sum(), rel=1e-4)
        kept = after != 0
        assert abs(kept.mean() - 0.4) < 5 * np.sqrt(0.24 / kept.size)
        factor = after[kept] / before[kept]
        assert np.allclose(factor, np.median(factor), rtol=0.05)


def test_linear_divides_by_zero(mergekit: Results) -> None:
    found = _model(mergekit, "linear, weights that sum to 0")
    assert not any(np.isfinite(values).any() for values in found.values())


def test_last_slice_loses_sources_beyond_the_first_slices_number(
    mergekit: Results, checkpoints: tuple[Models, dict[str, Path]]
) -> None:
    found = _model(mergekit, "slices, more sources in the last than in the first")
    for name in ("model.norm.weight", "lm_head.weight"):
        assert np.array_equal(found[name], checkpoints[0]["b"][name])


def _model(results: Results, name: str) -> Model:
    found = results[name]
    assert not isinstance(found, MergekitError), found
    return found

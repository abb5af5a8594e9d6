"""Laws that hold up to rounding, and exact ones on scaled inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.conftest import Set
from support import models
from support.cases import CASES, PLAIN, Case
from support.merging import bytes_of, merge_live, recipe_of

ULP = 2.0**-23
FEWER = [case for case in CASES if case.n == 2 or (case.dare is None and case.mixup)]


def close(found: models.Arrays, wanted: models.Arrays, size: models.Arrays, ulps: float) -> None:
    """Each element within `ulps` units in the last place of the size at that element."""
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        allowed = ulps * ULP * size[name].astype(np.float64)
        error = np.abs(values.astype(np.float64) - wanted[name].astype(np.float64))
        worst = int(np.argmax(error - allowed)) if error.size else 0
        assert (error <= allowed).all(), (name, worst, values.ravel()[worst], wanted[name].ravel()[worst])


def largest(models_set: Set, *more: models.Arrays, factor: float = 1.0) -> models.Arrays:
    """The largest operand at each element, rounded up to a power of two: its unit in the last place is 2^-23 of that.

    more: results, where these may be larger than what they are made from.
    """
    found = {}
    for name in models_set.values[models_set.base]:
        parts = [np.abs(part[name]).astype(np.float64) for part in (*models_set.values.values(), *more)]
        found[name] = factor * 2.0 ** np.ceil(np.log2(np.maximum(np.max(parts, axis=0), 2.0**-100)))
    return found


def whole_weight(case: Case) -> dict[str, Any] | None:
    """Parameters under which this method keeps everything and its weights sum to 1; None where it cannot."""
    if case.dare is not None:
        return None
    if case.dialect == "paper":
        needed = {"task_arithmetic": case.mixup, "linear": True, "ties": True}[case.name]
        return ({"density": 1.0} if case.name == "ties" else {}) if needed else None
    found: dict[str, Any] = {"normalize": True}
    return found | ({"density": 1.0} if case.method.parameter("density") else {})


def even(case: Case, models_set: Set, parameters: dict[str, Any], **keys: Any) -> models.Arrays:
    """The case with parameters of the top level alone."""
    weights = {} if case.dialect == "paper" or case.mixup else {"weight": 1.0}
    return merge_live(
        recipe_of(
            case.name,
            models_set.sources[: case.n],
            models_set.base if case.needs_base else None,
            dialect=case.dialect,
            parameters={**weights, **parameters} or None,
            **keys,
        )
    )


@pytest.mark.parametrize("case", [c for c in PLAIN if c.n == 2 and not c.mixup], ids=lambda case: case.id)
def test_one_source_gives_itself(case: Case, smooth: Set) -> None:
    one = Case(case.dialect, case.name, None, False, 1)
    density = {"density": 1.0} if case.method.parameter("density") else {}
    found = even(one, smooth, density)
    close(found, smooth.values[smooth.sources[0]], largest(smooth), 2)


@pytest.mark.parametrize("case", [c for c in PLAIN if whole_weight(c) is not None], ids=lambda case: case.id)
def test_equal_sources_give_that_source(case: Case, equal: Set) -> None:
    parameters = whole_weight(case)
    assert parameters is not None
    mixup = {"ratio": [0.3, 0.7] if case.n == 2 else [0.2, 0.5, 0.3]} if case.mixup else None
    found = even(case, equal, parameters, mixup=mixup)
    close(found, equal.values[equal.sources[0]], largest(equal), 2)


@pytest.mark.parametrize("winner", [0, 1])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("name", ["linear", "task_arithmetic"])
def test_a_ratio_of_one_gives_that_source(name: str, n: int, winner: int, smooth: Set) -> None:
    ratio = [float(k == winner) for k in range(n)]
    found = even(Case("paper", name, None, True, n), smooth, {}, mixup={"ratio": ratio})
    close(found, smooth.values[smooth.sources[winner]], largest(smooth), 2)


@pytest.mark.parametrize("name", ["linear", "task_arithmetic"])
def test_alpha_zero_gives_the_first_source(name: str, smooth: Set) -> None:
    found = even(Case("paper", name, None, True, 3), smooth, {}, mixup={"alpha": 0})
    close(found, smooth.values[smooth.sources[0]], largest(smooth), 2)


@pytest.mark.parametrize("case", [case for case in CASES if not case.random], ids=lambda case: case.id)
def test_the_order_of_sources_does_not_show(case: Case, smooth: Set) -> None:
    """Pairs of source and parameters may be listed in any order."""
    first = merge_live(case.recipe(smooth.sources, smooth.base))
    other = merge_live(case.recipe(smooth.sources, smooth.base, order=(1, 0) if case.n == 2 else (2, 0, 1)))
    close(other, first, largest(smooth, first, factor=1 / 0.7 if case.dare else 1.0), 2)


@pytest.mark.parametrize("case", FEWER, ids=lambda case: case.id)
def test_models_four_times_as_large_give_a_result_four_times_as_large(case: Case, smooth: Set, scaled: Set) -> None:
    """Bit for bit: thresholds, signs, masks and norms see no size."""
    found = merge_live(case.recipe(smooth.sources, smooth.base))
    large = merge_live(case.recipe(scaled.sources, scaled.base))
    assert bytes_of({name: values * np.float32(4) for name, values in found.items()}) == bytes_of(large)


@pytest.mark.parametrize(
    "case",
    [c for c in FEWER if c.method.space == "delta" and c.dare in (None, "random", "magnitude")],
    ids=lambda c: c.id,
)
def test_the_scale_multiplies_the_merged_task_vector(case: Case, smooth: Set) -> None:
    """scale 0 is the base, bit for bit; twice the scale is twice the way from it."""
    name = "scale" if case.dialect == "paper" else "lambda"
    base = smooth.values[smooth.base]

    def at(scale: float) -> models.Arrays:
        return merge_live(case.recipe(smooth.sources, smooth.base, parameters={name: scale}))

    assert bytes_of(at(0.0)) == bytes_of(base)
    once, twice = at(1.0), at(2.0)
    doubled = {key: b + 2 * (once[key].astype(np.float64) - b) for key, b in base.items()}
    close(twice, doubled, largest(smooth, factor=4), 2)


@pytest.mark.parametrize("name", ["linear", "task_arithmetic", "dare_linear"])
def test_mergekit_sums_are_linear_in_their_weights(name: str, smooth: Set) -> None:
    """Twice the weights without normalising: twice the sum; with it, the same."""
    base = {"w": 0.0} if name == "linear" else smooth.values[smooth.base]
    case = Case("mergekit", name, None, False, 2)

    def at(weight: float, normalize: bool) -> models.Arrays:
        extra = {"density": 0.5} if name == "dare_linear" else {}
        return even(case, smooth, {"weight": weight, "normalize": normalize, **extra})

    once, twice = at(0.4, False), at(0.8, False)
    for key, values in once.items():
        b = np.float64(0) if name == "linear" else base[key].astype(np.float64)
        np.testing.assert_allclose(twice[key] - b, 2 * (values - b), rtol=0, atol=4 * ULP)
    close(at(0.8, True), at(0.4, True), largest(smooth), 4)


def test_equal_mixup_is_plain_task_arithmetic_at_a_share_of_its_scale(smooth: Set) -> None:
    """With mixup the total weight is 1, not n."""
    mixed = even(Case("paper", "task_arithmetic", None, True, 2), smooth, {"scale": 1.0}, mixup={"ratio": 0.5})
    plain = even(Case("paper", "task_arithmetic", None, False, 2), smooth, {"scale": 0.5})
    close(mixed, plain, largest(smooth), 2)

"""Statistics against scipy, brute force and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mixmerge.evaluation import estimate, mcnemar, objective, objective_difference, paired_difference, spread
from mixmerge.evaluation.numbers import bootstrap, resampled_means, wilson

EVEN = {"x": 1.0, "y": 1.0}


def binary(n: int, p: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < p).astype(float)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (7, 10), (250, 512)])
def test_wilson_is_its_formula(successes: int, n: int) -> None:
    z, p = stats.norm.ppf(0.975), successes / n
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    found = wilson(successes, n)
    assert (found.mean, found.n) == (p, n)
    assert (found.low, found.high) == pytest.approx(
        ((centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n))
    )


def test_scores_of_0_and_1_get_wilson_and_others_a_bootstrap() -> None:
    scores = binary(100, 0.3)
    assert estimate(scores) == wilson(int(scores.sum()), 100)
    graded = np.random.default_rng(1).random(200)
    own = estimate(graded)
    theirs = stats.bootstrap((graded,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(0))
    assert own.low == pytest.approx(theirs.confidence_interval.low, abs=0.003)
    assert own.high == pytest.approx(theirs.confidence_interval.high, abs=0.003)


def test_counting_values_is_resampling_items() -> None:
    values = np.array([-1.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    own = resampled_means(values, seed=1, resamples=200_000)
    brute = np.random.default_rng(2).choice(values, size=(200_000, 6)).mean(axis=1)
    assert stats.ks_2samp(own, brute).statistic < 0.006


def test_many_distinct_values_are_resampled_in_parts() -> None:
    values = np.random.default_rng(0).random(5000)
    means = resampled_means(values, seed=3, resamples=1500)
    assert means.shape == (1500,)
    assert means.std() == pytest.approx(values.std() / np.sqrt(5000), rel=0.1)


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = binary(80, 0.6), binary(80, 0.5, 1)
    assert paired_difference(a, b, seed=4) == paired_difference(a, b, seed=4)


def test_a_paired_difference_is_paired() -> None:
    b = binary(400, 0.5)
    a = b.copy()
    a[np.flatnonzero(b == 0)[:20]] = 1.0
    found = paired_difference(a, b)
    assert found.mean == pytest.approx(0.05)
    assert 0.025 < found.low < 0.05 < found.high < 0.075
    theirs = stats.bootstrap((a - b,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(0))
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.004)


def test_intervals_cover() -> None:
    """About 95 of 100 intervals hold the truth (percentile bootstrap: a little fewer)."""
    hits = 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        a, b = generator.random(120) < 0.7, generator.random(120) < 0.6
        found = paired_difference(a.astype(float), b.astype(float), seed=seed)
        hits += found.low <= 0.1 <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_equal_values_do_not_pretend_certainty() -> None:
    found = paired_difference(np.ones(10), np.ones(10))
    assert (found.mean, found.n) == (0.0, 10)
    assert found.low == pytest.approx(-(1 - 0.05 ** (1 / 10)))
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert bootstrap(np.ones(10)).high == 1.0
    assert bootstrap(np.ones(10_000)).low > 0.999


def test_bounds_stay_among_possible_scores() -> None:
    for value in (0.0, 0.5, 1.0):
        for found in (estimate(np.full(8, value)), objective({"x": np.full(8, value), "y": np.full(8, value)}, EVEN)):
            assert 0.0 <= found.low <= value <= found.high <= 1.0
    assert bootstrap(np.zeros(8)).low < 0.0  # differences may be negative


def test_a_task_that_all_answer_alike_adds_its_doubt() -> None:
    """Nothing was seen to vary on x, but so few items do not show that nothing can."""
    scores = {"x": np.ones(20), "y": binary(2000, 0.5)}
    found, alone = objective(scores, EVEN), paired_difference(scores["y"], np.zeros(2000))
    unseen = 1 - 0.05 ** (1 / 20)
    assert found.mean - found.low == pytest.approx(np.hypot((alone.mean - alone.low) / 2, unseen / 2), rel=0.05)
    assert found.high - found.mean == pytest.approx((alone.high - alone.mean) / 2, rel=0.05)
    both = objective({"x": np.ones(20), "y": np.ones(20)}, EVEN)
    assert 1 - both.low == pytest.approx(unseen / np.sqrt(2))  # twenty and twenty items say more than twenty


def test_intervals_of_objectives_cover_where_a_task_hardly_varies() -> None:
    """At 1 wrong of 64 expected, a third of the samples has none; the other task is as easy."""
    generator, hits = np.random.default_rng(3), 0
    for seed in range(400):
        scores = {name: (generator.random(64) > 1 / 64).astype(float) for name in "xy"}
        found = objective(scores, EVEN, seed=seed)
        hits += found.low <= 1 - 1 / 64 <= found.high
    assert hits / 400 >= 0.9


def test_an_objective_weighs_tasks_not_items() -> None:
    scores = {"a": binary(50, 0.9), "b": binary(500, 0.3)}
    found = objective(scores, {"a": 1.0, "b": 3.0})
    assert found.mean == pytest.approx((scores["a"].mean() + 3 * scores["b"].mean()) / 4)
    error = np.sqrt(scores["a"].var() / 50 / 16 + scores["b"].var() / 500 * 9 / 16)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert objective({"a": scores["a"]}, {"a": 2.0}) == estimate(scores["a"])


def test_a_difference_of_objectives() -> None:
    a = {"x": binary(100, 0.8), "y": binary(60, 0.5)}
    b = {"x": binary(100, 0.5, 1), "y": binary(60, 0.5, 2)}
    weights = {"x": 1.0, "y": 1.0}
    found = objective_difference(a, b, weights)
    assert found.mean == pytest.approx(objective(a, weights).mean - objective(b, weights).mean)
    assert found.low < found.mean < found.high
    same = objective_difference(a, a, weights)
    assert same.low < 0.0 < same.high
    assert objective_difference({"x": a["x"]}, {"x": b["x"]}, weights) == paired_difference(a["x"], b["x"])


def test_mcnemar_is_a_sign_test_on_what_differs() -> None:
    a, b = binary(200, 0.6), binary(200, 0.5, 3)
    better, worse = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    tail = sum(stats.binom.pmf(k, better + worse, 0.5) for k in range(min(better, worse) + 1))
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(a, a) == 1.0


def test_spread() -> None:
    assert spread([0.1, 0.2, 0.6]).sd == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert spread([0.4]) == type(spread([0.4]))(0.4, 0.0, 1)

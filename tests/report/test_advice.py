"""What another alpha would have drawn, against cases whose answer is known."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaincinv

from mixmerge.report.advice import (
    Draw,
    advise,
    best_of,
    effective,
    estimate,
    log_density,
    preferred,
    weights,
)

HALF = (0.5, 0.5)


def quantiles(count: int, alpha: float) -> list[float]:
    """The most even draws from Beta(alpha, alpha)."""
    return [float(betaincinv(alpha, alpha, (index + 0.5) / count)) for index in range(count)]


def draws(count: int, score: object, alpha: float = 0.5) -> list[Draw]:
    return [Draw(((x, 1 - x),), score(x), (alpha, alpha)) for x in quantiles(count, alpha)]  # type: ignore[operator]


def test_densities_known_by_hand() -> None:
    assert math.exp(log_density((0.5, 0.5), HALF)) == pytest.approx(2 / math.pi)
    assert log_density((0.3, 0.7), (1.0, 1.0)) == pytest.approx(0.0)
    assert math.exp(log_density((0.25, 0.75), (2.0, 2.0))) == pytest.approx(6 * 0.25 * 0.75)
    for alpha in (0.1, 0.5, 2.0):  # what is rounded to 0 weighs as much as the law draws of it
        rounded = math.exp(log_density((0.0, 1.0), (alpha, alpha))) * 5e-7
        assert rounded == pytest.approx(float(stats.beta(alpha, alpha).cdf(5e-7)), rel=1e-4)
    assert math.exp(log_density((0.2, 0.3, 0.5), (1.0, 1.0, 1.0))) == pytest.approx(2.0)


def test_the_alpha_that_drew_changes_nothing() -> None:
    found = estimate(draws(20, lambda x: x * x), 0.5)
    assert found.ess == pytest.approx(20)
    assert found.gain == pytest.approx(0.0)
    assert found.error == pytest.approx(0.0)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0])
def test_second_moment_of_another_beta(alpha: float) -> None:
    """E x^2 under Beta(a, a) is 1/4 + 1/(4(2a+1))."""
    found = estimate(draws(4000, lambda x: x * x), alpha)
    assert found.mean == pytest.approx(0.25 + 0.25 / (2 * alpha + 1), abs=3e-3)


def test_error_bars_cover_the_truth() -> None:
    """Two standard errors hold the true gain in about 95 of 100 studies of 200 draws."""
    rng = random.Random(1)
    truth = (0.25 + 0.25 / 3) - (0.25 + 0.25 / 2)
    held = 0
    for _ in range(200):
        made = [Draw(((x, 1 - x),), x * x, HALF) for x in (rng.betavariate(0.5, 0.5) for _ in range(200))]
        found = estimate(made, 1.0)
        held += abs(found.gain - truth) < 2 * found.error
    assert 180 <= held <= 200


def test_best_of_equally_likely_scores() -> None:
    assert best_of([1.0, 2.0, 3.0], [1 / 3] * 3, 2) == pytest.approx(22 / 9)
    assert best_of([3.0, 1.0], [0.5, 0.5], 1) == pytest.approx(2.0)
    assert best_of([1.0, 2.0], [0.4, 0.6], 1000) == pytest.approx(2.0)


def test_draws_at_the_ends_say_nothing_of_the_middle() -> None:
    made = [Draw(((x, 1 - x),), 0.5, HALF) for x in (0.001, 0.002, 0.003, 0.4, 0.998, 0.999)]
    found = estimate(made, 5.0)
    assert found.ess < 1.5
    assert not found.enough


def test_a_ratio_at_the_very_end_has_a_finite_weight() -> None:
    made = [Draw(((x, 1 - x),), x, HALF) for x in (0.0, 0.5, 1.0)]
    assert all(math.isfinite(share) for share in weights(made, 0.1))


def test_many_groups_leave_few_effective_draws() -> None:
    rng = random.Random(3)
    one, many = [], []
    for _ in range(40):
        shares = [rng.betavariate(0.5, 0.5) for _ in range(8)]
        pairs = tuple((x, 1 - x) for x in shares)
        one.append(Draw(pairs[:1], 0.0, HALF))
        many.append(Draw(pairs, 0.0, HALF))
    assert effective(weights(many, 2.0)) < effective(weights(one, 2.0)) / 3


def test_an_alpha_that_varied_is_undone_draw_by_draw() -> None:
    """Half from Beta(0.5, 0.5), half from Beta(2, 2), each reweighted to the uniform law."""
    made = draws(2000, lambda x: x * x) + draws(2000, lambda x: x * x, 2.0)
    assert estimate(made, 1.0).mean == pytest.approx(1 / 3, abs=5e-3)


def test_a_peak_in_the_middle_prefers_a_larger_alpha() -> None:
    best = preferred(advise(draws(200, lambda x: 1 - abs(x - 0.5))))
    assert best is not None
    assert best.alpha > 0.5


NOTHING_TO_PREFER = {
    "noise": lambda x, rng: rng.gauss(0, 1),
    "mostly good": lambda x, rng: -float(rng.random() < 0.15),
    "mostly bad": lambda x, rng: float(rng.random() < 0.15),
    "one source better": lambda x, rng: x + rng.gauss(0, 0.1),
    "better beyond the middle": lambda x, rng: float(x > 0.5) + rng.gauss(0, 0.1),
}
"""Scores whose mean is the same under every symmetric law."""


@pytest.mark.parametrize("count", [16, 24, 64])
@pytest.mark.parametrize("scores", NOTHING_TO_PREFER)
def test_nothing_is_preferred_where_all_laws_are_alike(scores: str, count: int) -> None:
    """In 120 studies a wrong preference is promised in fewer than 6: more than 11 would be a chance of 1 in 50."""
    rng, wrong = random.Random(7), 0
    for _ in range(120):
        shares = [rng.betavariate(0.5, 0.5) for _ in range(count)]
        made = [Draw(((x, 1 - x),), NOTHING_TO_PREFER[scores](x, rng), HALF) for x in shares]
        wrong += preferred(advise(made, (0.3, 0.7, 1.0, 2.0))) is not None
    assert wrong <= 11


def test_rounding_is_no_preference() -> None:
    """The law that drew is among those listed; its gain is 0 but for rounding."""
    for seed in range(50):
        rng = random.Random(seed)
        shares = [rng.betavariate(0.7, 0.7) for _ in range(20)]
        found = estimate([Draw(((x, 1 - x),), rng.random(), (0.7, 0.7)) for x in shares], 0.7)
        assert found.error == 0.0
        assert preferred([found]) is None


def test_nothing_to_say() -> None:
    assert advise([]) == []
    assert advise([Draw(((1.0, 0.0),), 0.4, HALF)]) == []
    assert advise([Draw(((1.0, 0.0),), 0.4, (0.0, 0.0))] * 5) == []
    assert preferred([]) is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-10, 10)), min_size=2, max_size=30), st.sampled_from([0.1, 0.7, 5.0])
)
def test_shares_sum_to_one(made: list[tuple[float, float]], alpha: float) -> None:
    drawn = [Draw(((x, 1 - x),), score, HALF) for x, score in made]
    shares = weights(drawn, alpha)
    assert math.fsum(shares) == pytest.approx(1.0)
    assert 1 - 1e-9 <= effective(shares) <= len(shares) + 1e-6
    found = estimate(drawn, alpha)
    low, high = min(score for _, score in made), max(score for _, score in made)
    assert low - 1e-9 <= found.mean <= high + 1e-9
    assert found.best <= high + 1e-9

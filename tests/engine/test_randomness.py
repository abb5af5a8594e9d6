"""Addressed randomness: masks and ratios have the laws they claim, and depend on their address alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixmerge import rng
from mixmerge.mixup import MAX_ALPHA, MIN_ALPHA, RatioLaw, draw, draw_groups, equal_ratio, group_of, rounded
from oracles import rng as oracle

COUNT = 200_000


@given(
    seed=st.integers(0, 2**63 - 1), name=st.text(max_size=20), position=st.integers(0, 9), first=st.integers(0, 500),
    count=st.integers(0, 70),
)  # fmt: skip
def test_a_mask_number_is_a_function_of_its_address(
    seed: int, name: str, position: int, first: int, count: int
) -> None:
    key = rng.stream_key(seed, name, position)
    found = rng.mask_numbers(key, first, count)
    assert found.tolist() == oracle.numbers(seed, name, position, first + count)[first:].tolist()


def test_far_elements_are_reached_without_the_near_ones() -> None:
    key = rng.stream_key(1, "w", 0)
    far = 5_000_000_011
    assert rng.mask_numbers(key, far, 5).tolist() == rng.mask_numbers(key, far - 11, 16)[11:].tolist()


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2, 0.5, 0.9, 1.0])
def test_the_fraction_kept(rate: float) -> None:
    drawn = rng.mask_numbers(rng.stream_key(3, "w", 0), 0, COUNT).astype(np.uint64)
    kept = (drawn >= np.uint64(rng.drop_threshold(rate))).mean()
    assert abs(kept - (1 - rate)) <= 4 * np.sqrt(rate * (1 - rate) / COUNT)


def test_mask_numbers_are_uniform_and_unlike_their_neighbours() -> None:
    streams = [
        rng.mask_numbers(rng.stream_key(7, *where), 0, COUNT) / 2.0**32 for where in (("a", 0), ("a", 1), ("b", 0))
    ]
    for stream in streams:
        assert stats.kstest(stream, "uniform").pvalue > 0.01
        assert abs(np.corrcoef(stream[:-1], stream[1:])[0, 1]) < 0.01
        assert abs(np.corrcoef(stream[0::2], stream[1::2])[0, 1]) < 0.01
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(streams[first], streams[second])[0, 1]) < 0.01


def test_addresses_do_not_run_into_each_other() -> None:
    keys = {
        rng.stream_key(*where) for where in [(1, "a", 1), (1, "a1"), (1, "a", "1", ""), (11, "a"), (1, "1", "a"), (0,)]
    }
    assert len(keys) == 6
    assert rng.stream_key(1, "a", 1) == rng.stream_key(1, "a", "1")


def test_uniform_lies_inside_its_interval() -> None:
    drawn = [rng.uniform(seed, "ratio", "model", 0) for seed in range(2000)]
    assert 0 < min(drawn) < max(drawn) < 1
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


@pytest.mark.parametrize("alpha", [(0.5, 0.5), (0.1, 0.1), (2.0, 5.0), (1.0, 1.0), (30.0, 0.3)])
def test_beta(alpha: tuple[float, float]) -> None:
    law = RatioLaw(alpha)
    for u in (1e-6, 0.01, 0.3, 0.5, 0.77, 0.999):
        first, second = law.ratio([u])
        assert first == pytest.approx(stats.beta.ppf(u, *alpha), abs=6e-7)
        assert first + second == pytest.approx(1, abs=1e-12)
    drawn = [draw(law, seed, "model")[0] for seed in range(1500)]
    # Six decimals put many draws on 0 and 1 exactly; the test of the law needs them spread.
    inner = [value for value in drawn if 1e-5 < value < 1 - 1e-5]
    low, high = stats.beta.cdf([1e-5, 1 - 1e-5], *alpha)
    assert stats.kstest([(stats.beta.cdf(x, *alpha) - low) / (high - low) for x in inner], "uniform").pvalue > 0.01
    assert np.mean(drawn) == pytest.approx(alpha[0] / sum(alpha), abs=0.04)


def test_dirichlet() -> None:
    law = RatioLaw((0.5, 1.0, 2.5))
    drawn = np.array([draw(law, seed, "model") for seed in range(2000)])
    assert np.allclose(drawn.sum(axis=1), 1, atol=1e-12)
    assert drawn.min() >= 0
    for k, a in enumerate(law.alpha):  # each part of a Dirichlet is a Beta
        inner = drawn[(drawn[:, k] > 1e-5) & (drawn[:, k] < 1 - 1e-5), k]
        low, high = stats.beta.cdf([1e-5, 1 - 1e-5], a, sum(law.alpha) - a)
        spread = (stats.beta.cdf(inner, a, sum(law.alpha) - a) - low) / (high - low)
        assert stats.kstest(spread, "uniform").pvalue > 0.005
    wanted = stats.dirichlet(law.alpha)
    np.testing.assert_allclose(drawn.mean(axis=0), wanted.mean(), atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), wanted.cov(), atol=0.01)


def test_two_sources_of_a_dirichlet_are_the_beta() -> None:
    assert RatioLaw((0.7, 0.2)).ratio([0.4]) == RatioLaw.symmetric([0.7, 0.2], 2).ratio([0.4])
    assert RatioLaw.symmetric([0.5], 3).alpha == (0.5, 0.5, 0.5)
    assert str(RatioLaw((0.5, 0.5))) == "Beta(0.5, 0.5)"
    assert str(RatioLaw((1.0, 1.0, 2.0))) == "Dirichlet(1, 1, 2)"


def test_alpha_zero_is_the_first_source() -> None:
    assert RatioLaw((0.0, 0.0)).ratio([0.9]) == (1.0, 0.0)
    assert RatioLaw((0.0, 0.0, 0.0)).ratio([0.9, 0.1]) == (1.0, 0.0, 0.0)


@given(parts=st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda parts: sum(parts) > 0.01))
def test_rounding_keeps_the_sum(parts: list[float]) -> None:
    shares = [part / sum(parts) for part in parts]
    found = rounded(shares)
    assert sum(round(part * 10**6) for part in found) == 10**6
    assert all(0 <= part <= 1 for part in found)
    assert all(abs(part - share) <= 6e-6 for part, share in zip(found, shares, strict=True))
    assert rounded(found) == found


SIZES = st.floats(-300, 12).map(lambda power: min(max(10.0**power, MIN_ALPHA), MAX_ALPHA))


@settings(max_examples=500)
@given(alpha=st.lists(SIZES, min_size=2, max_size=5), seed=st.integers(0, 2**63 - 1))
def test_every_law_a_recipe_may_state_gives_a_ratio(alpha: list[float], seed: int) -> None:
    """From laws that are 0 or 1 to such that are the equal ratio, and any mixture of the two."""
    for law in (RatioLaw(tuple(alpha)), RatioLaw.symmetric(alpha[:1], len(alpha))):
        ratio = draw(law, seed, "model")
        assert len(ratio) == len(alpha)
        assert all(0 <= part <= 1 for part in ratio)
        assert round(sum(ratio), 9) == 1


def test_groups_are_drawn_independently_of_each_other() -> None:
    law = RatioLaw((0.5, 0.5))
    few, many = draw_groups(law, 5, ["b"]), draw_groups(law, 5, ["a", "b", "c"])
    assert few["b"] == many["b"]
    assert len(set(many.values())) == 3
    pairs = np.array([[draw(law, seed, group)[0] for group in ("layer 0", "layer 1")] for seed in range(1500)])
    assert abs(stats.spearmanr(pairs).statistic) < 0.06


@pytest.mark.parametrize(
    ("name", "layer", "block", "by_layer"),
    [
        ("model.layers.3.self_attn.q_proj.weight", 3, "attention", "layer 3"),
        ("model.layers.3.mlp.up_proj.weight", 3, "mlp", "layer 3"),
        ("model.layers.3.block_sparse_moe.experts.0.w1.weight", 3, "mlp", "layer 3"),
        ("transformer.h.0.attn.c_attn.weight", 0, "attention", "layer 0"),
        ("model.layers.3.input_layernorm.weight", 3, "other", "layer 3"),
        ("model.embed_tokens.weight", None, "other", "outside"),
        ("lm_head.weight", None, "other", "outside"),
    ],
)
def test_groups_of_each_scope(name: str, layer: int | None, block: str, by_layer: str) -> None:
    assert group_of(name, layer, "model") == "model"
    assert group_of(name, layer, "block") == block
    assert group_of(name, layer, "layer") == by_layer
    assert group_of(name, layer, "tensor") == name


def test_the_equal_ratio_is_not_rounded() -> None:
    assert equal_ratio(3) == (1 / 3, 1 / 3, 1 / 3)


@given(u=st.floats(0.0, 1.0, exclude_min=True, exclude_max=True))
def test_the_default_law_agrees_with_scipy(u: float) -> None:
    first, second = RatioLaw((0.5, 0.5)).ratio([u])
    expected = float(stats.beta.ppf(u, 0.5, 0.5))
    assert first == pytest.approx(expected, abs=0.6e-6)
    assert first + second == pytest.approx(1.0, abs=1e-12)

"""Bootstrap intervals hold the truth as often as they say, and a comparison of equals rarely finds a difference."""
import time

import numpy as np
import pytest
from scipy.stats import spearmanr

from ppde_nbdev.bootstrap import difference, f1_replicates, interval, mean_replicates, resample_counts, share, spearman_replicates

SAMPLES = 400


def accuracy_sample(generator):
    answers = (generator.random(300) < 0.9).astype(float)
    return answers.mean(), mean_replicates(answers, 500, generator.integers(2**31))


def spearman_sample(generator):
    rows = generator.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=300)
    return spearmanr(*rows.T).statistic, spearman_replicates(*rows.T, 500, generator.integers(2**31))


def f1_sample(generator):
    wanted, found = generator.random(400) < 0.5, generator.random(400) < 0.5
    right = wanted & found & (generator.random(400) < 0.8)
    return 2 * right.sum() / (wanted.sum() + found.sum()), f1_replicates(right, found, wanted, 500, generator.integers(2**31))


@pytest.mark.parametrize("sample, truth", [(accuracy_sample, 0.9), (spearman_sample, 6 / np.pi * np.arcsin(0.4)), (f1_sample, 0.4)])
@pytest.mark.parametrize("level, lowest, highest", [(0.95, 0.92, 0.98), (0.8, 0.74, 0.86)])
def test_intervals_cover_the_truth_at_the_stated_rate(sample, truth, level, lowest, highest):
    generator = np.random.default_rng(3)
    intervals = [interval(*sample(generator), level) for _ in range(SAMPLES)]
    assert lowest <= np.mean([low <= truth <= high for _, low, high in intervals]) <= highest


def test_equals_are_told_apart_no_more_often_than_stated():
    generator, told = np.random.default_rng(0), 0
    for sample in range(SAMPLES):
        hard = generator.random(300)
        pair = [((generator.random(300) > hard * 0.3).astype(float)) for _ in range(2)]
        told += difference(*((answers.mean(), mean_replicates(answers, 500, sample)) for answers in pair)).real
    assert 0.02 <= told / SAMPLES <= 0.08


def test_a_paired_comparison_sees_what_intervals_do_not():
    generator = np.random.default_rng(0)
    hard = generator.random(1000)
    one, other = (hard > 0.20).astype(float), (hard > 0.22).astype(float)
    first, second = ((answers.mean(), mean_replicates(answers)) for answers in (one, other))
    assert difference(first, second).real
    assert interval(*second).high > interval(*first).low


def test_a_share_of_itself_is_one():
    answers = (np.random.default_rng(0).random(100) < 0.7).astype(float)
    figure = answers.mean(), mean_replicates(answers)
    assert share(figure, figure) == (1, 1, 1)


@pytest.mark.parametrize("ties", [False, True])
def test_replicates_are_scipys(ties):
    generator = np.random.default_rng(0)
    predicted, gold = generator.normal(size=80), generator.integers(0, 5, 80).astype(float)
    if ties: predicted = predicted.round()
    slowly = [spearmanr(np.repeat(predicted, counts), np.repeat(gold, counts)).statistic for counts in np.concatenate(list(resample_counts(80, 50)))]
    np.testing.assert_allclose(spearman_replicates(predicted, gold, 50), slowly, rtol=1e-11)


def test_a_hundred_thousand_rows_take_seconds():
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 51, 100_000) / 10
    started = time.perf_counter()
    replicates = spearman_replicates(gold + generator.normal(size=100_000), gold, 100)
    assert time.perf_counter() - started < 30 and replicates.std() < 0.01

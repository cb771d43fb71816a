"""Quantiles of Student's t, and intervals of means."""

import math

import numpy as np
import pytest

from dirjax.report import student

# Two-sided 95 % and 99 %, from printed tables (Fisher and Yates, table III).
PRINTED = {
    1: (12.706, 63.657),
    2: (4.303, 9.925),
    3: (3.182, 5.841),
    4: (2.776, 4.604),
    9: (2.262, 3.250),
    20: (2.086, 2.845),
    30: (2.042, 2.750),
    120: (1.980, 2.617),
}


@pytest.mark.parametrize("freedom", PRINTED)
def test_printed_tables(freedom):
    ours = [student.quantile(freedom, level) for level in (0.95, 0.99)]
    np.testing.assert_allclose(ours, PRINTED[freedom], atol=5.01e-4)


def test_closed_forms():
    """df 1 is Cauchy; df 2 has t = p sqrt(2 / (1 - p^2)); many are normal."""
    for level in (0.1, 0.5, 0.95, 0.999):
        cauchy = math.tan(math.pi * level / 2)
        np.testing.assert_allclose(student.quantile(1, level), cauchy, rtol=1e-10)
        two = level * math.sqrt(2 / (1 - level**2))
        np.testing.assert_allclose(student.quantile(2, level), two, rtol=1e-10)
    np.testing.assert_allclose(student.quantile(10**6), 1.959963985, rtol=3e-6)


def test_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (*range(1, 41), 77, 500):
        for level in (0.5, 0.95, 0.999):
            expected = stats.t.ppf((1 + level) / 2, freedom)
            ours = student.quantile(freedom, level)
            np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_interval_by_hand():
    """-1 and -3: mean -2, deviation sqrt(2), t = 12.7062 and half width t."""
    low, high = student.interval(-2.0, math.sqrt(2.0), 2)
    np.testing.assert_allclose((low, high), (-14.7062, 10.7062), atol=1e-4)
    assert student.interval(-2.0, None, 1) is None
    assert student.interval(None, None, 0) is None
    assert student.interval(1.0, 0.0, 3) == (1.0, 1.0)


def test_interval_covers():
    """Of 4000 samples of 4 about 95 % cover the mean."""
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 4))
    ends = [student.interval(d.mean(), d.std(ddof=1), 4) for d in draws]
    share = np.mean([low < 3.0 < high for low, high in ends])
    assert abs(share - 0.95) < 0.011


@pytest.mark.parametrize(("freedom", "level"), [(0, 0.95), (3, 1.0), (3, 0.0)])
def test_wrong_arguments(freedom, level):
    with pytest.raises(ValueError, match="freedom"):
        student.quantile(freedom, level)

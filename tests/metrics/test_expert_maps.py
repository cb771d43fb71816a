"""Sums of groups and experts over maps."""

import chex
import numpy as np
import pytest

from dirjax.metrics import expert_maps, experts
from tests import toy

SHAPE = (2, 3, 4)
OF_BIN = toy.SPEC.groups.of_bin


def maps(seed=0):
    rng = np.random.default_rng(seed)
    bins = rng.integers(0, toy.SPEC.bins.num, SHAPE)
    logits, values = np.float32(rng.normal(size=(2, *SHAPE, 3)))
    labels = np.float32(rng.uniform(0, 6, SHAPE))
    return logits, values, labels, bins, np.float32(rng.random(SHAPE) < 0.7)


def summed(logits, values, labels, bins, mask):
    found = expert_maps.batch_sums(
        logits, values, labels, of_bin=OF_BIN, bins=bins, mask=mask
    )
    return expert_maps.ExpertSums(*map(np.asarray, found))


def test_they_are_those_of_rows():
    logits, values, labels, bins, mask = maps()
    sums, real = summed(*maps()), mask > 0
    count = np.bincount(bins[real], minlength=toy.SPEC.bins.num)
    got = expert_maps.finalize(sums, count, spec=toy.SPEC)
    want, stored = experts.evaluate(
        logits[real],
        values[real],
        label=labels[real],
        value=labels[real],
        groups=OF_BIN[bins[real]],
        shots=toy.SPEC.shots[bins[real]],
        inverse=lambda x: x,
        probable=False,
    )
    assert got["group_accuracy"]["all"] not in (0, 1)
    chex.assert_trees_all_close(got, {name: want[name] for name in got}, rtol=1e-5)
    np.testing.assert_array_equal(
        sums.predicted, np.bincount(stored["group_prediction"], minlength=3)
    )


def test_hidden_pixels_do_not_count():
    logits, values, labels, bins, mask = maps()
    want = summed(logits, values, labels, bins, mask)
    hidden = mask == 0
    for x in (logits, values, labels):
        x[hidden] = np.nan
    bins[hidden] = -7
    got = summed(logits, values, labels, bins, mask)
    chex.assert_trees_all_equal(got, want)


def test_a_pixel_without_a_number_is_in_no_predicted_group():
    logits, values, labels, bins, mask = maps()
    at = tuple(np.argwhere(mask > 0)[0])
    logits[at] = np.nan
    sums = summed(logits, values, labels, bins, mask)
    assert sums.predicted.sum() == mask.sum() - 1
    assert np.isnan(sums.hit[bins[at]])
    assert np.isfinite(sums.hit).sum() == 5
    count = np.bincount(bins[mask > 0], minlength=toy.SPEC.bins.num)
    found = expert_maps.finalize(sums, count, spec=toy.SPEC)
    assert found["group_accuracy"]["all"] is None
    assert found["oracle_mae"]["all"] == pytest.approx(
        sums.oracle_abs.sum() / count.sum()
    )

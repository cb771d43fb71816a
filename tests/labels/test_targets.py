"""Several labels per row: names, standardised specifications, the rarest bin."""

import dataclasses

import numpy as np
import pytest

from dirjax import labels
from dirjax.labels import groups, support, targets

VALUES = np.array([1.0, 1.5, 2.0, 7.0, 9.5])


@pytest.mark.parametrize("names", [("a", "b"), ("a,b", "c"), ('"', "x y", ",")])
def test_a_text_of_names_is_read_back(names):
    assert targets.names(targets.text(names)) == names


@pytest.mark.parametrize("text", ["a,a", "a,,b", ",a"])
def test_names_are_refused(text):
    with pytest.raises(ValueError, match="different columns"):
        targets.names(text)


def test_standardised_keeps_counts_and_moves_places():
    spec = labels.spec(VALUES, bin_width=2.0, many=3, few=2)
    spec = dataclasses.replace(
        spec,
        groups=groups.make(spec.bins, spec.counts, num=2),
        support=support.make(spec.bins, spec.counts),
        weights=spec.counts * 2.0,
    )
    found = targets.standardised(spec)
    z = (VALUES - VALUES.mean()) / VALUES.std()
    np.testing.assert_array_equal(found.bins.index(z), spec.bins.index(VALUES))
    for name in ("counts", "shots", "weights"):
        np.testing.assert_array_equal(getattr(found, name), getattr(spec, name))

    def moved(places):
        return (np.asarray(places, np.float64) - VALUES.mean()) / VALUES.std()

    for place in (lambda s: s.centers, lambda s: s.support.edges):
        np.testing.assert_allclose(place(found), moved(place(spec)), atol=1e-12)
    np.testing.assert_allclose(found.groups.centers, moved(spec.groups.centers))
    assert (found.label_mean, found.label_std) == (0.0, 1.0)


def test_the_rarest_bin_is_that_of_a_slow_count():
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=80), rng.exponential(size=80)], axis=1)
    values[::5, 1] = np.nan
    values[1::9, 0] = np.where(np.isnan(values[1::9, 1]), 0.5, np.nan)
    bins = [labels.Bins.covering(c[~np.isnan(c)], width=0.5) for c in values.T]
    found = targets.rarest(values, bins)
    counts = {}
    for t, own in enumerate(bins):
        for v in values[:, t]:
            if not np.isnan(v):
                at = (t, int(own.index(np.array([v]))[0]))
                counts[at] = counts.get(at, 0) + 1
    for row, number in zip(values, found, strict=True):
        mine = {
            (t, int(bins[t].index(np.array([v]))[0]))
            for t, v in enumerate(row)
            if not np.isnan(v)
        }
        t = int(number >= bins[0].num)
        at = (t, int(number) - t * bins[0].num)
        assert at in mine
        assert counts[at] == min(counts[m] for m in mine)


@pytest.mark.parametrize("number", [2, 3, 6, 12])
def test_strata_have_rows_to_give_away(number):
    """However few rows there are of many targets."""
    values = np.exp(np.random.default_rng(0).normal(size=(60, number)))
    bins = [labels.Bins.covering(own, width=labels.auto_width(own)) for own in values.T]
    found, every, merged = targets.strata(values, bins, 5)
    counts = np.bincount(found, minlength=every.num)
    assert counts[counts >= 5].sum() >= 30
    if merged == 1:
        np.testing.assert_array_equal(found, targets.rarest(values, bins))
    assert merged > 1 or number < 12

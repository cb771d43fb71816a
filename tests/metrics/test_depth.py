"""Metrics of depth: against the numbers of the NYUD2-DIR evaluation, and corners."""

import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels, metrics
from dirjax.metrics import depth as depth_metrics
from tests.metrics.test_regression import golden


class TestRatios:
    # The benchmark's fixed lists of bins of 0.1 m.
    MEDIAN = (7, 8, 46, 48, *range(50, 57), 58, 60, 61, 63)
    MANY = (*range(9, 46), 47, 49)

    def spec(self):
        few = [b for b in range(100) if b not in (*self.MANY, *self.MEDIAN)]
        lists = {"many": self.MANY, "median": self.MEDIAN, "few": few}
        return labels.spec(
            [1.0, 2.0], bin_width=0.1, label_range=(0.0, 10.0), shot_lists=lists
        )

    def scores(self, predictions, values, mask=None, bins=None):
        spec = self.spec()
        bins = spec.bins.index(values) if bins is None else bins
        mask = np.ones(values.shape, np.float32) if mask is None else mask
        batch = {"bins": bins, "mask": mask, "num_bins": 100}
        sums = metrics.batch_sums(predictions, values, **batch)
        ratios = depth_metrics.batch_ratios(predictions, values, **batch)
        scores = metrics.finalize(sums, spec=spec)
        return scores | depth_metrics.finalize(ratios, sums.count, spec=spec)

    @pytest.mark.parametrize("number", range(3))
    @pytest.mark.quick("0", "1")
    def test_golden(self, number):
        case = golden("nyud2_evaluator", number)
        p, y = (case[f"in.{k}"][:, 0] for k in ("output", "depth"))
        bins = case["out.bucket"].reshape(y.shape)
        scores = self.scores(p, y, bins=bins)
        np.testing.assert_array_equal(self.spec().bins.index(y), bins)
        names = {"DELTA1": "delta1", "DELTA2": "delta2", "DELTA3": "delta3"}
        names |= {"ABS_REL": "abs_rel", "LG10": "log10", "NUM": "count"}
        names |= {"MAE": "mae", "MSE": "mse", "RMSE": "rmse"}
        groups = {"all": "overall", "many": "many", "median": "medium", "few": "few"}
        for ours, theirs in groups.items():
            empty = case[f"out.{theirs}_NUM"] == 0
            for key, name in names.items():
                got, want = scores[name][ours], case[f"out.{theirs}_{key}"]
                if empty:
                    assert got is None
                else:
                    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
        metrics.check_identity(scores)

    def test_masked_pixels_do_not_count(self):
        y = np.float32([[1.0, 2.0, 0.0], [4.0, np.nan, 8.0]])
        p = np.float32([[1.5, 2.0, np.nan], [3.0, 1.0, 9.0]])
        mask = np.float32([[1, 1, 0], [1, 0, 1]])
        bins = self.spec().bins.index(np.nan_to_num(y))
        real = mask > 0
        got = self.scores(p, y, mask, bins)
        assert got == self.scores(p[real], y[real])
        assert got["count"]["all"] == 4
        # Ratios 1.5, 1, 4 / 3 and 9 / 8.
        shares = [got[f"delta{k}"]["all"] for k in (1, 2, 3)]
        assert shares == [0.5, 1.0, 1.0]
        np.testing.assert_allclose(got["abs_rel"]["all"], (0.5 + 0.25 + 0.125) / 4)

    def test_predictions_below_a_millimetre_are_one(self):
        y = np.float32([1.0, 1.0, 1.0])
        got = self.scores(np.float32([-3.0, 0.0, 1e-3]), y)
        assert got["delta3"]["all"] == 0
        np.testing.assert_allclose(got["log10"]["all"], 3.0, rtol=1e-6)
        # Errors are what they are.
        np.testing.assert_allclose(got["abs_rel"]["all"], (4 + 1 + 0.999) / 3)

    @pytest.mark.parametrize(("p", "y"), [(np.nan, 1.0), (1.0, 0.0), (1.0, -1.0)])
    def test_what_has_no_ratio_is_none(self, p, y):
        got = self.scores(np.float32([p, 1.0]), np.float32([y, 1.0]))
        for name in depth_metrics.Ratios._fields:
            assert got[name]["all"] is None

    def test_shapes(self):
        one, two = jnp.ones((2, 3)), jnp.ones((3, 2))
        with pytest.raises(ValueError, match=r"the same shape, got \(2, 3\), \(3, 2\)"):
            depth_metrics.batch_ratios(one, two, bins=one, mask=one, num_bins=2)

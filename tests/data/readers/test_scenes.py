"""Drawn rooms: their depth, their masks, and labels of pixels in general."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax.data import label_rules, labelling, row_checks, sources, splits
from dirjax.data.readers import scenes
from dirjax.errors import InputError

RULES = {"label": "depth", "bin_width": 0.1, "label_range": (0.7, 10.0)}


def source(skew=4.0, **rules):
    return scenes.load("rooms", None, label_rules.Rules(**RULES | rules), skew=skew)


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(scenes, "ROWS", (12, 4, 6))


def labelled(y, mask=None, **rules):
    part = np.int8(np.arange(len(y)) % 3)
    rows = row_checks.Rows(np.arange(len(y)), "maps.npz", rules.pop("on_bad", "error"))
    made = label_rules.Rules(**{"label": "y", "bin_width": 1.0} | rules)
    return labelling.label_rows(y, rows, made, part=part, mask=mask)


class TestScenes:
    def test_the_seed_says_it_all(self, few_rows):
        one, two, other = source(), source(), source(seed=1)
        for name, split in one.splits.items():
            for field in ("inputs", "label", "mask"):
                same = getattr(two.splits[name], field)
                np.testing.assert_array_equal(getattr(split, field), same)
            assert not np.array_equal(split.inputs, other.splits[name].inputs)

    def test_far_is_rare_in_training_and_not_in_the_test(self):
        made = source()
        assert made.dense
        assert made.spec.bins.num == 93
        counts = made.spec.counts
        assert counts[:20].min() > 20 * counts[-20:].mean()
        train = made.splits["train"]
        assert made.spec.examples == counts.sum() == train.mask.sum()
        for name, rows in zip(made.splits, scenes.ROWS, strict=True):
            split = made.splits[name]
            assert split.inputs.shape == (rows, 32, 48, 3)
            assert split.label.shape == split.bin.shape == (rows, 16, 24)
            real = split.real(split.label)
            assert real.min() >= np.float32(0.7)
            assert real.max() <= 10
            if name != "train":
                found = np.unique(split.real(split.bin), return_counts=True)[1]
                assert len(found) >= 92
                assert np.ptp(found) == 0

    def test_a_wall_is_behind_everything(self):
        for seed in range(5):
            picture, depth, seen = scenes.draw(np.random.default_rng(seed), (9, 8), 1.0)
            assert picture.shape == (9, 8, 3)
            assert depth.max() <= 12
            assert seen.any()
            assert depth[seen].max() <= 10

    def test_another_label(self, few_rows):
        with pytest.raises(InputError, match=r"data\.label of rooms must be 'depth'"):
            source(label="height")


class TestBalancedMask:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 6), min_size=6, max_size=60), st.integers(0, 3))
    def test_as_many_of_each_bin_as_the_smallest_has(self, bins, seed):
        bins = np.array(bins[: len(bins) // 3 * 3]).reshape(-1, 3)
        mask = np.random.default_rng(seed).random(bins.shape) < 0.7
        mask[0, 0] = True
        got = splits.balanced_mask(bins, mask, seed=seed)
        assert not (got & ~mask).any()
        before, after = (np.bincount(bins[m], minlength=7) for m in (mask, got))
        assert set(after[before > 0]) == {before[before > 0].min()}
        np.testing.assert_array_equal(got, splits.balanced_mask(bins, mask, seed=seed))

    def test_the_draw_is_over_all_images(self):
        bins = np.zeros((50, 4), int)
        bins[0, 0] = 1
        hits = [splits.balanced_mask(bins, seed=s)[1:].argmax() for s in range(20)]
        assert len({h // 4 for h in hits}) > 5

    @pytest.mark.parametrize("mask", [np.ones((2, 2)), np.zeros((2, 3))])
    def test_nothing_to_draw_from(self, mask):
        with pytest.raises(ValueError, match="a mask of one shape, not all False"):
            splits.balanced_mask(np.zeros((2, 3), int), mask, seed=0)


class TestLabelsOfPixels:
    Y = np.arange(24.0).reshape(6, 2, 2)

    def test_what_the_mask_hides_is_not_seen(self):
        y, mask = self.Y.copy(), np.ones((6, 2, 2), bool)
        y[0, 0, 0], y[3, 1, 1], y[4] = np.nan, 1e30, -7.0
        mask[0, 0, 0] = mask[3, 1, 1] = mask[4] = False
        made = labelled(y, mask)
        train = y[[0, 3]][mask[[0, 3]]]
        assert made.spec.counts.sum() == made.spec.examples == train.size == 6
        np.testing.assert_allclose(made.spec.label_mean, train.mean())
        assert made.spec.bins.edges[[0, -1]].tolist() == [1.0, 24.0]
        assert np.isfinite(made.label).all()
        record, inputs = {"kind": "dense", "encoder": {}}, np.zeros((6, 2, 2, 1))
        cut = sources.assemble("maps", inputs, made, record=record).splits
        np.testing.assert_array_equal(cut["train"].real(cut["train"].label), train)
        assert cut["val"].mask.sum() == 4

    def test_logarithms(self):
        y = self.Y.copy()
        mask = y > 0
        made = labelled(y, mask, label_scale="log", bin_width=0.5)
        np.testing.assert_allclose(made.label[mask], np.log(y[mask]))
        assert np.isfinite(made.label).all()

    @pytest.mark.parametrize(
        ("value", "rules", "said"),
        [
            (np.nan, {}, r"must be finite, row 4 of maps.npz has nan in 'y'"),
            (1e19, {}, "within 1e.18 of 0, row 4 of maps.npz has 1e.19"),
            (-1.0, {"label_scale": "log"}, "above 0 .*row 4 of maps.npz has -1"),
            (99.0, {"label_range": (0, 30)}, "0 to 30, row 4 .* has 99 in 'y'; with"),
        ],
    )
    def test_a_wrong_pixel_is_named_or_its_row_left_out(self, value, rules, said):
        y, mask = self.Y.copy() + 1, np.ones((6, 2, 2), bool)
        y[2, 1, 0] = value
        with pytest.raises(InputError, match=said):
            labelled(y, mask, **rules)
        made = labelled(y, mask, on_bad="skip", **rules)
        assert made.part.tolist() == [0, 1, -1, 0, 1, 2]
        assert sum(made.rows.skipped.values()) == 1
        mask[2, 1, 0] = False
        assert labelled(y, mask, **rules).part.tolist() == [0, 1, 2] * 2

    def test_no_training_pixel(self):
        mask = np.ones((6, 2, 2), bool)
        mask[[0, 3]] = False
        with pytest.raises(InputError, match="training labels must differ"):
            labelled(self.Y, mask)

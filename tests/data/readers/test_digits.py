"""The embedded digits: skewed angles and turned images."""

import importlib.resources
import pathlib

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax.data.readers import digits
from dirjax.errors import InputError

FILE = pathlib.Path(str(importlib.resources.files("dirjax.data"))) / (
    "embedded/mnist5k.npz"
)
RNG = np.random.default_rng(0)


class TestAngles:
    @settings(max_examples=40, deadline=None)
    @given(
        st.floats(-8, 8).filter(lambda s: abs(s) > 1e-3 or s == 0),
        st.sampled_from([90.0, 30.0]),
    )
    def test_distribution_function(self, skew, limit):
        """F(a), the integral of exp(-skew a / limit) up to a, gives the draw back."""
        u = np.linspace(0, 1, 51)
        a = digits.skewed_angles(u, skew, limit)
        assert (np.diff(a) > 0).all()
        np.testing.assert_allclose(a[[0, -1]], [0, limit], atol=1e-9 * limit)
        if skew == 0:
            want = a / limit
        else:
            want = (1 - np.exp(-skew * a / limit)) / (1 - np.exp(-skew))
        np.testing.assert_allclose(want, u, atol=1e-9)

    def test_the_last_tenth_at_skew_5_is_rare(self):
        a = digits.skewed_angles((np.arange(10**6) + 0.5) / 10**6, 5.0)
        first, last = (a < 9).sum(), (a >= 81).sum()
        np.testing.assert_allclose(first / last, np.exp(4.5), rtol=0.01)


class TestRotate:
    def images(self, n=6, size=13):
        return RNG.integers(0, 256, (n, size, size)).astype(np.uint8)

    @pytest.mark.parametrize("size", [12, 13])
    @pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4])
    def test_quarter_turns_are_exact(self, turns, size):
        images = self.images(3, size)
        got = digits.rotate(images, np.full(3, 90.0 * turns))
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, np.rot90(images, turns, axes=(1, 2)))

    def test_other_angles_as_scipy(self):
        images, angles = self.images(), np.array([5.0, 30, 45, 60.5, 89, 137])
        got = digits.rotate(images, angles)
        for image, angle, turned in zip(images, angles, got, strict=True):
            want = scipy.ndimage.rotate(
                image.astype(np.float64),
                angle,
                reshape=False,
                order=1,
                mode="grid-constant",
            )
            # Half a grey level of rounding.
            assert np.abs(turned - want).max() <= 0.51

    def test_oblong_images_turn_half(self):
        images = RNG.integers(0, 256, (2, 5, 8)).astype(np.uint8)
        got = digits.rotate(images, np.array([180.0, 0.0]))
        np.testing.assert_array_equal(got[0], images[0, ::-1, ::-1])
        np.testing.assert_array_equal(got[1], images[1])

    def test_each_image_by_itself(self):
        images, angles = self.images(), RNG.uniform(0, 90, 6)
        order = RNG.permutation(6)
        got = digits.rotate(images, angles)[order]
        np.testing.assert_array_equal(got, digits.rotate(images[order], angles[order]))


def load(label, *, skew=0.0, seed=0, bin_width=2.0):
    return digits.read(FILE, label=label, skew=skew, seed=seed, bin_width=bin_width)


class TestLoad:
    @pytest.mark.parametrize("label", ["thickness_px", "slant_deg"])
    def test_measured_labels(self, label):
        images, y, part = load(label)
        assert images.shape == (5000, 28, 28, 1)
        assert images.dtype == np.uint8
        assert y.shape == part.shape == (5000,)
        assert y.dtype == np.float64
        assert part.dtype == np.int8
        assert set(part) == {0, 1, 2}
        with np.load(FILE) as arrays:
            np.testing.assert_array_equal(y, arrays[label])
            np.testing.assert_array_equal(images[..., 0], arrays["image"])

    def test_rotation(self):
        images, angles, part = load("rotation_deg", skew=5.0)
        with np.load(FILE) as arrays:
            upright = arrays["image"]
        assert ((angles >= 0) & (angles <= 90)).all()
        assert np.bincount(part).tolist() == [4000, 500, 500]
        # Training angles are skewed: F(18) = (1 - e^-1) / (1 - e^-5). Others are even.
        rare, even = (part == 0), (part > 0)
        share = (1 - np.exp(-1)) / (1 - np.exp(-5))
        assert abs((angles[rare] < 18).mean() - share) < 0.03
        assert abs((angles[even] < 18).mean() - 0.2) < 0.05
        row = 7
        want = digits.rotate(upright[row : row + 1], angles[row : row + 1])
        np.testing.assert_array_equal(images[row, ..., 0], want[0])

    def test_it_is_a_function_of_the_seed(self):
        first, again, other = (load("rotation_deg", seed=s) for s in (0, 0, 1))
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(first[1], other[1])
        assert not np.array_equal(first[2], other[2])

    def test_the_skew_moves_no_evaluation_row(self):
        plain, skewed = (load("rotation_deg", skew=s) for s in (0.0, 5.0))
        np.testing.assert_array_equal(plain[2], skewed[2])
        for a, b in zip(plain[:2], skewed[:2], strict=True):
            np.testing.assert_array_equal(a[plain[2] > 0], b[plain[2] > 0])

    def test_unknown_label(self):
        with pytest.raises(InputError, match=r"thickness_px, .*got 'age'"):
            load("age")

"""Pictures and depth that are flipped, turned and cut together; colours; the batch."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import data
from dirjax.augment import depth as dense
from dirjax.data import stream
from dirjax.ops.random import stream_key
from tests import depth_folder as made
from tests import runs, toy

SIZE, CROP, MAPS = (12, 16), (10, 14), (5, 7)
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
CODES = RNG.integers(1, 256, SIZE).astype(np.uint8)
one = toy.jit(
    functools.partial(dense.augment_one, crop=CROP, maps=MAPS),
    static_argnames=("flip", "rotate", "light", "colours"),
)


def drawn(key, **options):
    return [np.asarray(x) for x in one(key, IMAGE, CODES, **options)]


def slow_turn(angle, image, codes):
    """Pixel by pixel: where does it come from?"""
    height, width = SIZE
    cut = np.zeros((*CROP, 3))
    half = np.zeros(MAPS, int)
    inside = np.zeros(MAPS, bool)
    for i, j in itertools.product(range(CROP[0]), range(CROP[1])):
        down, right = i + 1 - (height - 1) / 2, j + 1 - (width - 1) / 2
        y = math.cos(angle) * down + math.sin(angle) * right + (height - 1) / 2
        x = math.cos(angle) * right - math.sin(angle) * down + (width - 1) / 2
        for a, b in itertools.product(range(height), range(width)):
            share = max(0, 1 - abs(y - a)) * max(0, 1 - abs(x - b))
            cut[i, j] += share * image[a, b]
        if i % 2 and j % 2:
            a, b = round(y), round(x)
            inside[i // 2, j // 2] = 0 <= a < height and 0 <= b < width
            if inside[i // 2, j // 2]:
                half[i // 2, j // 2] = codes[a, b]
    return cut, half, inside


class TestGeometry:
    def test_off_is_the_centre_crop(self):
        image, codes, inside = drawn(jax.random.key(0))
        np.testing.assert_allclose(image, IMAGE[1:11, 1:15] / 255, rtol=1e-6)
        np.testing.assert_array_equal(codes, CODES[1:11, 1:15][1::2, 1::2])
        assert inside.all()

    def test_a_flip_takes_the_depth_along(self):
        found = set()
        for n in range(8):
            image, codes, _ = drawn(jax.random.key(n), flip=True)
            mirrored = not np.allclose(image, IMAGE[1:11, 1:15] / 255)
            found.add(mirrored)
            if mirrored:
                other = IMAGE[:, ::-1][1:11, 1:15] / 255
                np.testing.assert_allclose(image, other, rtol=1e-6)
                want = CODES[:, ::-1][1:11, 1:15][1::2, 1::2]
                np.testing.assert_array_equal(codes, want)
        assert found == {False, True}

    @pytest.mark.parametrize("degrees", [0.0, 4.0, -30.0])
    def test_a_turn_is_that_of_a_loop(self, degrees):
        angle = np.float32(np.deg2rad(degrees))
        turn = functools.partial(dense.turned_crop, crop=CROP, maps=MAPS)
        got = toy.jit(turn)(angle, jnp.float32(IMAGE), CODES)
        want = slow_turn(float(angle), IMAGE, CODES)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(got[1], want[1])
        np.testing.assert_array_equal(got[2], want[2])
        assert want[2].all() == (degrees != -30)

    def test_angles_are_drawn_up_to_the_largest(self):
        # The depth of a picture whose codes tell rows: how far the last column moved.
        key = jax.random.key(3)
        angle = jax.random.uniform(
            stream_key(key, "rotate"), minval=-math.radians(5), maxval=math.radians(5)
        )
        image, codes, _ = drawn(key, rotate=5.0)
        want = slow_turn(float(angle), IMAGE / 255, CODES)
        np.testing.assert_allclose(image, want[0], atol=1e-4)
        np.testing.assert_array_equal(codes, want[1])


class TestColours:
    def test_lighting_adds_a_colour_of_the_principal_components(self):
        key = jax.random.key(1)
        image, codes, _ = drawn(key, light=0.1)
        alpha = 0.1 * np.asarray(jax.random.normal(stream_key(key, "lighting"), (3,)))
        want = np.zeros(3)
        for channel, component in itertools.product(range(3), range(3)):
            vector = dense.EIGENVECTORS[channel][component]
            want[channel] += vector * alpha[component] * dense.EIGENVALUES[component]
        added = image - IMAGE[1:11, 1:15] / 255
        np.testing.assert_allclose(added, np.broadcast_to(want, added.shape), atol=1e-6)
        np.testing.assert_array_equal(codes, CODES[2:11:2, 2:15:2])
        vectors = np.array(dense.EIGENVECTORS)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)

    def test_jitter_is_that_of_a_loop_in_any_order(self):
        start = IMAGE[1:11, 1:15] / 255

        def slow(order, shares):
            x = start.copy()
            for which in order:
                grey = 0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2]
                goal = (0.0, grey.mean(), grey[..., None])[which]
                x = (1 - shares[which]) * x + shares[which] * goal
            return x

        key = jax.random.key(2)
        image, _, _ = drawn(key, colours=0.4)
        at = stream_key(key, "jitter")
        black, flat, grey = jax.random.uniform(at, (3,), minval=-0.4, maxval=0.4)
        shares = [float(x) for x in (black, flat, grey)]
        for order in itertools.permutations(range(3)):
            np.testing.assert_allclose(image, slow(order, shares), atol=1e-5)
        assert np.abs(image - start).max() > 0.05


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The tiny folder as a source, and its fields."""
    folder = made.make(tmp_path_factory.mktemp("dense"))
    fields = runs.config("nyud2_dir", **made.fields(folder))["data"]
    return data.from_config(fields), fields


def raw(source, rows):
    return stream.gather(stream.trained(source.splits["train"]), np.asarray(rows))


OFF = {"flip": False, "rotate": 0.0, "lighting": 0.0, "jitter": 0.0}


def program(source, **changes):
    found, fields = source
    return toy.jit(dense.from_config(fields["augment_dense"] | changes, found))


class TestBatch:
    def test_switched_off_it_is_what_evaluation_sees(self, source):
        train = source[0].splits["train"]
        batch = program(source, **OFF)(jax.random.key(0), raw(source[0], [2, 0]))
        rows = np.array([2, 0])
        for name, want in (
            ("label", train.label[rows]),
            ("bin", train.bin[rows]),
            ("mask", train.mask[rows]),
            ("index", train.index[rows]),
        ):
            np.testing.assert_array_equal(batch[name], want)
        mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
        want = (train.inputs[rows] / 255 - mean) / std
        np.testing.assert_allclose(batch["inputs"], want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(batch["weight"], np.ones(batch["label"].shape))

    def test_a_row_has_its_own_draws_wherever_it_stands(self, source):
        make, key = program(source), jax.random.key(1)
        both = make(key, raw(source[0], [1, 3]))
        turned = make(key, raw(source[0], [3, 1]))
        for name in ("inputs", "label", "mask"):
            np.testing.assert_array_equal(both[name], turned[name][::-1])
        other = make(jax.random.key(2), raw(source[0], [1, 3]))
        assert not np.allclose(both["inputs"], other["inputs"])

    @pytest.mark.parametrize("border", dense.BORDERS)
    def test_what_comes_from_outside(self, source, border):
        make = program(source, **{**OFF, "rotate": 40.0, "border": border})
        batch = make(jax.random.key(4), raw(source[0], [0, 1]))
        outside = np.asarray(batch["label"]) == 0
        assert outside.any()
        assert set(np.unique(batch["mask"][outside])) == {float(border == "zero")}
        assert np.all(batch["mask"][~outside] == 1)
        assert np.all(np.asarray(batch["bin"])[outside] == 0)

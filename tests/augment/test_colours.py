"""Random parts and colours against slow versions in float64 and against Pillow."""

import colorsys
import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dirjax.augment import colours
from dirjax.augment import images as image_augment
from dirjax.augment import options as options_lib
from dirjax.ops.random import stream_key
from tests import toy

HEIGHT, WIDTH = 9, 7
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
# Greys, black and white among them: no hue, and ties of channels.
PIXELS[0, :4] = [[0, 0, 0], [255, 255, 255], [90, 90, 90], [200, 200, 10]]
IMAGE = PIXELS.astype(np.float32)
KEYS = jax.random.split(jax.random.key(1), 3000)


def slow_resize(image, size):
    """Bilinear with antialiasing, pixel by pixel, in float64."""
    for axis in (0, 1):
        length = image.shape[axis]
        scale = length / size[axis]
        reach = max(scale, 1.0)
        rows = []
        for o in range(size[axis]):
            total, weights = 0.0, 0.0
            for x in range(length):
                weight = max(1 - abs(x + 0.5 - (o + 0.5) * scale) / reach, 0.0)
                total = total + weight * np.take(image, x, axis).astype(np.float64)
                weights += weight
            rows.append(total / weights)
        image = np.stack(rows, axis)
    return image


BOXES = [(0, 0, 9, 7), (2, 1, 5, 6), (8, 6, 1, 1), (3, 0, 2, 7)]


@pytest.mark.parametrize("size", [(9, 7), (4, 5)])
def test_a_part_is_resized_as_pillow_does(size):
    resize = toy.jit(lambda box: colours.resized_part(IMAGE, box, size))
    for box in BOXES:
        top, left, height, width = box
        part = PIXELS[top : top + height, left : left + width]
        got = np.asarray(resize(tuple(map(jnp.int32, box))))
        assert got.shape == (*size, 3)
        np.testing.assert_allclose(got, slow_resize(part, size), atol=2e-3)
        pillow = Image.fromarray(part).resize(size[::-1], Image.Resampling.BILINEAR)
        # Pillow rounds after each direction.
        np.testing.assert_allclose(got, np.asarray(pillow), atol=1.01)
        if (height, width) == size:
            np.testing.assert_array_equal(got, part)


def slow_box(key, height, width, smallest):
    """The draws of `random_box`, tried one after the other as torchvision does."""
    names = ("area", "aspect", "top", "left")
    area_key, aspect_key, *place_keys = (stream_key(key, name) for name in names)
    shares = np.float64(jax.random.uniform(area_key, (10,), minval=smallest))
    logs = jax.random.uniform(
        aspect_key, (10,), minval=math.log(3 / 4), maxval=math.log(4 / 3)
    )
    for share, log in zip(shares, np.float64(logs), strict=True):
        area, aspect = share * height * width, math.exp(log)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            room = (height - h, width - w)
            top, left = (
                int(jax.random.randint(k, (), 0, r + 1))
                for k, r in zip(place_keys, room, strict=True)
            )
            return top, left, h, w
    ratio = width / height
    if ratio < 3 / 4:
        w, h = width, round(width / (3 / 4))
    elif ratio > 4 / 3:
        w, h = round(height * (4 / 3)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "smallest"), [(40, 40, 0.2), (4, 40, 0.9), (40, 4, 0.9)]
)
def test_boxes_are_those_of_torchvision(height, width, smallest):
    draw = jax.vmap(lambda k: colours.random_box(k, height, width, smallest))
    found = np.stack(jax.device_get(toy.jit(draw)(KEYS)), axis=1)
    top, left, h, w = found.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()
    for i in range(8):
        assert tuple(found[i]) == slow_box(KEYS[i], height, width, smallest)
    if height == width:
        share = h * w / (height * width)
        assert smallest * 0.95 < share.min() < 0.25
        assert share.max() > 0.95
        assert 0.72 < (w / h).min() < 0.78
        # Free places are equally likely.
        free = (height - h) > 5
        at = (top / np.maximum(height - h, 1))[free]
        assert abs(at.mean() - 0.5) < 4 * 0.35 / math.sqrt(free.sum())
    else:
        # Nearly all draws are too large: the middle, of the flattest allowed ratio.
        side = min(height, width)
        assert np.median(h) == (side if height == side else round(side * 4 / 3))


def slow_change(name, image, amount):
    """One change of `jitter`, pixel by pixel, in float64."""
    luma = image @ [0.299, 0.587, 0.114]
    if name == "hue":
        out = np.zeros_like(image)
        for place in itertools.product(range(HEIGHT), range(WIDTH)):
            h, s, v = colorsys.rgb_to_hsv(*(image[place] / 255))
            out[place] = colorsys.hsv_to_rgb((h + amount) % 1.0, s, v)
        return out * 255
    other = {
        "brightness": np.zeros_like(image),
        "contrast": np.full_like(image, luma.mean()),
        "saturation": np.repeat(luma[..., None], 3, axis=-1),
    }[name]
    return np.clip(amount * image + (1 - amount) * other, 0, 255)


NAMES = ("brightness", "contrast", "saturation", "hue")


@pytest.mark.slow
def test_jitter_is_the_slow_one_in_all_orders():
    jitter = toy.jit(
        jax.vmap(lambda k: colours.jitter(k, IMAGE, strength=0.4, hue=0.1))
    )
    found, seen = np.asarray(jitter(KEYS[:64])), set()
    for key, got in zip(KEYS[:64], found, strict=True):
        factors = jax.random.uniform(
            stream_key(key, "factors"), (3,), minval=0.6, maxval=1.4
        )
        turn = jax.random.uniform(stream_key(key, "hue"), (), minval=-0.1, maxval=0.1)
        amounts = [*np.float64(factors), float(turn)]
        order = np.asarray(jax.random.permutation(stream_key(key, "order"), 4)).tolist()
        image = PIXELS.astype(np.float64)
        for place in order:
            image = slow_change(NAMES[place], image, amounts[place])
        np.testing.assert_allclose(got, image, atol=5e-3)
        seen.add(tuple(order))
    assert len(seen) > 15


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 1 / 3, 0.5])
def test_hues(turn):
    got = colours.turn_hue(IMAGE, jnp.float32(turn))
    want = slow_change("hue", PIXELS.astype(np.float64), turn)
    np.testing.assert_allclose(got, want, atol=1e-3)


@pytest.mark.slow
def test_nothing_is_nothing():
    same = {"zoom": 1.0, "jitter": 0.0, "hue": 0.0}
    square = PIXELS[:7]
    augment = toy.jit(jax.vmap(lambda k: image_augment.augment(k, square, **same)))
    np.testing.assert_array_equal(augment(KEYS[:3]), np.stack([square] * 3))
    still = colours.jitter(KEYS[0], IMAGE, strength=0.0, hue=0.0)
    np.testing.assert_allclose(still, IMAGE, atol=1e-3)
    assert not options_lib.augments(jitter=0.4, jitter_share=0.0)
    for one in ({"zoom": 0.2}, {"jitter": 0.1}, {"hue": 0.1}, {"grey": 0.1}):
        assert options_lib.augments(**one), one


def test_shares_of_images():
    grey, changed = toy.jit(
        jax.vmap(
            lambda k: (
                colours.random_grey(k, IMAGE[:2], share=0.2),
                colours.random_jitter(k, IMAGE[:2], strength=0.4, hue=0.0, share=0.8),
            )
        )
    )(KEYS)
    grey = np.asarray(grey)
    lost = (np.ptp(grey, axis=-1) == 0).all(axis=(1, 2))
    assert abs(lost.mean() - 0.2) < 4 * 0.4 / math.sqrt(len(KEYS))
    luma = IMAGE[:2].astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[lost][0][..., 1], luma, atol=1e-3)
    np.testing.assert_array_equal(grey[~lost][0], IMAGE[:2])
    same = (np.asarray(changed) == IMAGE[:2]).all(axis=(1, 2, 3))
    assert abs(same.mean() - 0.2) < 4 * 0.4 / math.sqrt(len(KEYS))


@pytest.mark.slow
class Protocol(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_second_protocol(self):
        """All of it: the view, uint8, and other images for other keys."""
        options = {"flip": True, "zoom": 0.2, "grey": 0.2, "jitter": 0.4, "hue": 0.1}
        draw = self.variant(
            lambda k: image_augment.augment(k, PIXELS, view=5, **options)
        )
        one, other = np.asarray(draw(KEYS[0])), np.asarray(draw(KEYS[1]))
        assert one.shape == (5, 5, 3)
        assert one.dtype == np.uint8
        assert (one != other).any()


def test_colours_of_grey_images():
    with pytest.raises(ValueError, match="got 1 channels"):
        image_augment.augment(KEYS[0], PIXELS[..., :1], jitter=0.4)

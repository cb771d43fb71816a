"""Augmentation: what is drawn, for which row, and what a step makes of two views."""

import functools
import re

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models, objectives
from dirjax.augment import images as image_augment
from dirjax.augment import options as options_lib
from dirjax.config import plan, validation
from dirjax.objectives.group_contrast import group_contrast_loss
from dirjax.ops import random
from dirjax.runtime import sharding
from dirjax.training import overview
from dirjax.training import stage_program as programs_lib
from dirjax.training.batches import batches
from tests import runs, toy

HEIGHT, WIDTH, CHANNELS = 5, 6, 2
# All pixels differ, so that a crop tells its place.
IMAGE = 1 + np.arange(HEIGHT * WIDTH * CHANNELS, dtype=np.uint8).reshape(
    HEIGHT, WIDTH, CHANNELS
)
KEYS = jax.random.split(jax.random.key(0), 4000)
OPTIONS = {"flip": True, "crop": 2}


def crops(image, pixels, padding):
    """All crops by loops over places and pixels, in the order of places."""
    height, width, _ = image.shape
    for top in range(-pixels, pixels + 1):
        for left in range(-pixels, pixels + 1):
            out = np.zeros_like(image)
            for i in range(height):
                for j in range(width):
                    row, column = i + top, j + left
                    if padding == "edge":
                        row = min(max(row, 0), height - 1)
                        column = min(max(column, 0), width - 1)
                    if 0 <= row < height and 0 <= column < width:
                        out[i, j] = image[row, column]
            yield out


def places(found, known):
    """Which of the known images each of the found ones is."""
    known = {image.tobytes(): place for place, image in enumerate(known)}
    assert all(image.tobytes() in known for image in found)
    return np.array([known[image.tobytes()] for image in found])


def mapped(fn, keys=KEYS, **options):
    """A function of one image with all keys."""
    return np.asarray(toy.jit(jax.vmap(lambda k: fn(k, IMAGE, **options)))(keys))


@pytest.mark.parametrize(("pixels", "padding"), [(1, "zero"), (2, "edge"), (4, "zero")])
def test_crops_are_those_of_a_loop_and_equally_likely(pixels, padding):
    found = mapped(image_augment.random_crop, pixels=pixels, padding=padding)
    assert found.dtype == np.uint8
    count = (2 * pixels + 1) ** 2
    seen = places(found, crops(IMAGE, pixels, padding))
    often = np.bincount(seen, minlength=count)
    expected = len(KEYS) / count
    # Four standard deviations of chi square.
    chi = np.sum((often - expected) ** 2) / expected
    assert abs(chi - (count - 1)) < 4 * np.sqrt(2 * (count - 1))
    assert (often > 0).all()


def test_half_of_the_images_are_mirrored_left_for_right():
    mirror = np.stack([IMAGE[:, WIDTH - 1 - j] for j in range(WIDTH)], axis=1)
    share = places(mapped(image_augment.random_flip), [IMAGE, mirror]).mean()
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(len(KEYS))


def test_flip_and_crop_are_drawn_apart():
    known = list(crops(IMAGE, 1, "zero"))
    known += [image[:, ::-1] for image in known]
    seen = places(mapped(image_augment.augment, flip=True, crop=1), known)
    often = np.bincount(seen, minlength=18)
    assert np.abs(often / len(KEYS) - 1 / 18).max() < 0.02


def test_nothing_is_nothing():
    np.testing.assert_array_equal(mapped(image_augment.augment, KEYS[:3])[2], IMAGE)
    none = mapped(image_augment.random_crop, KEYS[:3], pixels=0)
    np.testing.assert_array_equal(none[1], IMAGE)
    assert not options_lib.augments(padding="edge")
    assert options_lib.augments(flip=True)
    assert options_lib.augments(crop=1)


class Images(chex.TestCase):
    @chex.all_variants
    def test_all_variants(self):
        fn = functools.partial(image_augment.augment, flip=True, crop=2)
        got = self.variant(fn)(KEYS[0], jnp.asarray(IMAGE))
        np.testing.assert_array_equal(
            got, mapped(image_augment.augment, KEYS[:1], **OPTIONS)[0]
        )


def batch(rows=8, seed=0):
    """Images of random pixels with labels in the bins of `toy.SPEC`."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, HEIGHT, WIDTH, 1), np.uint8)
    made = toy.batch(seed, rows) | {"inputs": pixels}
    made["weight"] = np.float32(rng.uniform(0.5, 2.0, rows))
    made["mask"][-1] = 0
    return made | {"index": np.int32(rng.permutation(1000)[:rows])}


def views(key=KEYS[0], one=None, number=2):
    """What becomes of a batch, as numpy arrays."""
    fn = functools.partial(image_augment.augment_batch, views=number, **OPTIONS)
    return jax.device_get(toy.jit(fn)(key, batch() if one is None else one))


class TestBatch:
    def test_two_views_are_neighbours_with_all_else_the_same(self):
        one, two, rows = views(number=1), views(), batch()
        assert two["inputs"].shape == (16, HEIGHT, WIDTH, 1)
        assert two["inputs"].dtype == np.uint8
        np.testing.assert_array_equal(two["inputs"][::2], one["inputs"])
        for name in set(rows) - {"inputs"}:
            assert two[name].dtype == rows[name].dtype
            for first in (0, 1):
                np.testing.assert_array_equal(two[name][first::2], rows[name])
        for i in range(8):
            for first in (0, 1):
                known = list(crops(rows["inputs"][i], 2, "zero"))
                known += [image[:, ::-1] for image in known]
                places([two["inputs"][2 * i + first]], known)

    def test_views_and_rows_are_drawn_apart(self):
        count = 2000
        same = {
            "inputs": np.repeat(batch()["inputs"][:1], count, axis=0),
            "index": np.arange(count, dtype=np.int32),
        }
        known = list(crops(same["inputs"][0], 2, "zero"))
        known += [image[:, ::-1] for image in known]
        seen = places(views(one=same)["inputs"], known).reshape(count, 2)
        for other in (seen[:, 1], np.roll(seen[:, 0], 1)):
            # Of 50 equally likely places, 40 rows in the mean.
            assert abs(np.sum(seen[:, 0] == other) - 40) < 4 * np.sqrt(40)

    def test_a_row_has_draws_of_its_own_wherever_it_stands(self):
        rows, whole = batch(), views()["inputs"].reshape(8, 2, HEIGHT, WIDTH, 1)
        order = np.array([6, 2, 7])
        some = jax.tree.map(lambda x: x[order], rows)
        got = views(one=some)["inputs"].reshape(3, 2, HEIGHT, WIDTH, 1)
        np.testing.assert_array_equal(got, whole[order])
        # And others in another step.
        assert (views(KEYS[1])["inputs"] != views()["inputs"]).any()

    def test_four_devices_draw_the_same_and_exchange_nothing(self):
        mesh = sharding.make_mesh()
        assert mesh.size == 4
        spread = sharding.to_global(mesh, batch())
        key = jax.device_put(KEYS[0], sharding.replicated(mesh))
        fn = functools.partial(image_augment.augment_batch, views=2, **OPTIONS)
        program = toy.jit(fn).lower(key, spread).compile()
        chex.assert_trees_all_equal(jax.device_get(program(key, spread)), views())
        rows = program.output_shardings["inputs"]
        assert rows.spec == sharding.over_batch(mesh).spec
        assert not re.search(r"all-|collective|reduce-scatter", program.as_text())


class Pixels(nn.Module):
    """A dense layer and batch norm over whole images."""

    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, inputs, *, train):
        x = nn.Dense(toy.WIDTH)(inputs.reshape(len(inputs), -1))
        return nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)


@pytest.fixture(scope="module")
def network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.ENCODERS, "pixels", models.Encoder(Pixels))
        return models.build("pixels", shift=2.0, input_mean=0.4, input_std=0.3)


def start(network, objective):
    """The state before the first step, and the step with two views."""
    example = network.prepare(batch()["inputs"][:1])
    params, model_state = toy.jit(network.init)(jax.random.key(1), example)
    state = toy.start(objective)
    tree = {"model": params, "objective": state.params["objective"]}
    state = state._replace(params=tree, model_state=model_state)
    state = state._replace(opt_state=toy.sgd().init(tree))
    record = {"kind": "images", "shape": [HEIGHT, WIDTH, 1]}
    made = image_augment.from_config(OPTIONS, record, views=2)
    return state, toy.train_step(objective, network, augment=made)


@pytest.fixture(scope="module")
def started(network):
    """As `start`, with a loss over pairs and one of rows, compiled."""
    objective = objectives.from_config({"group_contrast": {}, "l1": {}})
    state, run = start(network, objective)
    return state, run, toy.jit(run)


def by_hand(network, state):
    """Features of both views, the second ones behind the first ones, and the rest."""
    key = jax.random.fold_in(jax.random.key(3), state.step)
    two = views(random.stream_key(key, "augment"))
    two = jax.tree.map(lambda x: np.concatenate([x[::2], x[1::2]]), two)
    variables = state.params["model"], state.model_state
    encode = toy.jit(functools.partial(network.encode, train=True))
    features, model_state = encode(*variables, network.prepare(two["inputs"]))
    prediction = toy.jit(network.head)(variables[0], features).prediction
    errors = two["weight"] * np.abs(np.asarray(prediction) - two["label"])
    l1 = np.sum(errors * two["mask"]) / np.sum(two["mask"])
    return features, model_state, two, l1


class TestStep:
    @pytest.mark.slow
    def test_losses_see_the_rows_of_both_views(self, network, started):
        state, _, run = started
        state = state._replace(step=jnp.int32(5))
        features, model_state, two, l1 = by_hand(network, state)
        contrast = functools.partial(
            group_contrast_loss, num_groups=toy.SPEC.groups.num
        )
        groups = toy.SPEC.groups.of_bin[two["bin"]]
        pairs = toy.jit(contrast)(features, groups, mask=two["mask"])
        new, report = run(state, batch())
        for name, want in (("group_contrast", pairs), ("l1", l1)):
            np.testing.assert_allclose(
                report.sums[f"loss/{name}"][0], want, rtol=1e-5, err_msg=name
            )
        # So does batch norm.
        chex.assert_trees_all_close(new.model_state, model_state, rtol=1e-5, atol=1e-6)

    @pytest.mark.slow
    def test_four_devices_are_one(self, started):
        state, run, one = started
        mesh = sharding.make_mesh()
        everywhere = jax.device_put(state, sharding.replicated(mesh))
        many = toy.jit(run, out_shardings=sharding.replicated(mesh))
        for seed in range(2):
            state, here = one(state, batch(seed=seed))
            rows = sharding.to_global(mesh, batch(seed=seed))
            everywhere, there = many(everywhere, rows)
            chex.assert_trees_all_close(
                jax.device_get((there.sums, everywhere.params)),
                (here.sums, state.params),
                rtol=1e-4,
                atol=1e-6,
            )

    @pytest.mark.slow
    def test_ssir_moves_what_was_augmented(self, network):
        settings = {"ssir": {"epsilon": 0.1, "norm": "linf", "n_steps": 1}}
        objective = objectives.from_config({"l1": {}}, ("ssir",), settings)
        state, run = start(network, objective)
        _, report = toy.jit(run)(state, batch())
        want = by_hand(network, state)[-1]
        np.testing.assert_allclose(report.sums["loss/l1"][0], want, rtol=1e-5)
        total, rows = report.sums["ssir/moved"]
        assert rows == 14
        # The noise of a black pixel that is to be darker is clipped.
        size = 0.1 * np.sqrt(HEIGHT * WIDTH)
        assert 0.5 * size < total / rows < 0.99 * size


def test_prepared_images_stay_within_the_domain(network):
    low, high = network.domain.low, network.domain.high
    bright = batch() | {"inputs": np.full((8, HEIGHT, WIDTH, 1), 255, np.uint8)}
    ready = network.prepare(jnp.asarray(views(one=bright)["inputs"]))
    np.testing.assert_allclose(np.unique(ready), [low, high], rtol=1e-6)


RECORD = {"kind": "images", "shape": [8, 7, 3]}
WRONG = {
    "a table": (
        {"crop": 2},
        {"kind": "table"},
        1,
        "off for .* kind 'table', got crop=2",
    ),
    "pixels": (
        {"flip": True},
        {"kind": "dense"},
        1,
        "kind 'dense', got flip=True: only images with one",
    ),
    "a large crop": ({"crop": 7}, RECORD, 1, "below the 8 x 7 pixels.*, got 7"),
    "equal copies": ({}, RECORD, 2, r"stage\.a\.views .*data\.views.* equal copies"),
    "two of a table": (
        {},
        {"kind": "table"},
        2,
        "must be 1 for .* kind 'table', got 2",
    ),
    "two of pixels": ({}, {"kind": "dense"}, 2, "1 for .* kind 'dense', got 2"),
    "a padding": ({"crop": 1, "padding": "wrap"}, RECORD, 1, "zero, edge, got 'wrap'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_a_sentence(case):
    options, record, number, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        image_augment.from_config(options, record, views=number, stage="a")


def test_the_largest_crop_fits():
    assert image_augment.from_config({"crop": 6}, RECORD) is not None
    assert image_augment.from_config({}, {"kind": "table"}) is None


class TestConfig:
    def views(self, argument="group_dir", name="mnist5k", **fields):
        made = runs.config(name, argument, **fields)
        validation.validate(made)
        return [s.views for s in plan.plan(made, 1000).stages]

    def test_contrast_takes_two_views_of_augmented_images(self):
        crop = {"data__augment__crop": 2}
        assert self.views() == [1, 1]
        assert self.views(**crop) == [2, 1]
        assert self.views(**crop, stage__contrast__views=1) == [1, 1]
        assert self.views(**crop, data__views=2) == [2, 2]
        assert self.views("group_etf,joint") == [1]
        # Which is refused when the data is there.
        assert self.views("group_etf,joint", data__views=2) == [2]
        assert self.views("group_etf,joint", **crop) == [2]
        assert self.views("sqinv", **crop) == [1]
        assert self.views("sqinv", **crop, stage__main__views=2) == [2]
        assert self.views("rrt", **crop, stage__head__views=0) == [1, 2]

    def test_faces(self):
        assert self.views(name="utkface_dir") == [1, 1]
        assert self.views("group_dir,augment,small", name="utkface_dir") == [2, 1]
        made = runs.config("utkface_dir", "sqinv,augment")
        said = options_lib.described(made["data"]["augment"])
        assert said == "crop 4, flip True, padding zero"

    def test_a_digit_in_the_mirror_has_another_slant(self):
        flip = {"data__augment__flip": True}
        assert self.views("sqinv", **flip) == [1]
        with pytest.raises(ValueError, match=r"flip must be False for slant_deg"):
            self.views("sqinv,slant", **flip)


@pytest.mark.slow
def test_training_sees_both_views_and_evaluation_images_as_they_are():
    plain, changed = (
        runs.built(
            runs.tiny_images(data__augment__crop=crop, data__augment__flip=crop > 0)
        )
        for crop in (0, 3)
    )
    (plain, all_plain), (changed, all_changed) = plain, changed
    first, (contrast, main) = all_plain[0], all_changed
    state = programs_lib.begin(plain, contrast, None)
    for run, program, rows in (
        (plain, first, 16),
        (changed, contrast, 32),
        (changed, main, 16),
    ):
        steps = programs_lib.compiled_steps(run, program)
        _, count, batch = next(batches(run, run.source.training, 0, 2))
        shapes = programs_lib.abstract_state(run, program)
        traced = steps.trace(shapes, batch, np.int32(count), programs_lib.seeds(run))
        traced = str(traced.jaxpr)
        # Crops of both views, and what the encoder sees.
        crops_of = f"u8[16,{rows // 16},28,28,1]"
        assert (crops_of in traced) == (run is changed)
        assert f"f32[{rows},28,28,1]" in traced
    for split in ("train", "val"):
        model = runs.model_of(state)
        want, got = (
            run.evaluator.evaluate(*model, split)[1] for run in (plain, changed)
        )
        np.testing.assert_array_equal(got["prediction"], want["prediction"])
        want, got = (run.evaluator.features(*model, split) for run in (plain, changed))
        chex.assert_trees_all_equal(got, want)
    said = overview.overview(changed, all_changed)
    assert "contrast 3 steps of 2 views, main 3 steps" in said
    assert "note: training images are augmented: crop 3, flip True" in said
    assert "views" not in overview.overview(plain, all_plain)
